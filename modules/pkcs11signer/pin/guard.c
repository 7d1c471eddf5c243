/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is known of PINs, in the state directory and here (pin/guard.h). */
#include "pin/guard.h"

#include "base/crypto.h"
#include "base/lock.h"
#include "base/log.h"
#include "pin/guard_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHANGE_WAIT_MS 2000

struct p11s_pin_guard *p11s_pin_guard_new(const char *state_dir)
{
  struct p11s_pin_guard *g = calloc(1, sizeof *g);

  if (g == NULL)
    return NULL;
  p11s_mutex_init(&g->hashing, P11S_RANK_PIN_HASH);
  p11s_mutex_init(&g->lock, P11S_RANK_PINGUARD);
  p11s_cond_init(&g->left);
  p11s_pin_guard_memory_init(g);
  if (state_dir != NULL && state_dir[0] != '\0') {
    g->dir = strdup(state_dir);
    if (g->dir == NULL)
      goto failed;
  }
  if (p11s_random(g->key, sizeof g->key) && p11s_pin_marks_init(&g->shared) &&
      p11s_pin_marks_init(&g->own))
    return g;
failed:
  p11s_pin_guard_free(g);
  return NULL;
}

void p11s_pin_guard_free(struct p11s_pin_guard *g)
{
  if (g == NULL)
    return;
  pthread_cond_destroy(&g->left);
  p11s_mutex_destroy(&g->lock);
  p11s_pin_marks_clear(&g->shared);
  p11s_pin_marks_clear(&g->own);
  p11s_pin_guard_memory_clear(g);
  p11s_mutex_destroy(&g->hashing);
  free(g->dir);
  p11s_wipe(g, sizeof *g);
  free(g);
}

struct p11s_pin_token p11s_pin_guard_token(const struct p11s_slot_info *slot)
{
  struct p11s_pin_token token;

  memset(&token, 0, sizeof token);
  (void)snprintf(token.serial, sizeof token.serial, "%s", slot->serial);
  (void)snprintf(token.label, sizeof token.label, "%s", slot->label);
  return token;
}

/* -- the file */

static void complain(struct p11s_pin_guard *g, const char *what)
{
  int why = errno;
  bool first;

  p11s_lock(&g->lock);
  first = !g->complained;
  g->complained = true;
  p11s_unlock(&g->lock);
  errno = why;
  if (first)
    p11s_log_event(P11S_LOG_WARNING,
                   "state directory %s: %s: %m; which PINs were refused is forgotten when this "
                   "process ends, so wrong ones may be tried again by the next: make it writable "
                   "for the server's user, or set pkcs11signer-state-dir",
                   g->dir, what);
}

static void uncomplain(struct p11s_pin_guard *g)
{
  p11s_lock(&g->lock);
  g->complained = false;
  p11s_unlock(&g->lock);
}

/* Takes a list read from the file, or written to it, for the one that counts. What unlock-login has
   put there since holds for what could not be written, too. *marks is the former list then. */
static void install(struct p11s_pin_guard *g, struct p11s_pin_marks *marks,
                    const struct p11s_marks_file_id *id)
{
  struct p11s_pin_marks former;

  p11s_lock(&g->lock);
  for (size_t i = 0; i < marks->count; i++) {
    const struct p11s_pin_mark *mark = &marks->mark[i];

    if (mark->kind != P11S_PIN_MARK_UNLOCKED ||
        p11s_pin_marks_find(&g->shared, mark->kind, &mark->token, mark->hash) != NULL)
      continue;
    (void)p11s_pin_marks_remove(&g->own, P11S_PIN_MARKS_THAT_FORBID, &mark->token, NULL);
    p11s_pin_guard_forget_news_locked(g, &mark->token);
  }
  former = g->shared;
  g->shared = *marks;
  g->shared_id = *id;
  *marks = former;
  p11s_unlock(&g->lock);
}

static bool is_current(struct p11s_pin_guard *g)
{
  struct p11s_marks_file_id id;
  bool same;

  (void)p11s_marks_file_id(g->dir, &id);
  p11s_lock(&g->lock);
  same = memcmp(&id, &g->shared_id, sizeof id) == 0;
  p11s_unlock(&g->lock);
  return same;
}

static void copy_salt(struct p11s_pin_guard *g, unsigned char *ret_salt)
{
  p11s_lock(&g->lock);
  memcpy(ret_salt, g->shared.salt, sizeof g->shared.salt);
  p11s_unlock(&g->lock);
}

/* Reads the file, which becomes an empty list where there is none; false when it cannot be used. */
static bool load(struct p11s_pin_guard *g)
{
  struct p11s_pin_marks m = {0};
  struct p11s_marks_file_id id;

  memset(&id, 0, sizeof id);
  switch (p11s_marks_file_read(g->dir, &m, &id)) {
  case P11S_MARKS_FILE_OK:
    install(g, &m, &id);
    p11s_pin_marks_clear(&m);
    return true;
  case P11S_MARKS_FILE_CORRUPT:
    p11s_log_event(P11S_LOG_WARNING,
                   "%s/refused-pins is damaged or of another version: it was renamed to "
                   "refused-pins.corrupt; which PINs were refused is not known any more, so wrong "
                   "ones may be tried again: check the PINs",
                   g->dir);
    break;
  case P11S_MARKS_FILE_NONE:
    break;
  case P11S_MARKS_FILE_UNUSABLE:
    complain(g, "refused-pins cannot be read");
    return false; /* what was read before still holds */
  }
  if (!p11s_pin_marks_init(&m))
    return false;
  copy_salt(g, m.salt);
  install(g, &m, &id);
  p11s_pin_marks_clear(&m);
  return true;
}

void p11s_pin_guard_refresh(struct p11s_pin_guard *g)
{
  if (g->dir != NULL && !is_current(g))
    (void)load(g);
}

static bool copy_shared(struct p11s_pin_guard *g, struct p11s_pin_marks *ret)
{
  bool copied;

  p11s_lock(&g->lock);
  copied = p11s_pin_marks_copy(&g->shared, ret);
  p11s_unlock(&g->lock);
  return copied;
}

static void apply(const struct p11s_pin_change *c, const unsigned char *hash,
                  struct p11s_pin_marks *m, size_t *forgotten)
{
  if (c->unless_put && p11s_pin_marks_find(m, c->put, c->token, hash) != NULL)
    return;
  *forgotten += p11s_pin_marks_remove(m, c->of_token & P11S_PIN_MARKS_OF_WRONG, c->token, NULL);
  (void)p11s_pin_marks_remove(m, c->of_token, c->token, NULL);
  (void)p11s_pin_marks_remove(m, c->of_pin, c->token, hash);
  if (c->put != P11S_PIN_MARK_NONE)
    p11s_pin_marks_put(m, c->put, c->token, c->random != NULL ? c->random : hash);
  if (c->one_more)
    p11s_pin_marks_put(m, P11S_PIN_MARK_ONE_MORE, c->token, NULL);
}

/* In the file; false when it could not be written. */
static bool change_shared(struct p11s_pin_guard *g, struct p11s_pin_change *change)
{
  unsigned char salt[P11S_PIN_SALT_LEN], hash[P11S_PIN_HASH_LEN];
  struct p11s_pin_marks m = {0};
  struct p11s_marks_file_id id;
  bool done = false;
  int why, lock;

  /* Others wait for the file: the hash is made before it is locked, as a rule. */
  p11s_pin_guard_refresh(g);
  copy_salt(g, salt);
  (void)p11s_pin_guard_hash(g, salt, change->token, change->pin, hash);
  lock = p11s_marks_file_lock(g->dir, P11S_MARKS_FILE_CHANGE, p11s_now_ms() + CHANGE_WAIT_MS);
  if (lock < 0) {
    complain(g, "refused-pins.lock cannot be locked");
    return false;
  }
  if (load(g) && copy_shared(g, &m) &&
      p11s_pin_guard_hash(g, m.salt, change->token, change->pin, hash)) {
    apply(change, hash, &m, &change->forgotten);
    done = !m.changed;
    if (!done && p11s_marks_file_write(g->dir, &m, &id) == P11S_MARKS_FILE_OK) {
      install(g, &m, &id);
      uncomplain(g);
      done = true;
    } else if (!done) {
      complain(g, "refused-pins cannot be written");
    }
  }
  why = errno;
  p11s_pin_marks_clear(&m);
  (void)close(lock);
  errno = why;
  return done;
}

bool p11s_pin_guard_change(struct p11s_pin_guard *g, struct p11s_pin_change *change)
{
  unsigned char hash[P11S_PIN_HASH_LEN];
  bool written = g->dir != NULL && change_shared(g, change);
  int why = errno;
  bool also;

  p11s_lock(&g->lock);
  also = !written || g->own.count > 0;
  p11s_unlock(&g->lock);
  if (also && p11s_pin_guard_hash(g, g->own.salt, change->token, change->pin, hash)) {
    p11s_lock(&g->lock);
    apply(change, hash, &g->own, &change->forgotten);
    p11s_unlock(&g->lock);
  }
  errno = why;
  return written;
}

/* In one list. The hash is made without a lock, and only when there is something to compare. */
static bool is_in(struct p11s_pin_guard *g, const struct p11s_pin_marks *m,
                  enum p11s_pin_mark_kind kind, const struct p11s_pin_token *token,
                  const struct p11s_secret *pin)
{
  unsigned char salt[P11S_PIN_SALT_LEN], hash[P11S_PIN_HASH_LEN];
  bool any, found;

  p11s_lock(&g->lock);
  any = p11s_pin_marks_find(m, kind, token, NULL) != NULL;
  memcpy(salt, m->salt, sizeof salt);
  p11s_unlock(&g->lock);
  if (!any || !p11s_pin_guard_hash(g, salt, token, pin, hash))
    return false;
  p11s_lock(&g->lock);
  found = p11s_pin_marks_find(m, kind, token, hash) != NULL;
  p11s_unlock(&g->lock);
  return found;
}

bool p11s_pin_guard_is_marked(struct p11s_pin_guard *g, enum p11s_pin_mark_kind kind,
                              const struct p11s_pin_token *token, const struct p11s_secret *pin)
{
  return is_in(g, &g->shared, kind, token, pin) || is_in(g, &g->own, kind, token, pin);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the process knows of PINs, and how it gets at what others know (pin/guard.h). */
#include "pin/guard.h"

#include "base/crypto.h"
#include "base/lock.h"
#include "base/log.h"
#include "pin/guard_internal.h"

#include <errno.h>
#include <openssl/crypto.h>
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
  free(g->accepted.entry);
  free(g->news.entry);
  free(g->slow.entry);
  p11s_mutex_destroy(&g->hashing);
  free(g->dir);
  p11s_wipe(g, sizeof *g);
  free(g);
}

/* -- fast hashes: of this process, in memory only */

struct p11s_pin_token p11s_pin_guard_token(const struct p11s_slot_info *slot)
{
  struct p11s_pin_token token;

  memset(&token, 0, sizeof token);
  (void)snprintf(token.serial, sizeof token.serial, "%s", slot->serial);
  (void)snprintf(token.label, sizeof token.label, "%s", slot->label);
  return token;
}

static bool digest_fast(const struct p11s_pin_guard *g, const struct p11s_pin_token *token,
                        const struct p11s_secret *pin, struct fast *ret)
{
  char both[sizeof *token];
  int len = snprintf(both, sizeof both, "%s%c%s", token->label, '\0', token->serial);

  return len > 0 && p11s_hmac_sha256(g->key, sizeof g->key, both, (size_t)len, ret->token) &&
         p11s_hmac_sha256(ret->token, sizeof ret->token, p11s_secret_data(pin),
                          p11s_secret_len(pin), ret->pin);
}

static struct known *find_token(struct ring *ring, const struct fast *fast)
{
  for (unsigned i = 0; i < ring->count; i++)
    if (memcmp(ring->entry[i].fast.token, fast->token, MAC_LEN) == 0)
      return &ring->entry[i];
  return NULL;
}

static void grow(struct ring *ring)
{
  unsigned room = ring->room > 0 ? 2 * ring->room : 16;
  struct known *grown = room <= RING_MAX ? realloc(ring->entry, room * sizeof *grown) : NULL;

  if (grown == NULL)
    return;
  ring->entry = grown;
  ring->room = room;
}

static void put(struct ring *ring, const struct known *known)
{
  static const struct fast nobody;
  struct known *unused = find_token(ring, &nobody);

  if (unused != NULL) {
    *unused = *known;
    return;
  }
  if (ring->next == ring->room)
    grow(ring);
  if (ring->next == ring->room)
    ring->next = 0;
  if (ring->room == 0)
    return;
  ring->entry[ring->next++] = *known;
  if (ring->count < ring->next)
    ring->count = ring->next;
}

/* -- slow hashes: each made once, and one at a time */

static bool find_slow(struct p11s_pin_guard *g, const struct known *wanted, unsigned char *ret)
{
  bool known = false;

  p11s_lock(&g->lock);
  for (unsigned i = 0; i < g->slow.count && !known; i++) {
    const struct known *s = &g->slow.entry[i];

    known = memcmp(&s->fast, &wanted->fast, sizeof wanted->fast) == 0 &&
            memcmp(s->salt, wanted->salt, sizeof s->salt) == 0;
    if (known)
      memcpy(ret, s->hash, sizeof s->hash);
  }
  p11s_unlock(&g->lock);
  return known;
}

static void keep_slow(struct p11s_pin_guard *g, const struct known *slow)
{
  p11s_lock(&g->lock);
  put(&g->slow, slow);
  p11s_unlock(&g->lock);
}

bool p11s_pin_guard_hash(struct p11s_pin_guard *g, const unsigned char *salt,
                         const struct p11s_pin_token *token, const struct p11s_secret *pin,
                         unsigned char *ret)
{
  struct known slow;
  bool known;

  memset(&slow, 0, sizeof slow);
  memcpy(slow.salt, salt, sizeof slow.salt);
  if (!digest_fast(g, token, pin, &slow.fast))
    return false;
  if (find_slow(g, &slow, ret))
    return true;
  p11s_lock(&g->hashing);
  known = find_slow(g, &slow, ret);
  if (!known && p11s_pin_marks_hash(salt, token->serial, pin, slow.hash)) {
    keep_slow(g, &slow);
    memcpy(ret, slow.hash, sizeof slow.hash);
    known = true;
  }
  p11s_unlock(&g->hashing);
  return known;
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

static void forget_news_locked(struct p11s_pin_guard *g, const struct p11s_pin_token *token)
{
  struct ring *news = &g->news;
  struct fast fast;

  if (!digest_fast(g, token, NULL, &fast))
    return;
  for (unsigned i = 0; i < news->count; i++)
    if (memcmp(news->entry[i].fast.token, fast.token, MAC_LEN) == 0)
      memset(&news->entry[i], 0, sizeof news->entry[i]);
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
    (void)p11s_pin_marks_remove(&g->own, P11S_PIN_MARK_REFUSED, &mark->token, NULL);
    (void)p11s_pin_marks_remove(&g->own, P11S_PIN_MARK_TRYING, &mark->token, NULL);
    (void)p11s_pin_marks_remove(&g->own, P11S_PIN_MARK_UNCLEAR, &mark->token, NULL);
    forget_news_locked(g, &mark->token);
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
    change->apply(&m, hash, change);
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
    change->apply(&g->own, hash, change);
    p11s_unlock(&g->lock);
  }
  errno = why;
  return written;
}

/* -- what the process itself has seen */

void p11s_pin_guard_note_verdict(struct p11s_pin_guard *g, const struct p11s_pin_token *token,
                                 const struct p11s_secret *pin, bool accepted)
{
  struct known now = {0}, *known;

  if (!digest_fast(g, token, pin, &now.fast))
    return;
  p11s_lock(&g->lock);
  known = find_token(&g->accepted, &now.fast);
  if (accepted) {
    if (known != NULL)
      *known = now;
    else
      put(&g->accepted, &now);
    forget_news_locked(g, token);
  } else if (known != NULL && CRYPTO_memcmp(known->fast.pin, now.fast.pin, MAC_LEN) == 0) {
    memset(known, 0, sizeof *known);
  }
  p11s_unlock(&g->lock);
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

enum p11s_pin_proof p11s_pin_guard_proof(struct p11s_pin_guard *g,
                                         const struct p11s_slot_info *slot,
                                         const struct p11s_secret *pin)
{
  struct p11s_pin_token token = p11s_pin_guard_token(slot);
  enum p11s_pin_proof proof = P11S_PIN_UNKNOWN;
  struct known *known;
  struct fast fast;

  if (!digest_fast(g, &token, pin, &fast))
    return proof;
  p11s_lock(&g->lock);
  known = find_token(&g->accepted, &fast);
  if (known != NULL)
    proof =
        CRYPTO_memcmp(known->fast.pin, fast.pin, MAC_LEN) == 0 ? P11S_PIN_PROVEN : P11S_PIN_OTHER;
  p11s_unlock(&g->lock);
  if (proof != P11S_PIN_OTHER || g->dir == NULL)
    return proof;
  /* It may have been changed, and another process may have logged in with the new one. */
  p11s_pin_guard_refresh(g);
  if (!p11s_pin_guard_is_marked(g, P11S_PIN_MARK_PROVEN, &token, pin))
    return proof;
  p11s_pin_guard_note_verdict(g, &token, pin, true);
  return P11S_PIN_PROVEN;
}

bool p11s_pin_guard_is_news(struct p11s_pin_guard *g, const struct p11s_slot_info *slot,
                            const struct p11s_secret *pin, enum p11s_err reason)
{
  struct p11s_pin_token token = p11s_pin_guard_token(slot);
  struct known now = {0};
  bool known = false;

  if (!digest_fast(g, &token, pin, &now.fast))
    return true;
  now.fast.pin[0] = (unsigned char)reason; /* the other 31 bytes still tell PINs apart */
  p11s_lock(&g->lock);
  for (unsigned i = 0; i < g->news.count && !known; i++)
    known = memcmp(&g->news.entry[i], &now, sizeof now) == 0;
  if (!known)
    put(&g->news, &now);
  p11s_unlock(&g->lock);
  return !known;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sign/key_table.h"

#include "base/crypto.h"
#include "base/lock.h"
#include "sign/key_internal.h"
#include "store/lazy.h"
#include "token/tokens.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS 4096
#define SWEEP_EVERY_MS 60000

struct p11s_key_table {
  struct p11s_key_table_config config; /* immutable, as is */
  unsigned char secret[32]; /* keys are named by an HMAC, as their references hold PINs */

  struct p11s_mutex lock; /* guards the rest */
  struct p11s_key_list bucket[BUCKETS];
  size_t count;
  uint64_t swept_ms;
};

struct p11s_key_table *p11s_key_table_new(const struct p11s_key_table_config *config)
{
  struct p11s_key_table *t = calloc(1, sizeof *t);

  if (t == NULL)
    return NULL;
  t->config = *config;
  p11s_mutex_init(&t->lock, P11S_RANK_KEY_TABLE);
  t->swept_ms = p11s_now_ms();
  if (p11s_random(t->secret, sizeof t->secret))
    return t;
  p11s_key_table_free(t);
  return NULL;
}

/* HMAC over everything that makes two references the same key; the PIN counts, so that a row whose
   PIN was corrected is not served by the key that has the old one. */
static bool identify(const struct p11s_key_table *t, const struct p11s_keyref *ref,
                     unsigned char *identity)
{
  struct p11s_buf b = P11S_BUF_INIT;
  bool ok;

  p11s_keyref_add_whereabouts(ref, &b);
  p11s_buf_add(&b, "", 1);
  p11s_buf_addstr(&b, ref->extra != NULL ? ref->extra : "");
  p11s_buf_add(&b, "", 1);
  p11s_buf_addf(&b, "%zu:", ref->public_key_len);
  p11s_buf_add(&b, ref->public_key, ref->public_key_len);
  p11s_buf_add(&b, p11s_secret_data(ref->pin), p11s_secret_len(ref->pin));
  ok = !b.failed && p11s_hmac_sha256(t->secret, sizeof t->secret, b.data, b.len, identity);
  p11s_buf_wipe(&b);
  return ok;
}

static struct p11s_key_list *bucket_of(struct p11s_key_table *t, const unsigned char *identity)
{
  return &t->bucket[(identity[0] | identity[1] << 8) % BUCKETS];
}

static struct p11s_key *find_locked(struct p11s_key_table *t, const unsigned char *identity)
{
  struct p11s_key *key;

  LIST_FOREACH(key, bucket_of(t, identity), in_table)
  if (memcmp(key->identity, identity, sizeof key->identity) == 0)
    break;
  if (key != NULL)
    key->refs++;
  return key;
}

struct p11s_key *p11s_key_table_find(struct p11s_key_table *t, const unsigned char *identity)
{
  struct p11s_key *key;

  p11s_lock(&t->lock);
  key = find_locked(t, identity);
  p11s_unlock(&t->lock);
  return key;
}

static void unlink_locked(struct p11s_key_table *t, struct p11s_key *key)
{
  LIST_REMOVE(key, in_table);
  key->listed = false;
  t->count--;
}

/* Takes the keys that nobody has held for a while out of the table. */
static void sweep_locked(struct p11s_key_table *t, struct p11s_key_list *out)
{
  uint64_t now = p11s_now_ms();

  if (now - t->swept_ms < SWEEP_EVERY_MS)
    return;
  t->swept_ms = now;
  for (unsigned i = 0; i < BUCKETS; i++)
    for (struct p11s_key *key = LIST_FIRST(&t->bucket[i]), *next; key != NULL; key = next) {
      next = LIST_NEXT(key, in_table);
      if (key->refs > 0 || now - key->idle_since_ms < t->config.idle_ms)
        continue;
      unlink_locked(t, key);
      LIST_INSERT_HEAD(out, key, in_table);
    }
}

static void free_all(struct p11s_key_list *keys)
{
  struct p11s_key *key;

  while ((key = LIST_FIRST(keys)) != NULL) {
    LIST_REMOVE(key, in_table);
    p11s_key_free(key);
  }
}

/* Takes over fresh. Returns it, or another thread's that was quicker. */
static struct p11s_key *insert(struct p11s_key_table *t, struct p11s_key *fresh)
{
  struct p11s_key_list unused = LIST_HEAD_INITIALIZER(unused);
  struct p11s_key *key;

  p11s_lock(&t->lock);
  key = find_locked(t, fresh->identity);
  if (key == NULL) {
    key = fresh;
    LIST_INSERT_HEAD(bucket_of(t, key->identity), key, in_table);
    key->listed = true;
    key->refs = 1;
    t->count++;
  }
  sweep_locked(t, &unused);
  p11s_unlock(&t->lock);
  free_all(&unused);
  if (key != fresh)
    p11s_key_free(fresh);
  return key;
}

static enum p11s_err make(struct p11s_key_table *t, const struct p11s_keyref *ref,
                          const unsigned char *identity, struct p11s_key **ret_key,
                          struct p11s_error *e)
{
  struct p11s_key_home home = {t, t->config.store, NULL};
  struct p11s_key *fresh = NULL;
  enum p11s_err result = p11s_tokens_get(t->config.tokens, ref->engine, ref->slot, &home.token, e);

  if (result == P11S_OK)
    result = p11s_key_new(&home, ref, identity, &fresh, e);
  if (result == P11S_OK)
    *ret_key = insert(t, fresh);
  return result;
}

enum p11s_err p11s_key_table_get(struct p11s_key_table *t, const struct p11s_keyref *ref,
                                 struct p11s_key **ret_key, struct p11s_error *e)
{
  unsigned char identity[P11S_KEY_IDENTITY_LEN];
  enum p11s_err result = P11S_OK;
  struct p11s_key *key;

  if (p11s_algorithm_find(ref->algorithm) == NULL)
    return p11s_error_set(e, P11S_ERR_KEY_TYPE,
                          "algorithm %u cannot be signed with on a token; 5, 7, 8, 10, 13, 14, 15 "
                          "and 16 can",
                          ref->algorithm);
  if (!identify(t, ref, identity))
    return p11s_error_no_memory(e);
  key = p11s_key_table_find(t, identity);
  if (key == NULL)
    result = make(t, ref, identity, &key, e);
  if (result != P11S_OK || key == NULL)
    return result;
  p11s_token_revive(key->home.token);
  *ret_key = key;
  return P11S_OK;
}

struct p11s_key *p11s_key_acquire(struct p11s_key *key)
{
  struct p11s_key_table *t = key->home.table;

  p11s_lock(&t->lock);
  key->refs++;
  p11s_unlock(&t->lock);
  return key;
}

void p11s_key_release(struct p11s_key *key)
{
  struct p11s_key_table *t;
  bool unused;

  if (key == NULL)
    return;
  t = key->home.table;
  p11s_lock(&t->lock);
  key->refs--;
  key->idle_since_ms = p11s_now_ms();
  unused = key->refs == 0 && !key->listed;
  p11s_unlock(&t->lock);
  if (unused)
    p11s_key_free(key);
}

void p11s_key_table_forget(struct p11s_key_table *t, struct p11s_key *key)
{
  p11s_lock(&t->lock);
  if (key->listed)
    unlink_locked(t, key);
  p11s_unlock(&t->lock);
}

void p11s_key_table_free(struct p11s_key_table *t)
{
  if (t == NULL)
    return;
  for (unsigned i = 0; i < BUCKETS; i++)
    free_all(&t->bucket[i]);
  p11s_wipe(t->secret, sizeof t->secret);
  p11s_mutex_destroy(&t->lock);
  free(t);
}

size_t p11s_key_table_count(struct p11s_key_table *t)
{
  size_t count;

  p11s_lock(&t->lock);
  count = t->count;
  p11s_unlock(&t->lock);
  return count;
}

bool p11s_key_table_list(struct p11s_key_table *t, struct p11s_key_use **ret_uses,
                         size_t *ret_count)
{
  struct p11s_key_use *uses;
  struct p11s_key *key;
  size_t room, count = 0;

  p11s_lock(&t->lock);
  room = t->count + 64; /* some may come meanwhile; what comes later is for the next time */
  p11s_unlock(&t->lock);
  uses = calloc(room, sizeof *uses);
  if (uses == NULL)
    return false;
  p11s_lock(&t->lock);
  for (unsigned i = 0; i < BUCKETS; i++)
    LIST_FOREACH(key, &t->bucket[i], in_table)
  if (count < room && p11s_key_public(key) != NULL)
    uses[count++] = (struct p11s_key_use){key, key->refs++ > 0, key->idle_since_ms};
  p11s_unlock(&t->lock);
  *ret_uses = uses;
  *ret_count = count;
  return true;
}

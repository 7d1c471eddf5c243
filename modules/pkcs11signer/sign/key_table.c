/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of keys, and of the tokens they are on (signer/signer.h, sign/key.h). */
#include "base/crypto.h"
#include "sign/key_internal.h"
#include "base/lock.h"
#include "token/status_file.h"
#include "signer/internal.h"
#include "token/token.h"

#include <stdlib.h>
#include <string.h>

#define STUCK_LEAST_MS 1000
#define SWEEP_IDLE_MS 600000
#define SWEEP_IDLE_AHEAD_MS 86400000 /* a zone that few ask for is signed ahead too */
#define SWEEP_EVERY_MS 60000

/* HMAC over everything that makes two references the same key; the PIN counts, so that a row whose
   PIN was corrected is not served by the key that has the old one. */
static bool identify(const struct p11s_signer *s, const struct p11s_keyref *ref,
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
  ok = !b.failed && p11s_hmac_sha256(s->secret, sizeof s->secret, b.data, b.len, identity);
  p11s_buf_wipe(&b);
  return ok;
}

static struct p11s_key *find_locked(struct p11s_signer *s, const unsigned char *identity)
{
  struct p11s_key *key = s->bucket[(identity[0] | identity[1] << 8) % P11S_SIGNER_BUCKETS];

  while (key != NULL && memcmp(key->identity, identity, sizeof key->identity) != 0)
    key = key->next;
  if (key != NULL)
    key->refs++;
  return key;
}

struct p11s_key *p11s_signer_find_key(struct p11s_signer *s, const unsigned char *identity)
{
  struct p11s_key *key;

  pthread_mutex_lock(&s->lock);
  key = find_locked(s, identity);
  pthread_mutex_unlock(&s->lock);
  return key;
}

static struct p11s_token *token_locked(struct p11s_signer *s, const struct p11s_keyref *ref)
{
  struct p11s_token_config config = {s->config.sessions, s->pin_source, s->guard, &s->crowd, 0};
  struct token_entry *t;

  /* Queries that give up sooner do not make a slow token one that hangs. */
  config.stuck_ms = s->config.timeout_ms < STUCK_LEAST_MS ? STUCK_LEAST_MS : s->config.timeout_ms;
  for (t = s->tokens; t != NULL; t = t->next)
    if (strcmp(p11s_token_engine(t->token), ref->engine) == 0 &&
        strcmp(p11s_token_slot(t->token), ref->slot) == 0)
      return t->token;
  t = calloc(1, sizeof *t);
  if (t == NULL)
    return NULL;
  t->token = p11s_token_new(ref->engine, ref->slot, &config);
  if (t->token == NULL) {
    free(t);
    return NULL;
  }
  t->next = s->tokens;
  s->tokens = t;
  s->token_count++;
  return t->token;
}

/* Takes the keys that nobody has held for a while out of the table; the caller frees the list. */
static struct p11s_key *sweep_locked(struct p11s_signer *s)
{
  uint64_t idle_ms = s->config.ahead ? SWEEP_IDLE_AHEAD_MS : SWEEP_IDLE_MS;
  uint64_t now = p11s_now_ms();
  struct p11s_key *out = NULL;

  if (now - s->swept_ms < SWEEP_EVERY_MS)
    return NULL;
  s->swept_ms = now;
  for (unsigned i = 0; i < P11S_SIGNER_BUCKETS; i++)
    for (struct p11s_key **at = &s->bucket[i]; *at != NULL;) {
      struct p11s_key *key = *at;

      if (key->refs > 0 || now - key->idle_since_ms < idle_ms) {
        at = &key->next;
        continue;
      }
      *at = key->next;
      key->next = out;
      out = key;
      s->key_count--;
    }
  return out;
}

static void insert_locked(struct p11s_signer *s, struct p11s_key *key)
{
  struct p11s_key **at =
      &s->bucket[(key->identity[0] | key->identity[1] << 8) % P11S_SIGNER_BUCKETS];

  key->next = *at;
  *at = key;
  key->listed = true;
  key->refs = 1;
  s->key_count++;
}

/* The first token in use starts the report on them. */
static void start_reporting(struct p11s_signer *s)
{
  struct p11s_report *report;
  bool start;

  pthread_mutex_lock(&s->lock);
  start = s->config.report && !s->reporting && !s->stopped;
  s->reporting = s->reporting || start;
  pthread_mutex_unlock(&s->lock);
  if (!start)
    return;
  report = p11s_report_start(s);
  pthread_mutex_lock(&s->lock);
  s->report = report;
  pthread_mutex_unlock(&s->lock);
}

static enum p11s_err intern(struct p11s_signer *s, const struct p11s_keyref *ref,
                            const struct p11s_algorithm *alg, const unsigned char *identity,
                            struct p11s_key **ret_key, struct p11s_error *e)
{
  struct p11s_key *key, *fresh = NULL, *old;
  struct p11s_token *token;
  enum p11s_err result;
  bool stopped;

  pthread_mutex_lock(&s->lock);
  stopped = s->stopped;
  token = stopped ? NULL : token_locked(s, ref);
  pthread_mutex_unlock(&s->lock);
  if (stopped)
    return p11s_error_set(e, P11S_ERR_STOPPED, "the server is going down");
  if (token == NULL)
    return p11s_error_set(e, P11S_ERR_NOMEM, "out of memory");
  start_reporting(s);
  result = p11s_key_new(s, ref, alg, token, identity, &fresh, e);
  if (result != P11S_OK)
    return result;
  pthread_mutex_lock(&s->lock);
  key = find_locked(s, identity); /* another thread may have been quicker */
  if (key == NULL) {
    key = fresh;
    fresh = NULL;
    insert_locked(s, key);
  }
  old = sweep_locked(s);
  pthread_mutex_unlock(&s->lock);
  p11s_key_free(fresh);
  while (old != NULL) {
    struct p11s_key *next = old->next;

    p11s_key_free(old);
    old = next;
  }
  *ret_key = key;
  return P11S_OK;
}

enum p11s_err p11s_signer_key(struct p11s_signer *s, const struct p11s_keyref *ref,
                              struct p11s_key **ret_key, struct p11s_error *e)
{
  const struct p11s_algorithm *alg = p11s_algorithm_find(ref->algorithm);
  unsigned char identity[P11S_KEY_IDENTITY_LEN];
  enum p11s_err result = P11S_OK;
  struct p11s_key *key;

  if (alg == NULL)
    return p11s_error_set(e, P11S_ERR_KEY_TYPE,
                          "algorithm %u cannot be signed with on a token; 5, 7, 8, 10, 13, 14, 15 "
                          "and 16 can",
                          ref->algorithm);
  if (!identify(s, ref, identity))
    return p11s_error_set(e, P11S_ERR_NOMEM, "out of memory");
  key = p11s_signer_find_key(s, identity);
  if (key == NULL)
    result = intern(s, ref, alg, identity, &key, e);
  if (result != P11S_OK || key == NULL)
    return result;
  p11s_token_revive(key->token);
  *ret_key = key;
  return P11S_OK;
}

struct p11s_key *p11s_key_acquire(struct p11s_key *key)
{
  struct p11s_signer *s = key->signer;

  pthread_mutex_lock(&s->lock);
  key->refs++;
  pthread_mutex_unlock(&s->lock);
  return key;
}

void p11s_key_release(struct p11s_key *key)
{
  struct p11s_signer *s;
  bool unused;

  if (key == NULL)
    return;
  s = key->signer;
  pthread_mutex_lock(&s->lock);
  key->refs--;
  key->idle_since_ms = p11s_now_ms();
  unused = key->refs == 0 && !key->listed;
  pthread_mutex_unlock(&s->lock);
  if (unused)
    p11s_key_free(key);
}

static void unlink_locked(struct p11s_signer *s, struct p11s_key *key)
{
  struct p11s_key **at =
      &s->bucket[(key->identity[0] | key->identity[1] << 8) % P11S_SIGNER_BUCKETS];

  while (*at != NULL && *at != key)
    at = &(*at)->next;
  if (*at == NULL)
    return;
  *at = key->next;
  key->next = NULL;
  key->listed = false;
  s->key_count--;
}

void p11s_signer_forget_key(struct p11s_signer *s, struct p11s_key *key)
{
  pthread_mutex_lock(&s->lock);
  unlink_locked(s, key);
  pthread_mutex_unlock(&s->lock);
}

void p11s_signer_free_keys(struct p11s_signer *s)
{
  for (unsigned i = 0; i < P11S_SIGNER_BUCKETS; i++)
    while (s->bucket[i] != NULL) {
      struct p11s_key *key = s->bucket[i];

      unlink_locked(s, key);
      p11s_key_free(key);
    }
}

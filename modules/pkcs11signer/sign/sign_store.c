/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sign/sign_store.h"

#include "sign/key_internal.h"
#include "base/log.h"
#include "base/counters.h"
#include "store/lazy.h"
#include "token/token.h"

#define QUERY_PATIENCE_MS 250
#define OTHER_PATIENCE_MS 1000

/* How long to wait for a signature that another server is making: about what our own would take. */
static uint64_t patience(struct p11s_wait wait)
{
  uint64_t now = p11s_now_ms(), most = wait.query ? QUERY_PATIENCE_MS : OTHER_PATIENCE_MS;
  uint64_t half = wait.deadline_ms > now ? (wait.deadline_ms - now) / 2 : 0;

  return now + (half < most ? half : most);
}

/* Whether it is likely to be able to sign. */
static bool may_claim(const struct p11s_key *key)
{
  struct p11s_token_stats stats;

  p11s_token_get_stats(p11s_key_token(key), &stats);
  return stats.state == P11S_TOKEN_READY || stats.state == P11S_TOKEN_UNTRIED;
}

static bool ask_for(struct p11s_question *q, const struct p11s_key *key,
                    const unsigned char *message, size_t message_len)
{
  const struct p11s_pubkey *public_key = p11s_key_public(key);

  return public_key != NULL &&
         p11s_question_init(q, p11s_pubkey_hash(public_key), message, message_len);
}

/* In the file, or with another server of the fleet. */
static enum p11s_store_found look_up(struct p11s_store *store, const struct p11s_key *key,
                                     const struct p11s_question *q, struct p11s_wait wait,
                                     unsigned char *signature, size_t *len)
{
  struct p11s_store_ask ask;

  if (p11s_store_find_here(store, q, signature, len))
    return P11S_STORE_FOUND;
  if (!p11s_store_has_fleet(store))
    return P11S_STORE_ABSENT;
  ask = (struct p11s_store_ask){patience(wait), may_claim(key), !wait.query, false};
  return p11s_store_find_in_fleet(store, q, &ask, signature, len);
}

/* What is stored may have been made by anybody; what does not verify goes. */
static bool is_good(struct p11s_store *store, const struct p11s_key *key,
                    const struct p11s_question *q, const unsigned char *signature, size_t len)
{
  if (p11s_pubkey_verify(p11s_key_public(key), q->message, q->len, signature, len))
    return true;
  p11s_counter_count(P11S_STAT_STORE_INVALID);
  p11s_store_forget(store, q);
  p11s_log_limited(P11S_LOG_ERROR, "store: invalid",
                   "signature store: a signature of key '%s' on token '%s' (module %s) does not "
                   "verify: it is not used, deleted, and made anew. Find out who writes to the "
                   "file (or, with pkcs11signer-store=mysql, the table), or whether the disk is "
                   "failing",
                   key->ref->label, key->ref->slot, key->ref->engine);
  return false;
}

bool p11s_sign_find(struct p11s_key *key, const unsigned char *message, size_t message_len,
                    struct p11s_wait wait, unsigned char *signature, size_t *len, bool *ret_claimed)
{
  struct p11s_store *store = p11s_lazy_store_get(key->home.store);
  enum p11s_store_found found;
  struct p11s_question q;
  size_t found_len = *len;

  *ret_claimed = false;
  if (store == NULL || !ask_for(&q, key, message, message_len))
    return false;
  found = look_up(store, key, &q, wait, signature, &found_len);
  *ret_claimed = found == P11S_STORE_CLAIMED;
  if (found != P11S_STORE_FOUND) {
    p11s_counter_count(P11S_STAT_STORE_MISSES);
    return false;
  }
  if (!is_good(store, key, &q, signature, found_len))
    return false;
  p11s_counter_count(P11S_STAT_STORE_HITS);
  *len = found_len;
  return true;
}

static bool verifies(const struct p11s_store_record *record, void *arg)
{
  return p11s_pubkey_verify(arg, record->message, record->message_len, record->signature,
                            record->signature_len);
}

static enum p11s_store_found look_ahead(struct p11s_key *key, const unsigned char *message,
                                        size_t message_len, bool claim)
{
  const struct p11s_store_ask ask = {p11s_now_ms(), claim, true, true};
  struct p11s_store *store = p11s_lazy_store_get(key->home.store);
  unsigned char signature[P11S_STORE_MAX_SIGNATURE];
  enum p11s_store_found found;
  struct p11s_question q;
  size_t len = sizeof signature;

  if (!ask_for(&q, key, message, message_len))
    return P11S_STORE_ABSENT;
  if (p11s_store_read(store, q.key, q.key + P11S_STORE_ID_LEN, verifies,
                      (void *)p11s_key_public(key)))
    return P11S_STORE_FOUND;
  if (!p11s_store_has_fleet(store))
    return P11S_STORE_ABSENT;
  found = p11s_store_find_in_fleet(store, &q, &ask, signature, &len);
  if (found == P11S_STORE_FOUND && !is_good(store, key, &q, signature, len))
    found = P11S_STORE_ABSENT;
  return found;
}

bool p11s_sign_is_stored(struct p11s_key *key, const unsigned char *message, size_t message_len)
{
  return look_ahead(key, message, message_len, false) == P11S_STORE_FOUND;
}

enum p11s_store_found p11s_sign_claim(struct p11s_key *key, const unsigned char *message,
                                      size_t message_len)
{
  return look_ahead(key, message, message_len, may_claim(key));
}

void p11s_sign_put(struct p11s_key *key, const unsigned char *message, size_t message_len,
                   const unsigned char *signature, size_t len, bool ahead)
{
  struct p11s_question q;

  if (ask_for(&q, key, message, message_len))
    p11s_store_put(p11s_lazy_store_get(key->home.store), &q, signature, len, ahead);
}

void p11s_sign_abandon(struct p11s_key *key, const unsigned char *message, size_t message_len)
{
  struct p11s_question q;

  if (ask_for(&q, key, message, message_len))
    p11s_store_abandon(p11s_lazy_store_get(key->home.store), &q);
}

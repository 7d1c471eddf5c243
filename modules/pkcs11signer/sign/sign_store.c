/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sign/sign_store.h"

#include "sign/key_internal.h"
#include "base/log.h"
#include "base/counters.h"
#include "store/lazy.h"
#include "token/token.h"

#include <string.h>

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

/* Instead of a key's id, when its public key is not known yet. */
static const unsigned char unknown[P11S_STORE_ID_LEN];

enum p11s_err p11s_sign_question(const struct p11s_key *key, const unsigned char *message,
                                 size_t len, struct p11s_question *ret, struct p11s_error *e)
{
  const struct p11s_pubkey *public_key = p11s_key_public(key);
  const unsigned char *key_id = public_key != NULL ? p11s_pubkey_hash(public_key) : unknown;

  return p11s_question_init(ret, key_id, message, len) ? P11S_OK : p11s_error_no_memory(e);
}

/* NULL: nothing can be found or kept. */
static struct p11s_store *store_for(const struct p11s_key *key,
                                    const struct p11s_question *question)
{
  return memcmp(question->key, unknown, sizeof unknown) != 0 ? p11s_lazy_store_get(key->home.store)
                                                             : NULL;
}

static bool verifies(const struct p11s_store_record *record, void *arg)
{
  return p11s_pubkey_verify(arg, record->message, record->message_len, record->signature,
                            record->signature_len);
}

/* What is stored may have been made by anybody; what does not verify goes. */
static bool is_good(struct p11s_store *store, const struct p11s_key *key,
                    const struct p11s_question *question, const unsigned char *signature,
                    size_t len)
{
  if (p11s_pubkey_verify(p11s_key_public(key), question->message, question->len, signature, len))
    return true;
  p11s_counter_count(P11S_STAT_STORE_INVALID);
  p11s_store_forget(store, question);
  p11s_log_limited(P11S_LOG_ERROR, "store: invalid",
                   "signature store: a signature of key '%s' on token '%s' (module %s) does not "
                   "verify: it is not used, deleted, and made anew. Find out who writes to the "
                   "file (or, with pkcs11signer-store=mysql, the table), or whether the disk is "
                   "failing",
                   key->ref->label, key->ref->slot, key->ref->engine);
  return false;
}

bool p11s_sign_find(struct p11s_key *key, const struct p11s_question *question,
                    struct p11s_wait wait, struct p11s_signature *ret, bool *ret_claimed)
{
  struct p11s_store *store = store_for(key, question);
  enum p11s_store_found found = P11S_STORE_ABSENT;
  size_t len = sizeof ret->data;

  *ret_claimed = false;
  if (store == NULL)
    return false;
  if (p11s_store_find_here(store, question, ret->data, &len)) {
    found = P11S_STORE_FOUND;
  } else if (p11s_store_has_fleet(store)) {
    const struct p11s_store_ask ask = {patience(wait), may_claim(key), !wait.query, false};

    found = p11s_store_find_in_fleet(store, question, &ask, ret->data, &len);
  }
  *ret_claimed = found == P11S_STORE_CLAIMED;
  if (found != P11S_STORE_FOUND) {
    p11s_counter_count(P11S_STAT_STORE_MISSES);
    return false;
  }
  if (!is_good(store, key, question, ret->data, len))
    return false;
  p11s_counter_count(P11S_STAT_STORE_HITS);
  ret->len = len;
  return true;
}

static enum p11s_store_found look_ahead(struct p11s_key *key, const struct p11s_question *question,
                                        bool claim)
{
  const struct p11s_store_ask ask = {p11s_now_ms(), claim, true, true};
  struct p11s_store *store = store_for(key, question);
  unsigned char signature[P11S_SIGNATURE_MAX];
  size_t len = sizeof signature;
  enum p11s_store_found found;

  if (store == NULL)
    return P11S_STORE_ABSENT;
  if (p11s_store_read(store, question->key, question->key + P11S_STORE_ID_LEN, verifies,
                      (void *)p11s_key_public(key)))
    return P11S_STORE_FOUND;
  if (!p11s_store_has_fleet(store))
    return P11S_STORE_ABSENT;
  found = p11s_store_find_in_fleet(store, question, &ask, signature, &len);
  if (found == P11S_STORE_FOUND && !is_good(store, key, question, signature, len))
    found = P11S_STORE_ABSENT;
  return found;
}

bool p11s_sign_is_stored(struct p11s_key *key, const struct p11s_question *question)
{
  return look_ahead(key, question, false) == P11S_STORE_FOUND;
}

enum p11s_store_found p11s_sign_claim(struct p11s_key *key, const struct p11s_question *question)
{
  return look_ahead(key, question, may_claim(key));
}

void p11s_sign_put(struct p11s_key *key, const struct p11s_question *question,
                   const struct p11s_signature *signature, bool ahead)
{
  p11s_store_put(store_for(key, question), question, signature->data, signature->len, ahead);
}

void p11s_sign_abandon(struct p11s_key *key, const struct p11s_question *question)
{
  p11s_store_abandon(store_for(key, question), question);
}

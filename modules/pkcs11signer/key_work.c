/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What workers do with a key: find it on the token, prove that it is the one, sign (key.h). */
#include "key_internal.h"
#include "log.h"
#include "object.h"
#include "p11mod.h"
#include "sign.h"
#include "stats.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

/* What a worker knows of the key for the length of one job. */
struct grip {
  CK_OBJECT_HANDLE handle;
  struct p11s_sign_plan plan;
  bool proven;
};

static enum p11s_err compare(struct p11s_key *key, struct p11s_pubkey *found, struct p11s_error *e)
{
  const struct p11s_pubkey *known = p11s_key_public(key);

  if (known == NULL || p11s_pubkey_equal(known, found)) {
    p11s_key_publish(key, found);
    return P11S_OK;
  }
  p11s_pubkey_free(found);
  return p11s_error_set(e, P11S_ERR_KEY_MISMATCH,
                        "another key stands there under this label: its public key is not the %s "
                        "one; put the right key back, or assign the new one to the zone",
                        key->pinned ? "pinned" : "former");
}

static enum p11s_err find(struct p11s_key *key, struct p11s_work *work, struct grip *grip,
                          struct p11s_error *e)
{
  CK_FUNCTION_LIST *module = p11s_session_module(work->session);
  CK_SESSION_HANDLE session = p11s_session_handle(work->session);
  struct p11s_pubkey *found = NULL;
  enum p11s_err result;

  p11s_stats_count(P11S_STAT_KEY_LOOKUPS);
  result = p11s_session_plan(work->session, key->alg, &grip->plan, e);
  if (result == P11S_OK)
    result = p11s_object_find_private(module, session, key->alg, key->ref->label, &grip->handle, e);
  if (result != P11S_OK)
    return result;
  result = p11s_object_read_public(module, session, key->alg, grip->handle, key->ref->label,
                                   key->ref->pub_label, &found, e);
  if (result == P11S_OK)
    return compare(key, found, e);
  /* Without a public half on the token, the pinned one serves: the first signature proves it. */
  if (result == P11S_ERR_NO_KEY && p11s_key_public(key) != NULL)
    return P11S_OK;
  return result;
}

static enum p11s_err take_grip(struct p11s_key *key, struct p11s_work *work, struct grip *grip,
                               struct p11s_error *e)
{
  bool have;
  enum p11s_err result;

  pthread_mutex_lock(&key->lock);
  have = key->have_handle && key->handle_epoch == work->epoch;
  if (have)
    *grip = (struct grip){key->handle, key->plan, key->proven};
  pthread_mutex_unlock(&key->lock);
  if (have)
    return P11S_OK;
  grip->proven = false;
  result = p11s_work_prove_pin(work, e);
  if (result == P11S_OK)
    result = find(key, work, grip, e);
  if (result != P11S_OK)
    return result;
  pthread_mutex_lock(&key->lock);
  key->have_handle = true;
  key->handle = grip->handle;
  key->handle_epoch = work->epoch;
  key->plan = grip->plan;
  key->proven = false;
  pthread_mutex_unlock(&key->lock);
  return P11S_OK;
}

static void note_proof(struct p11s_key *key, struct p11s_work *work, const struct grip *grip,
                       bool good)
{
  pthread_mutex_lock(&key->lock);
  if (key->have_handle && key->handle == grip->handle && key->handle_epoch == work->epoch) {
    key->proven = good;
    key->have_handle = good; /* a handle that signs wrongly is looked up anew */
  }
  pthread_mutex_unlock(&key->lock);
}

/* PowerDNS logs a line for each query that failed; this is for who looks for the cause. */
static void say_faulty(const struct p11s_key *key, const struct p11s_error *e)
{
  char cause[48];

  (void)snprintf(cause, sizeof cause, "faulty %d %p", (int)e->code, (const void *)key);
  p11s_log_limited(P11S_LOG_ERROR, cause, "key '%s' on token '%s' (module %s): %s", key->ref->label,
                   key->ref->slot, key->ref->engine, e->text);
}

static bool digest(const struct p11s_algorithm *alg, const unsigned char *message,
                   size_t message_len, unsigned char *out, struct p11s_error *e)
{
  const EVP_MD *md = EVP_get_digestbyname(alg->digest);

  if (md != NULL && EVP_Digest(message, message_len, out, NULL, md, NULL) == 1)
    return true;
  p11s_error_set(e, P11S_ERR_TOKEN, "hashing with %s failed", alg->digest);
  return false;
}

/* What to do with a signature that is not to be used; e says why not. */
static enum p11s_err refuse(struct p11s_key *key, struct p11s_work *work, const struct grip *grip,
                            const struct p11s_error *e)
{
  note_proof(key, work, grip, false);
  p11s_stats_count(P11S_STAT_BAD_SIGNATURES);
  say_faulty(key, e);
  return P11S_ERR_SIGNATURE;
}

enum p11s_err p11s_key_sign_work(struct p11s_key *key, struct p11s_work *work,
                                 const unsigned char *message, size_t message_len, bool verify,
                                 unsigned char *signature, size_t *len, struct p11s_error *e)
{
  unsigned char hash[EVP_MAX_MD_SIZE];
  struct grip grip;
  enum p11s_err result = take_grip(key, work, &grip, e);

  if (result == P11S_ERR_KEY_MISMATCH)
    say_faulty(key, e);
  if (result != P11S_OK)
    return result;
  if (grip.plan.whole_message) {
    result = p11s_session_sign(work->session, key->alg, &grip.plan, grip.handle, message,
                               message_len, signature, len, e);
  } else {
    if (!digest(key->alg, message, message_len, hash, e))
      return P11S_ERR_TOKEN;
    result = p11s_session_sign(work->session, key->alg, &grip.plan, grip.handle, hash,
                               key->alg->digest_len, signature, len, e);
  }
  if (result == P11S_ERR_SIGNATURE)
    return refuse(key, work, &grip, e);
  if (result != P11S_OK || (!verify && grip.proven))
    return result;
  if (grip.plan.whole_message
          ? p11s_pubkey_verify(p11s_key_public(key), message, message_len, signature, *len)
          : p11s_pubkey_verify_digest(p11s_key_public(key), hash, key->alg->digest_len, signature,
                                      *len)) {
    if (!grip.proven)
      note_proof(key, work, &grip, true);
    return P11S_OK;
  }
  (void)p11s_error_set(e, P11S_ERR_SIGNATURE,
                       "the token's signature does not verify with the key's public half: it is "
                       "not used");
  return refuse(key, work, &grip, e);
}

enum p11s_err p11s_key_check_work(struct p11s_key *key, struct p11s_work *work,
                                  struct p11s_error *e)
{
  static const unsigned char message[] = "pkcs11signer: is this the key?";
  unsigned char signature[P11S_SIGNATURE_MAX];
  size_t len = sizeof signature;

  pthread_mutex_lock(&key->lock);
  key->have_handle = false; /* whoever asks for a check wants to know what is there now */
  pthread_mutex_unlock(&key->lock);
  return p11s_key_sign_work(key, work, message, sizeof message - 1, true, signature, &len, e);
}

enum p11s_err p11s_key_generate_work(struct p11s_key *key, unsigned bits, struct p11s_work *work,
                                     struct p11s_error *e)
{
  CK_FUNCTION_LIST *module = p11s_session_module(work->session);
  CK_SESSION_HANDLE session = p11s_session_handle(work->session);
  struct p11s_pubkey *made = NULL;
  struct p11s_keypair pair;
  enum p11s_err result;

  result = p11s_work_prove_pin(work, e);
  if (result == P11S_OK)
    result = p11s_keygen_make(module, session, key->alg, bits, key->ref->label, &pair, &made, e);
  if (result != P11S_OK)
    return result;
  p11s_key_publish(key, made);
  pthread_mutex_lock(&key->lock);
  key->have_pair = true;
  key->have_handle = false;
  pthread_mutex_unlock(&key->lock);
  return P11S_OK;
}

/* All objects of one class with the key's label: p11s_keygen_make() saw to it that there were none
 * before. */
static enum p11s_err destroy_class(struct p11s_key *key, struct p11s_work *work,
                                   CK_OBJECT_CLASS class, struct p11s_error *e)
{
  CK_FUNCTION_LIST *module = p11s_session_module(work->session);
  CK_SESSION_HANDLE session = p11s_session_handle(work->session);
  CK_ATTRIBUTE template[] = {{CKA_CLASS, &class, sizeof class},
                             {CKA_LABEL, key->ref->label, strlen(key->ref->label)}};
  CK_OBJECT_HANDLE found[4];
  CK_ULONG count = 0;
  CK_RV rv = module->C_FindObjectsInit(session, template, 2);

  if (rv == CKR_OK) {
    rv = module->C_FindObjects(session, found, 4, &count);
    (void)module->C_FindObjectsFinal(session);
  }
  for (CK_ULONG i = 0; rv == CKR_OK && i < count && i < 4; i++)
    rv = module->C_DestroyObject(session, found[i]);
  if (rv == CKR_OK)
    return P11S_OK;
  return p11s_error_set(e, P11S_ERR_TOKEN, "the key pair could not be removed again: %s",
                        p11s_rv_name(rv));
}

enum p11s_err p11s_key_undo_work(struct p11s_key *key, struct p11s_work *work, struct p11s_error *e)
{
  enum p11s_err private_result = destroy_class(key, work, CKO_PRIVATE_KEY, e);
  enum p11s_err public_result = destroy_class(key, work, CKO_PUBLIC_KEY, e);

  pthread_mutex_lock(&key->lock);
  key->have_handle = false;
  key->have_pair = false;
  pthread_mutex_unlock(&key->lock);
  return private_result != P11S_OK ? private_result : public_result;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One signature, by whichever of the two mechanisms the token takes (sign/key_internal.h). */
#include "token/always_auth.h"
#include "base/crypto.h"
#include "sign/key_internal.h"
#include "pkcs11/mechanism.h"
#include "format/rrset.h"
#include "pkcs11/rv.h"

#include <openssl/evp.h>
#include <stdio.h>

/* One signature of a message or digest by signing->plan. */
static enum p11s_err sign_input(struct p11s_key *key, struct p11s_work *work,
                                CK_OBJECT_HANDLE handle, struct p11s_always_auth *consent,
                                struct p11s_signing *signing, struct p11s_error *e)
{
  struct p11s_sign_login login = {p11s_always_auth_login, consent};
  bool whole = signing->plan.whole_message;
  struct p11s_sign_order order = {
      .alg = key->alg,
      .plan = &signing->plan,
      .key = handle,
      .login = signing->plan.consent ? &login : NULL,
      .input = whole ? signing->message : signing->hash,
      .input_len = whole ? signing->len : key->alg->digest_len,
      .signature = signing->signature->data,
      .len = sizeof signing->signature->data,
  };
  enum p11s_err result = p11s_session_sign(work->session, &order, e);

  signing->signature->len = order.len;
  return result;
}

static void note_refused(struct p11s_lengths *lengths, size_t len)
{
  size_t before = atomic_load(&lengths->refused);

  while ((before == 0 || len < before) &&
         !atomic_compare_exchange_weak(&lengths->refused, &before, len))
    ;
}

static void note_signed(struct p11s_lengths *lengths, size_t len)
{
  size_t before = atomic_load(&lengths->longest);

  while (len > before && !atomic_compare_exchange_weak(&lengths->longest, &before, len))
    ;
}

/* In parts, if C_Sign is known to refuse this length, or does so now. What signs EdDSA takes its
   message at once, as it reads it twice (RFC 8032). */
static enum p11s_err sign_whole(struct p11s_key *key, struct p11s_work *work,
                                CK_OBJECT_HANDLE handle, struct p11s_always_auth *consent,
                                struct p11s_signing *signing, struct p11s_error *e)
{
  struct p11s_lengths *lengths = &key->lengths;
  size_t refused = atomic_load(&lengths->refused), len = signing->len;
  bool may = key->alg->family != P11S_EDDSA && !atomic_load(&lengths->no_parts);
  struct p11s_error said = {0};
  enum p11s_err result, in_parts;

  signing->plan.in_parts = may && refused != 0 && len >= refused;
  result = sign_input(key, work, handle, consent, signing, e);
  if (result != P11S_ERR_TOO_LONG || signing->plan.in_parts)
    return result;
  note_refused(lengths, len);
  /* The consent's login is for one signature. When it has been made, the next query goes in parts.
   */
  if (!may || (signing->plan.consent && consent->pin == NULL))
    return result;
  signing->plan.in_parts = true;
  in_parts = sign_input(key, work, handle, consent, signing, &said);
  if (in_parts == P11S_ERR_TOKEN && !p11s_rv_is_lost(said.rv)) {
    atomic_store(&lengths->no_parts, true);
    return result;
  }
  if (in_parts != P11S_OK && e != NULL)
    *e = said;
  return in_parts;
}

/* The consent's login is for one signature: one that was refused before it leaves it for the next.
 */
static enum p11s_err sign_as(struct p11s_key *key, struct p11s_work *work, CK_OBJECT_HANDLE handle,
                             struct p11s_always_auth *consent, struct p11s_signing *signing,
                             struct p11s_error *e)
{
  const EVP_MD *md;
  enum p11s_err result;

  atomic_store(&key->lengths.whole, signing->plan.whole_message);
  if (signing->plan.whole_message) {
    result = sign_whole(key, work, handle, consent, signing, e);
    if (result == P11S_OK)
      note_signed(&key->lengths, signing->len);
    return result;
  }
  md = p11s_crypto_digest(key->alg->digest);
  if (md == NULL || EVP_Digest(signing->message, signing->len, signing->hash, NULL, md, NULL) != 1)
    return p11s_error_set(e, P11S_ERR_TOKEN, "hashing with %s failed", key->alg->digest);
  return sign_input(key, work, handle, consent, signing, e);
}

/* For a handle that has signed rightly, what a fresh session may cure is no refusal. */
static bool is_refused(const struct p11s_grip *grip, enum p11s_err result,
                       const struct p11s_error *said)
{
  return result == P11S_ERR_TOKEN && p11s_rv_is_refused_mechanism(said->rv) &&
         !(grip->proven && p11s_rv_is_lost(said->rv));
}

/* Behind a refusal, which is in signing->refusal. */
static enum p11s_err sign_as_other(struct p11s_key *key, struct p11s_work *work,
                                   const struct p11s_grip *grip, struct p11s_always_auth *consent,
                                   struct p11s_signing *signing, struct p11s_error *e)
{
  struct p11s_error second = {0};
  enum p11s_err result;

  signing->plan = p11s_sign_plan_other(&signing->plan, key->alg);
  signing->switched = true;
  result = sign_as(key, work, grip->handle, consent, signing, &second);
  if (!is_refused(grip, result, &second)) {
    if (result != P11S_OK && e != NULL)
      *e = second;
    return result;
  }
  result =
      p11s_error_set(e, P11S_ERR_TOKEN,
                     "the token lists %s and %s and takes neither for this key (%s; %s): its "
                     "policy, FIPS mode for one, or the key's own attributes forbid it",
                     p11s_mechanism_name(key->alg->raw), p11s_mechanism_name(key->alg->hashing),
                     signing->refusal.text, second.text);
  return p11s_rv_put(e, signing->refusal.rv, result);
}

/* *e has what the token said. */
static void say_too_long(const struct p11s_key *key, const struct p11s_signing *signing,
                         struct p11s_error *e)
{
  size_t longest = atomic_load(&key->lengths.longest);
  struct p11s_buf what = P11S_BUF_INIT;
  char most[64] = "";

  if (p11s_rrset_format(signing->message, signing->len, &what))
    p11s_buf_addstr(&what, ": ");
  if (longest != 0)
    (void)snprintf(most, sizeof most, "; the longest that it has signed has %zu", longest);
  p11s_error_reword(e,
                    "%sthe token refuses a message of %zu bytes for its length (%s)%s. A smaller "
                    "RRset helps",
                    p11s_buf_text(&what), signing->len, e->text, most);
  p11s_buf_clear(&what);
}

static enum p11s_err end(const struct p11s_key *key, struct p11s_always_auth *consent,
                         const struct p11s_signing *signing, enum p11s_err result,
                         struct p11s_error *e)
{
  if (result == P11S_ERR_TOO_LONG && e != NULL)
    say_too_long(key, signing, e);
  if (consent->work != NULL)
    p11s_always_auth_end(consent);
  return result;
}

enum p11s_err p11s_key_sign_on_token(struct p11s_key *key, struct p11s_work *work,
                                     const struct p11s_grip *grip, struct p11s_signing *signing,
                                     struct p11s_error *e)
{
  struct p11s_always_auth consent = {NULL, NULL};
  enum p11s_err result = P11S_OK;

  signing->plan = grip->plan;
  signing->switched = false;
  if (grip->plan.has_other && p11s_work_hashes(work, key->alg))
    signing->plan = p11s_sign_plan_other(&grip->plan, key->alg);
  if (grip->plan.consent)
    result = p11s_always_auth_begin(work, &consent, e);
  if (result != P11S_OK)
    return result;
  result = sign_as(key, work, grip->handle, &consent, signing, &signing->refusal);
  /* A login is made once for a query: when it has been, the next query takes the other. */
  if (is_refused(grip, result, &signing->refusal) && grip->plan.has_other &&
      (!grip->plan.consent || consent.pin != NULL))
    return end(key, &consent, signing, sign_as_other(key, work, grip, &consent, signing, e), e);
  if (is_refused(grip, result, &signing->refusal) && grip->plan.has_other)
    p11s_work_note_hashes(work, key->alg, !signing->plan.whole_message, signing->refusal.text);
  if (result != P11S_OK && e != NULL)
    *e = signing->refusal;
  return end(key, &consent, signing, result, e);
}

bool p11s_key_verify_signing(const struct p11s_key *key, const struct p11s_pubkey *public_key,
                             const struct p11s_signing *signing)
{
  const struct p11s_signature *signature = signing->signature;

  return signing->plan.whole_message
             ? p11s_pubkey_verify(public_key, signing->message, signing->len, signature->data,
                                  signature->len)
             : p11s_pubkey_verify_digest(public_key, signing->hash, key->alg->digest_len,
                                         signature->data, signature->len);
}

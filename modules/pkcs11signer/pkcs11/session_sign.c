/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Signing on a session (pkcs11/session.h). */
#include "pkcs11/session_internal.h"

#include "pkcs11/attribute.h"

#include <string.h>

#define SIGNATURE_MAX (P11S_RSA_MAX_BITS / 8)
#define PART 512 /* bytes of a message in one C_SignUpdate */

/* CKM_EDDSA's parameter in PKCS#11 v3.0, which p11-kit 0.24 does not declare. */
struct eddsa_params {
  CK_BBOOL ph_flag;
  CK_ULONG context_len;
  CK_BYTE *context;
};

/* DER of the DigestInfo up to the digest: RFC 8017 section 9.2, note 1. */
static const struct {
  size_t digest_len;
  size_t len;
  unsigned char der[19];
} digest_infos[] = {
    {20,
     15,
     {0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00, 0x04, 0x14}},
    {32,
     19,
     {0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01,
      0x05, 0x00, 0x04, 0x20}},
    {64,
     19,
     {0x30, 0x51, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03,
      0x05, 0x00, 0x04, 0x40}},
};

enum p11s_err p11s_session_plan(struct p11s_session *s, const struct p11s_algorithm *alg,
                                struct p11s_sign_plan *ret_plan, struct p11s_error *e)
{
  const struct p11s_mechanisms *m = p11s_session_mechanisms(s, e);

  if (m == NULL)
    return P11S_ERR_TOKEN;
  if (p11s_mechanisms_have(m, alg->raw))
    *ret_plan = (struct p11s_sign_plan){.mechanism = alg->raw,
                                        .whole_message = alg->family == P11S_EDDSA,
                                        .has_other = alg->hashing != alg->raw &&
                                                     p11s_mechanisms_have(m, alg->hashing)};
  else if (p11s_mechanisms_have(m, alg->hashing))
    *ret_plan = (struct p11s_sign_plan){.mechanism = alg->hashing, .whole_message = true};
  else
    return p11s_mechanisms_missing(m, "sign with", alg, e);
  return P11S_OK;
}

struct p11s_sign_plan p11s_sign_plan_other(const struct p11s_sign_plan *plan,
                                           const struct p11s_algorithm *alg)
{
  struct p11s_sign_plan other = *plan;

  other.whole_message = !plan->whole_message;
  other.mechanism = other.whole_message ? alg->hashing : alg->raw;
  other.in_parts = false;
  return other;
}

static bool lists(const struct p11s_bytes *mechanisms, CK_MECHANISM_TYPE type)
{
  CK_MECHANISM_TYPE listed;

  for (size_t at = 0; at + sizeof listed <= mechanisms->len; at += sizeof listed) {
    memcpy(&listed, mechanisms->data + at, sizeof listed);
    if (listed == type)
      return true;
  }
  return false;
}

enum p11s_err p11s_session_plan_for_key(struct p11s_session *s, const struct p11s_algorithm *alg,
                                        CK_OBJECT_HANDLE key, struct p11s_sign_plan *plan,
                                        struct p11s_error *e)
{
  struct p11s_bytes allowed;
  enum p11s_err result = p11s_attribute_read(s, key, CKA_ALLOWED_MECHANISMS, &allowed, e);

  if (result == P11S_OK && allowed.len > 0 && plan->has_other) {
    if (!lists(&allowed, alg->raw) && lists(&allowed, alg->hashing))
      *plan = p11s_sign_plan_other(plan, alg);
    plan->has_other = lists(&allowed, alg->raw) && lists(&allowed, alg->hashing);
  }
  p11s_bytes_clear(&allowed);
  return result;
}

/* What C_Sign is told, and what it gives. */
struct call {
  const struct p11s_sign_order *order;
  CK_MECHANISM mechanism;
  const unsigned char *input;
  size_t input_len;
  unsigned char made[SIGNATURE_MAX];
  CK_ULONG made_len;
};

static enum p11s_err sign_failed(const struct call *c, CK_RV rv, const char *call,
                                 struct p11s_error *e)
{
  bool too_long = rv == CKR_DATA_LEN_RANGE && c->order->plan->whole_message;
  enum p11s_err code = too_long ? P11S_ERR_TOO_LONG : P11S_ERR_TOKEN;

  if (rv == CKR_KEY_FUNCTION_NOT_PERMITTED)
    (void)p11s_error_set(e, code,
                         "the token does not let this key sign (%s: %s): it needs CKA_SIGN", call,
                         p11s_rv_name(rv));
  else if (too_long || p11s_rv_is_refused_mechanism(rv))
    (void)p11s_error_set(e, code, "%s: %s for %s", call, p11s_rv_name(rv),
                         p11s_mechanism_name(c->mechanism.mechanism));
  else
    (void)p11s_rv_error(e, rv, call);
  return p11s_rv_put(e, rv, code);
}

/* What is given to a token as not const is only read. */
static CK_RV sign_at_once(struct p11s_session *s, struct call *c)
{
  return s->module->C_Sign(s->handle, (unsigned char *)c->input, c->input_len, c->made,
                           &c->made_len);
}

/* A part that is refused may leave the signature begun: C_Sign ends that, whatever it says. */
static CK_RV sign_in_parts(struct p11s_session *s, struct call *c, const char **ret_call)
{
  *ret_call = "C_SignUpdate";
  for (size_t at = 0; at < c->input_len; at += PART) {
    size_t len = c->input_len - at < PART ? c->input_len - at : PART;
    CK_RV rv = s->module->C_SignUpdate(s->handle, (unsigned char *)c->input + at, len);

    if (rv != CKR_OK) {
      (void)sign_at_once(s, c);
      return rv;
    }
  }
  *ret_call = "C_SignFinal";
  return s->module->C_SignFinal(s->handle, c->made, &c->made_len);
}

/* *ret_rv: the CK_RV behind P11S_ERR_TOKEN, CKR_OK when it was the login's. */
static enum p11s_err sign_once(struct p11s_session *s, struct call *c, CK_RV *ret_rv,
                               struct p11s_error *e)
{
  const char *call = "C_Sign";
  enum p11s_err result;

  *ret_rv = s->module->C_SignInit(s->handle, &c->mechanism, c->order->key);
  if (*ret_rv != CKR_OK)
    return sign_failed(c, *ret_rv, "C_SignInit", e);
  if (c->order->login != NULL) {
    result = c->order->login->fn(s, c->order->login->arg, e);
    if (result != P11S_OK) {
      s->spoilt = true;
      return result;
    }
  }
  *ret_rv = c->order->plan->in_parts ? sign_in_parts(s, c, &call) : sign_at_once(s, c);
  if (*ret_rv == CKR_OK)
    return P11S_OK;
  if (*ret_rv == CKR_BUFFER_TOO_SMALL)
    s->spoilt = true; /* all other errors end the operation (PKCS#11 v2.40 section 5.11) */
  return sign_failed(c, *ret_rv, call, e);
}

static enum p11s_err sign_raw(struct p11s_session *s, struct call *c, struct p11s_error *e)
{
  struct eddsa_params params = {0};
  enum p11s_err result;
  CK_RV rv;

  c->made_len = sizeof c->made;
  result = sign_once(s, c, &rv, e);
  /* PKCS#11 v3.0 wants the parameter for Ed448, which older tokens do not know. */
  if (rv == CKR_MECHANISM_PARAM_INVALID && c->order->alg->family == P11S_EDDSA) {
    c->mechanism.pParameter = &params;
    c->mechanism.ulParameterLen = sizeof params;
    c->made_len = sizeof c->made;
    result = sign_once(s, c, &rv, e);
    c->mechanism.pParameter = NULL;
  }
  if (result == P11S_OK && c->made_len > sizeof c->made)
    c->made_len = 0; /* the token lies about its own length */
  return result;
}

/* Puts the DigestInfo before an RSA digest; 0 when there is none for that length. */
static size_t digest_info(size_t digest_len, const unsigned char *digest, unsigned char *to)
{
  for (size_t i = 0; i < sizeof digest_infos / sizeof digest_infos[0]; i++) {
    if (digest_infos[i].digest_len != digest_len)
      continue;
    memcpy(to, digest_infos[i].der, digest_infos[i].len);
    memcpy(to + digest_infos[i].len, digest, digest_len);
    return digest_infos[i].len + digest_len;
  }
  return 0;
}

/* The length an RSA signature must have. Only a token that drops leading zeros, or a key of a rare
   size, gives one that is not a multiple of 8: only then the token is asked. */
static size_t rsa_length(struct p11s_session *s, CK_OBJECT_HANDLE key, size_t len)
{
  struct p11s_bytes modulus;
  size_t zeros = 0;

  if (len % 8 == 0 || p11s_attribute_read(s, key, CKA_MODULUS, &modulus, NULL) != P11S_OK)
    return len;
  while (zeros < modulus.len && modulus.data[zeros] == 0)
    zeros++;
  if (modulus.len > zeros)
    len = modulus.len - zeros;
  p11s_bytes_clear(&modulus);
  return len;
}

/* SEQUENCE { INTEGER, INTEGER }: what libraries of other kinds give. PKCS#11 has r and s only
   (v2.40, section 2.3.1). */
static bool is_der(const unsigned char *made, size_t len)
{
  return len > 4 && len < 128 && made[0] == 0x30 && made[1] == len - 2 && made[2] == 0x02;
}

/* Brings what the token gave into RRSIG form. */
static enum p11s_err finish(struct p11s_session *s, const struct call *c,
                            struct p11s_sign_order *order, struct p11s_error *e)
{
  const struct p11s_algorithm *alg = order->alg;
  bool rsa = alg->family == P11S_RSA;
  size_t want = rsa ? rsa_length(s, order->key, c->made_len) : alg->signature_len;
  bool der = alg->family == P11S_ECDSA && is_der(c->made, c->made_len);

  if (c->made_len == 0 || c->made_len > want || (!rsa && c->made_len != want))
    return p11s_error_set(e, P11S_ERR_SIGNATURE,
                          "C_Sign: a signature of %lu byte%s%s where algorithm %u (%s) has %zu%s",
                          c->made_len, p11s_plural(c->made_len), der ? " in DER" : "", alg->number,
                          alg->mnemonic, want, der ? ", r and s, in PKCS#11" : "");
  if (want > order->len)
    return p11s_error_set(e, P11S_ERR_TOKEN, "C_Sign: a signature of %zu bytes, room for %zu", want,
                          order->len);
  memset(order->signature, 0, want - c->made_len);
  memcpy(order->signature + want - c->made_len, c->made, c->made_len);
  order->len = want;
  return P11S_OK;
}

enum p11s_err p11s_session_sign(struct p11s_session *s, struct p11s_sign_order *order,
                                struct p11s_error *e)
{
  const struct p11s_algorithm *alg = order->alg;
  bool digest = !order->plan->whole_message;
  struct call c = {.order = order,
                   .mechanism = {order->plan->mechanism, NULL, 0},
                   .input = order->input,
                   .input_len = order->input_len};
  unsigned char info[19 + 64];
  enum p11s_err result;

  if (digest && order->input_len != alg->digest_len)
    return p11s_error_set(e, P11S_ERR_TOKEN, "a digest of %zu bytes for algorithm %u",
                          order->input_len, alg->number);
  if (digest && alg->family == P11S_RSA) {
    c.input_len = digest_info(order->input_len, order->input, info);
    c.input = info;
    if (c.input_len == 0)
      return p11s_error_set(e, P11S_ERR_TOKEN, "no DigestInfo for algorithm %u", alg->number);
  }
  result = sign_raw(s, &c, e);
  return result == P11S_OK ? finish(s, &c, order, e) : result;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How a session signs: plans, what a token gives for a signature, a login for each. */
#include "rig/pair_rig.h"
#include "rig/session_rig.h"

#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static CK_FUNCTION_LIST *real;
static CK_FUNCTION_LIST wrapped;
static const unsigned char message[] = "what an RRSIG covers";

static int wrapped_setup(void **state)
{
  (void)state;
  real = softhsm_module();
  wrapped = *real;
  return 0;
}

/* --- plans ----------------------------------------------------------------- */

static CK_MECHANISM_TYPE offered[4];
static CK_ULONG offered_count;
static int listings;

static CK_RV few_mechanisms(CK_SLOT_ID id, CK_MECHANISM_TYPE *list, CK_ULONG *count)
{
  (void)id;
  listings++;
  if (list != NULL)
    memcpy(list, offered, offered_count * sizeof *list);
  *count = offered_count;
  return CKR_OK;
}

static void plans(void **state)
{
  struct p11s_session *s;
  struct p11s_sign_plan plan;
  struct p11s_error e;

  (void)state;
  offered[0] = CKM_RSA_PKCS;
  offered[1] = CKM_SHA256_RSA_PKCS;
  offered[2] = CKM_ECDSA_SHA384;
  offered[3] = CKM_EDDSA;
  offered_count = 4;
  listings = 0;
  wrapped.C_GetMechanismList = few_mechanisms;
  s = session_rig_open(&wrapped, "token", false);
  assert_int_equal(p11s_session_plan(s, p11s_algorithm_find(8), &plan, &e), P11S_OK);
  assert_int_equal(plan.mechanism, CKM_RSA_PKCS);
  assert_false(plan.whole_message);
  assert_int_equal(p11s_session_plan(s, p11s_algorithm_find(14), &plan, &e), P11S_OK);
  assert_int_equal(plan.mechanism, CKM_ECDSA_SHA384);
  assert_true(plan.whole_message);
  assert_int_equal(p11s_session_plan(s, p11s_algorithm_find(15), &plan, &e), P11S_OK);
  assert_int_equal(plan.mechanism, CKM_EDDSA);
  assert_true(plan.whole_message);
  assert_int_equal(p11s_session_plan(s, p11s_algorithm_find(13), &plan, &e), P11S_ERR_MECHANISM);
  assert_non_null(strstr(e.text, "13 (ECDSAP256SHA256)"));
  assert_non_null(strstr(e.text, "8 (RSASHA256)"));
  assert_non_null(strstr(e.text, "14 (ECDSAP384SHA384)"));
  assert_int_equal(listings, 2); /* length and list, once */
  p11s_session_close(s);
}

/* --- signing --------------------------------------------------------------- */

struct key {
  struct p11s_session *session;
  const struct p11s_algorithm *alg;
  struct test_pair pair;
  struct p11s_pubkey *public;
};

static void make_key(struct key *key, CK_FUNCTION_LIST *module, unsigned number, unsigned bits)
{
  struct p11s_error e;
  char label[32];

  key->session = session_rig_open(module, "token", true);
  key->alg = p11s_algorithm_find(number);
  assert_int_equal(session_rig_login(key->session, USER_PIN, NULL, &e), P11S_OK);
  (void)snprintf(label, sizeof label, "sign-%u", number);
  if (test_pair_make(module, key->session->handle, key->alg, bits, label, &key->pair, &key->public,
                     &e) != P11S_OK)
    fail_msg("%u: %s", number, e.text);
}

static void drop_key(struct key *key)
{
  assert_int_equal(
      test_pair_destroy(p11s_session_module(key->session), key->session->handle, &key->pair),
      P11S_OK);
  p11s_pubkey_free(key->public);
  p11s_session_close(key->session);
}

static enum p11s_err sign_input(struct p11s_session *s, struct p11s_sign_order *order, size_t *len,
                                struct p11s_error *e)
{
  enum p11s_err result;

  order->len = *len;
  result = p11s_session_sign(s, order, e);
  *len = order->len;
  return result;
}

static enum p11s_err sign(const struct key *key, const struct p11s_sign_plan *plan,
                          unsigned char *signature, size_t *len, struct p11s_error *e)
{
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned digest_len;

  if (plan->whole_message)
    return sign_input(key->session,
                      &(struct p11s_sign_order){key->alg, plan, key->pair.private_key, NULL,
                                                message, sizeof message, signature, 0},
                      len, e);
  assert_int_equal(EVP_Digest(message, sizeof message, digest, &digest_len,
                              EVP_get_digestbyname(key->alg->digest), NULL),
                   1);
  return sign_input(key->session,
                    &(struct p11s_sign_order){key->alg, plan, key->pair.private_key, NULL, digest,
                                              digest_len, signature, 0},
                    len, e);
}

static void assert_signs(const struct key *key, const struct p11s_sign_plan *plan)
{
  unsigned char signature[512];
  size_t len = sizeof signature;
  struct p11s_error e;

  if (sign(key, plan, signature, &len, &e) != P11S_OK)
    fail_msg("%u: %s", key->alg->number, e.text);
  assert_int_equal(len, p11s_pubkey_signature_len(key->public));
  assert_true(p11s_pubkey_verify(key->public, message, sizeof message, signature, len));
  signature[len / 2] ^= 1;
  assert_false(p11s_pubkey_verify(key->public, message, sizeof message, signature, len));
}

static void all_algorithms(void **state)
{
  const struct p11s_algorithm *alg;
  struct p11s_sign_plan plan;
  struct p11s_error e;
  struct key key = {.pair = {.public_key = CK_INVALID_HANDLE}};

  (void)state;
  for (size_t i = 0; (alg = p11s_algorithm_at(i)) != NULL; i++) {
    struct p11s_session *s = session_rig_opened(false);
    enum p11s_err result = p11s_session_plan(s, alg, &plan, &e);

    p11s_session_close(s);
    if (result == P11S_ERR_MECHANISM) {
      print_message("skipped: %s\n", e.text);
      continue;
    }
    make_key(&key, softhsm_module(), alg->number, alg->family == P11S_RSA ? 1024 : 0);
    assert_signs(&key, &plan);
    /* And as with a token that hashes itself, where SoftHSM can. */
    plan = (struct p11s_sign_plan){.mechanism = alg->hashing, .whole_message = true};
    if (p11s_mechanisms_have(p11s_session_mechanisms(key.session, NULL), alg->hashing))
      assert_signs(&key, &plan);
    drop_key(&key);
  }
}

static unsigned parts;
static CK_RV part_rv; /* of the second one */

static CK_RV counted_update(CK_SESSION_HANDLE session, CK_BYTE *part, CK_ULONG len)
{
  return ++parts == 2 && part_rv != CKR_OK ? part_rv : real->C_SignUpdate(session, part, len);
}

static void message_in_parts(void **state)
{
  static const unsigned char long_message[1200] = "what an RRSIG covers";
  struct p11s_sign_plan plan = {
      .mechanism = CKM_SHA256_RSA_PKCS, .whole_message = true, .in_parts = true};
  struct key key = {.pair = {.public_key = CK_INVALID_HANDLE}};
  unsigned char signature[512];
  size_t len = sizeof signature;
  struct p11s_error e;

  (void)state;
  wrapped.C_SignUpdate = counted_update;
  make_key(&key, &wrapped, 8, 1024);
  parts = 0;
  part_rv = CKR_OK;
  assert_int_equal(
      sign_input(key.session,
                 &(struct p11s_sign_order){key.alg, &plan, key.pair.private_key, NULL, long_message,
                                           sizeof long_message, signature, 0},
                 &len, &e),
      P11S_OK);
  assert_int_equal(parts, 3);
  assert_true(p11s_pubkey_verify(key.public, long_message, sizeof long_message, signature, len));
  /* A refused part ends the signature. */
  parts = 0;
  part_rv = CKR_FUNCTION_NOT_SUPPORTED;
  assert_int_equal(
      sign_input(key.session,
                 &(struct p11s_sign_order){key.alg, &plan, key.pair.private_key, NULL, long_message,
                                           sizeof long_message, signature, 0},
                 &len, &e),
      P11S_ERR_TOKEN);
  assert_non_null(strstr(e.text, "C_SignUpdate: CKR_FUNCTION_NOT_SUPPORTED"));
  assert_int_equal(e.rv, CKR_FUNCTION_NOT_SUPPORTED);
  parts = 0;
  part_rv = CKR_DATA_LEN_RANGE;
  assert_int_equal(
      sign_input(key.session,
                 &(struct p11s_sign_order){key.alg, &plan, key.pair.private_key, NULL, long_message,
                                           sizeof long_message, signature, 0},
                 &len, &e),
      P11S_ERR_TOO_LONG);
  assert_false(p11s_session_is_spoilt(key.session));
  assert_false(p11s_sign_plan_other(&plan, key.alg).in_parts);
  plan.in_parts = false;
  assert_signs(&key, &plan);
  drop_key(&key);
}

static void failed_signatures(void **state)
{
  unsigned char signature[512];
  struct p11s_sign_plan plan = {.mechanism = CKM_ECDSA};
  size_t len = sizeof signature;
  CK_BBOOL no = CK_FALSE;
  struct p11s_error e;
  struct key key = {.pair = {.public_key = CK_INVALID_HANDLE}};

  (void)state;
  make_key(&key, softhsm_module(), 13, 0);
  /* a digest of the wrong length */
  assert_int_equal(sign_input(key.session,
                              &(struct p11s_sign_order){key.alg, &plan, key.pair.private_key, NULL,
                                                        message, 20, signature, 0},
                              &len, &e),
                   P11S_ERR_TOKEN);
  assert_int_equal(e.rv, CKR_OK);
  /* no room */
  len = 63;
  assert_int_equal(sign(&key, &plan, signature, &len, &e), P11S_ERR_TOKEN);
  /* a mechanism that the key is not for: no lost session */
  len = sizeof signature;
  plan.mechanism = CKM_VENDOR_DEFINED;
  assert_int_equal(sign(&key, &plan, signature, &len, &e), P11S_ERR_TOKEN);
  assert_false(p11s_rv_is_lost(e.rv));
  /* the key is not for signing */
  plan.mechanism = CKM_ECDSA;
  assert_int_equal(softhsm_module()->C_SetAttributeValue(key.session->handle, key.pair.private_key,
                                                         &(CK_ATTRIBUTE){CKA_SIGN, &no, sizeof no},
                                                         1),
                   CKR_OK);
  assert_int_equal(sign(&key, &plan, signature, &len, &e), P11S_ERR_TOKEN);
  assert_non_null(strstr(e.text, "CKA_SIGN"));
  /* the key is gone */
  assert_int_equal(softhsm_module()->C_DestroyObject(key.session->handle, key.pair.private_key),
                   CKR_OK);
  assert_int_equal(sign(&key, &plan, signature, &len, &e), P11S_ERR_TOKEN);
  assert_true(p11s_rv_is_lost(e.rv));
  /* the session is gone, and with it SoftHSM's handles */
  key.pair.private_key = CK_INVALID_HANDLE;
  assert_int_equal(test_pair_destroy(softhsm_module(), key.session->handle, &key.pair), P11S_OK);
  key.pair.public_key = CK_INVALID_HANDLE;
  assert_int_equal(softhsm_module()->C_CloseAllSessions(session_rig_slot), CKR_OK);
  assert_int_equal(sign(&key, &plan, signature, &len, &e), P11S_ERR_TOKEN);
  assert_true(p11s_rv_is_lost(e.rv));
  drop_key(&key);
}

/* --- a token that gives odd signatures ------------------------------------- */

#define ROOM 2048
static CK_ULONG odd_len;
static CK_RV odd_rv;
static const unsigned char *odd_begin; /* of the signature; the rest does not matter */
static size_t odd_begin_len;
static struct p11s_error odd_error;
static CK_ULONG odd_params_wanted; /* 0: none */
static CK_ULONG modulus_len;
static unsigned char modulus_first; /* byte */
static int sign_inits, signs, sign_logins;

static CK_RV odd_sign_init(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
  (void)session;
  (void)key;
  sign_inits++;
  return mechanism->ulParameterLen == odd_params_wanted ? CKR_OK : CKR_MECHANISM_PARAM_INVALID;
}

static CK_RV odd_sign(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG data_len,
                      CK_BYTE *signature, CK_ULONG *len)
{
  (void)session;
  (void)data;
  (void)data_len;
  signs++;
  if (odd_rv == CKR_OK && odd_len <= *len) {
    memset(signature, 0xab, odd_len);
    for (size_t i = 0; i < odd_begin_len; i++)
      signature[i] = odd_begin[i];
  }
  *len = odd_len;
  return odd_rv;
}

static CK_RV odd_attribute(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *attr,
                           CK_ULONG n)
{
  (void)session;
  (void)object;
  assert_int_equal(n, 1);
  if (attr->type != CKA_MODULUS)
    return CKR_ATTRIBUTE_TYPE_INVALID;
  if (attr->pValue != NULL) {
    memset(attr->pValue, 0xcd, modulus_len);
    *(unsigned char *)attr->pValue = modulus_first;
  }
  attr->ulValueLen = modulus_len;
  return CKR_OK;
}

static int odd_setup(void **state)
{
  (void)wrapped_setup(state);
  wrapped.C_SignInit = odd_sign_init;
  wrapped.C_Sign = odd_sign;
  wrapped.C_GetAttributeValue = odd_attribute;
  odd_rv = CKR_OK;
  odd_begin_len = 0;
  odd_params_wanted = 0;
  modulus_len = 128;
  modulus_first = 0xcd;
  sign_inits = signs = sign_logins = 0;
  return 0;
}

/* signature holds ROOM bytes. */
static enum p11s_err odd_signature(unsigned number, CK_ULONG token_gives, unsigned char *signature,
                                   size_t *len)
{
  const struct p11s_algorithm *alg = p11s_algorithm_find(number);
  struct p11s_sign_plan plan = {.mechanism = alg->raw, .whole_message = alg->family == P11S_EDDSA};
  struct p11s_session *s = session_rig_open(&wrapped, "token", false);
  unsigned char input[64] = {0};
  enum p11s_err result;

  *len = ROOM;
  odd_len = token_gives;
  result = sign_input(s,
                      &(struct p11s_sign_order){alg, &plan, 1, NULL, input,
                                                alg->family == P11S_EDDSA ? 10 : alg->digest_len,
                                                signature, 0},
                      len, &odd_error);
  if (result != P11S_OK)
    assert_int_equal(result, odd_error.code);
  p11s_session_close(s);
  return result;
}

/* SEQUENCE { INTEGER …, as OpenSSL has it. */
static void signature_in_der(void **state)
{
  unsigned char signature[ROOM];
  size_t len;

  (void)state;
  odd_begin = (const unsigned char *)"\x30\x46\x02\x21";
  odd_begin_len = 4;
  assert_int_equal(odd_signature(13, 72, signature, &len), P11S_ERR_SIGNATURE);
  assert_non_null(strstr(odd_error.text, "72 bytes in DER where"));
  assert_non_null(strstr(odd_error.text, "has 64, r and s"));
  assert_int_equal(odd_signature(13, 71, signature, &len), P11S_ERR_SIGNATURE);
  assert_null(strstr(odd_error.text, "DER"));
  assert_int_equal(odd_signature(15, 72, signature, &len), P11S_ERR_SIGNATURE);
  assert_null(strstr(odd_error.text, "DER"));
}

static void lengths_of_signatures(void **state)
{
  unsigned char signature[ROOM];
  size_t len;

  (void)state;
  assert_int_equal(odd_signature(13, 64, signature, &len), P11S_OK);
  assert_int_equal(len, 64);
  assert_int_equal(odd_signature(13, 72, signature, &len), P11S_ERR_SIGNATURE); /* DER */
  assert_int_equal(odd_signature(13, 63, signature, &len), P11S_ERR_SIGNATURE);
  assert_int_equal(odd_signature(14, 96, signature, &len), P11S_OK);
  assert_int_equal(odd_signature(14, 0, signature, &len), P11S_ERR_SIGNATURE);
  assert_int_equal(odd_signature(15, 64, signature, &len), P11S_OK);
  assert_int_equal(odd_signature(15, 32, signature, &len), P11S_ERR_SIGNATURE);
  assert_int_equal(odd_signature(8, 0, signature, &len), P11S_ERR_SIGNATURE);
  assert_int_equal(odd_signature(8, 1024, signature, &len), P11S_ERR_SIGNATURE);
  assert_int_equal(odd_signature(8, 513, signature, &len), P11S_ERR_SIGNATURE);
  assert_int_equal(odd_signature(8, CK_UNAVAILABLE_INFORMATION, signature, &len),
                   P11S_ERR_SIGNATURE);
  assert_int_equal(odd_signature(13, CK_UNAVAILABLE_INFORMATION, signature, &len),
                   P11S_ERR_SIGNATURE);
}

static void rsa_without_leading_zeros(void **state)
{
  unsigned char signature[ROOM];
  size_t len;

  (void)state;
  assert_int_equal(odd_signature(8, 127, signature, &len), P11S_OK);
  assert_int_equal(len, 128);
  assert_int_equal(signature[0], 0);
  assert_int_equal(signature[1], 0xab);
  assert_int_equal(signature[127], 0xab);
  assert_int_equal(odd_signature(8, 128, signature, &len), P11S_OK);
  assert_int_equal(len, 128);
  assert_int_equal(signature[0], 0xab);
  /* a modulus with a leading zero of its own */
  modulus_first = 0;
  modulus_len = 129;
  assert_int_equal(odd_signature(8, 127, signature, &len), P11S_OK);
  assert_int_equal(len, 128);
  assert_int_equal(odd_signature(8, 129, signature, &len), P11S_ERR_SIGNATURE);
  /* a modulus that claims to be larger than any we have room for */
  modulus_len = ROOM + 2;
  assert_int_equal(odd_signature(8, 127, signature, &len), P11S_ERR_TOKEN);
}

static void buffer_too_small(void **state)
{
  unsigned char signature[ROOM];
  size_t len;

  (void)state;
  odd_rv = CKR_BUFFER_TOO_SMALL;
  assert_int_equal(odd_signature(8, 1024, signature, &len), P11S_ERR_TOKEN);
  assert_int_equal(odd_error.rv, CKR_BUFFER_TOO_SMALL);
}

/* -- a key that may be used with some mechanisms only */

static CK_MECHANISM_TYPE allowed[4];
static CK_ULONG allowed_len; /* bytes */
static CK_RV allowed_rv;

static CK_RV allowed_attribute(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
                               CK_ATTRIBUTE *attr, CK_ULONG n)
{
  (void)session;
  (void)object;
  (void)n;
  if (attr->type != CKA_ALLOWED_MECHANISMS)
    return CKR_ATTRIBUTE_TYPE_INVALID;
  if (attr->pValue != NULL)
    memcpy(attr->pValue, allowed, allowed_len);
  attr->ulValueLen = allowed_len;
  return allowed_rv;
}

static struct p11s_sign_plan plan_with(unsigned number, enum p11s_err expected)
{
  const struct p11s_algorithm *alg = p11s_algorithm_find(number);
  struct p11s_sign_plan plan;
  struct p11s_session *s;
  struct p11s_error e;

  wrapped.C_GetAttributeValue = allowed_attribute;
  s = session_rig_open(&wrapped, "token", false);
  assert_int_equal(p11s_session_plan(s, alg, &plan, &e), P11S_OK);
  assert_int_equal(p11s_session_plan_for_key(s, alg, 1, &plan, &e), expected);
  p11s_session_close(s);
  return plan;
}

static void assert_plan(unsigned number, CK_MECHANISM_TYPE mechanism, bool whole_message)
{
  struct p11s_sign_plan plan = plan_with(number, P11S_OK);

  assert_int_equal(plan.mechanism, mechanism);
  assert_int_equal(plan.whole_message, whole_message);
}

static void mechanisms_of_a_key(void **state)
{
  (void)state;
  allowed_rv = CKR_OK;
  allowed_len = 0;
  assert_plan(8, CKM_RSA_PKCS, false);
  allowed[0] = CKM_SHA512_RSA_PKCS;
  allowed[1] = CKM_SHA256_RSA_PKCS;
  allowed_len = 2 * sizeof allowed[0];
  assert_plan(8, CKM_SHA256_RSA_PKCS, true);
  assert_plan(10, CKM_SHA512_RSA_PKCS, true);
  /* what cannot be done with it is for C_SignInit to say */
  assert_plan(5, CKM_RSA_PKCS, false);
  /* the last one is cut off */
  allowed_len--;
  assert_plan(8, CKM_RSA_PKCS, false);
  allowed[0] = CKM_SHA256_RSA_PKCS;
  allowed[1] = CKM_RSA_PKCS;
  allowed_len = 2 * sizeof allowed[0];
  assert_plan(8, CKM_RSA_PKCS, false);
  /* not offered by the token */
  allowed[0] = CKM_ECDSA_SHA256;
  allowed_len = sizeof allowed[0];
  assert_plan(13, CKM_ECDSA, false);
  allowed_rv = CKR_DEVICE_ERROR;
  (void)plan_with(8, P11S_ERR_TOKEN);
}

/* -- a login for each signature */

static enum p11s_err sign_login_result;

static enum p11s_err sign_login(struct p11s_session *s, void *arg, struct p11s_error *e)
{
  assert_ptr_equal(arg, &sign_logins);
  assert_non_null(s);
  assert_int_equal(sign_inits, 1);
  assert_int_equal(signs, 0);
  sign_logins++;
  return sign_login_result == P11S_OK ? P11S_OK : p11s_error_set(e, sign_login_result, "no");
}

/* Whether the session is spoilt by it. */
static bool sign_with_login(enum p11s_err login_says, enum p11s_err expected)
{
  const struct p11s_algorithm *alg = p11s_algorithm_find(13);
  struct p11s_sign_plan plan = {.mechanism = alg->raw, .consent = true};
  struct p11s_sign_login login = {sign_login, &sign_logins};
  struct p11s_session *s = session_rig_open(&wrapped, "token", false);
  unsigned char input[32] = {0}, signature[ROOM];
  struct p11s_error e;
  size_t len = ROOM;
  bool spoilt;

  odd_len = 64;
  sign_login_result = login_says;
  assert_int_equal(sign_input(s,
                              &(struct p11s_sign_order){alg, &plan, 1, &login, input, sizeof input,
                                                        signature, 0},
                              &len, &e),
                   expected);
  spoilt = p11s_session_is_spoilt(s);
  p11s_session_close(s);
  return spoilt;
}

static void login_for_a_signature(void **state)
{
  (void)state;
  assert_false(sign_with_login(P11S_OK, P11S_OK));
  assert_int_equal(sign_logins, 1);
  assert_int_equal(signs, 1);
}

static void login_for_a_signature_refused(void **state)
{
  (void)state;
  assert_true(sign_with_login(P11S_ERR_PIN_REFUSED, P11S_ERR_PIN_REFUSED));
  assert_int_equal(sign_logins, 1);
  assert_int_equal(signs, 0);
}

static void no_login_when_nothing_was_begun(void **state)
{
  (void)state;
  odd_params_wanted = 1000;
  assert_false(sign_with_login(P11S_OK, P11S_ERR_TOKEN));
  assert_int_equal(sign_logins, 0);
}

/* Every error but CKR_BUFFER_TOO_SMALL ends what C_SignInit began. */
static void what_spoils_a_session(void **state)
{
  (void)state;
  odd_rv = CKR_DEVICE_ERROR;
  assert_false(sign_with_login(P11S_OK, P11S_ERR_TOKEN));
  sign_inits = signs = 0;
  odd_rv = CKR_BUFFER_TOO_SMALL;
  assert_true(sign_with_login(P11S_OK, P11S_ERR_TOKEN));
}

static void eddsa_parameters(void **state)
{
  unsigned char signature[ROOM];
  size_t len;

  (void)state;
  assert_int_equal(odd_signature(16, 114, signature, &len), P11S_OK);
  assert_int_equal(sign_inits, 1);
  odd_params_wanted = 24;
  assert_int_equal(odd_signature(16, 114, signature, &len), P11S_OK);
  assert_int_equal(len, 114);
  assert_int_equal(sign_inits, 3);
  /* not more than twice, and not for others */
  odd_params_wanted = 1000;
  assert_int_equal(odd_signature(16, 114, signature, &len), P11S_ERR_TOKEN);
  assert_int_equal(sign_inits, 5);
  assert_int_equal(odd_signature(13, 64, signature, &len), P11S_ERR_TOKEN);
  assert_int_equal(sign_inits, 6);
}

int main(void)
{
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(plans, wrapped_setup),
      cmocka_unit_test(all_algorithms),
      cmocka_unit_test_setup(message_in_parts, wrapped_setup),
      cmocka_unit_test(failed_signatures),
      cmocka_unit_test_setup(lengths_of_signatures, odd_setup),
      cmocka_unit_test_setup(signature_in_der, odd_setup),
      cmocka_unit_test_setup(rsa_without_leading_zeros, odd_setup),
      cmocka_unit_test_setup(buffer_too_small, odd_setup),
      cmocka_unit_test_setup(mechanisms_of_a_key, wrapped_setup),
      cmocka_unit_test_setup(login_for_a_signature, odd_setup),
      cmocka_unit_test_setup(login_for_a_signature_refused, odd_setup),
      cmocka_unit_test_setup(no_login_when_nothing_was_begun, odd_setup),
      cmocka_unit_test_setup(what_spoils_a_session, odd_setup),
      cmocka_unit_test_setup(eddsa_parameters, odd_setup),
  };

  return cmocka_run_group_tests_name("session_sign", tests, session_rig_setup,
                                     session_rig_teardown);
}

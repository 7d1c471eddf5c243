/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pkcs11/keygen.h"

#include "pkcs11/mechanism.h"
#include "pkcs11/object.h"
#include "pkcs11/object_internal.h"
#include "pkcs11/rv.h"
#include "pkcs11/session_internal.h"

#include <stdint.h>
#include <string.h>

/* What else the key may be used for is forbidden by name, as some tokens allow it by default.
   Others do not know the attributes. A TPM has one bit for signing and encrypting: what forbids the
   public key to encrypt forbids the private one to sign. */
enum restriction { RESTRICT_NONE, RESTRICT_PRIVATE, RESTRICT_BOTH };

static bool dislikes_template(CK_RV rv)
{
  return rv == CKR_ATTRIBUTE_TYPE_INVALID || rv == CKR_ATTRIBUTE_VALUE_INVALID ||
         rv == CKR_ATTRIBUTE_READ_ONLY || rv == CKR_TEMPLATE_INCONSISTENT ||
         rv == CKR_GENERAL_ERROR; /* tpm2-pkcs11 */
}

static enum p11s_err generate_failed(CK_RV rv, const struct p11s_algorithm *alg, unsigned bits,
                                     struct p11s_error *e)
{
  switch (rv) {
  case CKR_KEY_SIZE_RANGE:
    return p11s_error_set(e, P11S_ERR_KEY_TYPE, "the token does not make keys of %u bits", bits);
  case CKR_CURVE_NOT_SUPPORTED:
  case CKR_DOMAIN_PARAMS_INVALID:
    return p11s_error_set(e, P11S_ERR_MECHANISM,
                          "the token does not know the curve of algorithm %u (%s): %s", alg->number,
                          alg->mnemonic, p11s_rv_name(rv));
  case CKR_TOKEN_WRITE_PROTECTED:
  case CKR_SESSION_READ_ONLY:
    return p11s_error_set(e, P11S_ERR_TOKEN, "the token is write-protected: %s", p11s_rv_name(rv));
  case CKR_DEVICE_MEMORY:
    return p11s_error_set(e, P11S_ERR_TOKEN, "the token has no room for another key: %s",
                          p11s_rv_name(rv));
  default:
    return p11s_rv_error(e, rv, "C_GenerateKeyPair");
  }
}

/* Where it is made. */
struct bench {
  struct p11s_session *session;
  const struct p11s_algorithm *alg;
  struct p11s_keypair *pair;
  CK_OBJECT_HANDLE public_key, private_key; /* C_GenerateKeyPair's */
};

/* Templates are not const in PKCS#11, but are only read. What not every call has stands at an end.
 */
static CK_RV call(struct bench *b, unsigned bits, enum restriction restriction)
{
  static CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
  static unsigned char exponent[] = {1, 0, 1};
  const struct p11s_algorithm *alg = b->alg;
  CK_MECHANISM mechanism = {alg->keygen, NULL, 0};
  CK_ULONG modulus_bits = bits, rsa = alg->family == P11S_RSA;
  CK_ATTRIBUTE label = {CKA_LABEL, (void *)(uintptr_t)b->pair->label, strlen(b->pair->label)};
  CK_ATTRIBUTE id = {CKA_ID, b->pair->id, sizeof b->pair->id};
  CK_ATTRIBUTE params = {CKA_EC_PARAMS, (void *)(uintptr_t)alg->ec_params, alg->ec_params_len};
  CK_ATTRIBUTE public_template[] = {
      {CKA_PUBLIC_EXPONENT, exponent, sizeof exponent},
      rsa ? (CK_ATTRIBUTE){CKA_MODULUS_BITS, &modulus_bits, sizeof modulus_bits} : params,
      {CKA_TOKEN, &yes, sizeof yes},
      {CKA_VERIFY, &yes, sizeof yes},
      label,
      id,
      {CKA_ENCRYPT, &no, sizeof no},
      {CKA_WRAP, &no, sizeof no},
  };
  CK_ATTRIBUTE private_template[] = {
      {CKA_TOKEN, &yes, sizeof yes},
      {CKA_PRIVATE, &yes, sizeof yes},
      {CKA_SENSITIVE, &yes, sizeof yes},
      {CKA_EXTRACTABLE, &no, sizeof no},
      {CKA_SIGN, &yes, sizeof yes},
      label,
      id,
      {CKA_DECRYPT, &no, sizeof no},
      {CKA_UNWRAP, &no, sizeof no},
      {CKA_SIGN_RECOVER, &no, sizeof no},
  };

  b->public_key = b->private_key = CK_INVALID_HANDLE;
  return b->session->module->C_GenerateKeyPair(
      b->session->handle, &mechanism, public_template + !rsa,
      5 + rsa + (restriction == RESTRICT_BOTH ? 2 : 0), private_template,
      restriction == RESTRICT_NONE ? 7 : 10, &b->public_key, &b->private_key);
}

/* Behind a call that failed. P11S_OK: the token made nothing, and may be asked in another way. */
static enum p11s_err clean_up(struct bench *b, CK_RV rv, struct p11s_error *e)
{
  struct p11s_error said = {0};
  bool made;
  enum p11s_err result = p11s_keypair_clean_up(b->session, b->pair, &made, &said);

  if (result == P11S_OK)
    return P11S_OK;
  /* A session that is lost is for the next try to make good. One that made the pair and fails will
     do so again. */
  if (!made)
    return p11s_rv_error(e, rv, "C_GenerateKeyPair");
  return p11s_error_set(e, P11S_ERR_TOKEN, "C_GenerateKeyPair: %s, but %s", p11s_rv_name(rv),
                        said.text);
}

static enum p11s_err generate(struct bench *b, unsigned bits, struct p11s_error *e)
{
  CK_RV rv = CKR_OK;

  for (int restriction = RESTRICT_BOTH; restriction >= RESTRICT_NONE; restriction--) {
    enum p11s_err result;

    if (!p11s_keypair_begin(b->pair))
      return p11s_error_set(e, P11S_ERR_TIMEOUT, "nobody waits for the new key any more");
    rv = call(b, bits, (enum restriction)restriction);
    if (rv == CKR_OK)
      return P11S_OK;
    result = clean_up(b, rv, e);
    if (result != P11S_OK)
      return result;
    if (!dislikes_template(rv))
      break;
  }
  return p11s_rv_put(e, rv, generate_failed(rv, b->alg, bits, e));
}

static enum p11s_err check_size(const struct p11s_algorithm *alg, unsigned *bits,
                                struct p11s_error *e)
{
  unsigned asked = *bits;

  if (asked == 0)
    *bits = alg->default_bits;
  if (alg->family != P11S_RSA && asked != 0 && asked != alg->bits)
    return p11s_error_set(e, P11S_ERR_KEY_TYPE, "algorithm %u (%s) has keys of %u bits, not %u",
                          alg->number, alg->mnemonic, alg->bits, asked);
  if (alg->family == P11S_RSA &&
      (*bits < P11S_RSA_MIN_BITS || *bits > P11S_RSA_MAX_BITS || *bits % 8 != 0))
    return p11s_error_set(e, P11S_ERR_KEY_TYPE,
                          "RSA keys have %d to %d bits, a multiple of 8, not %u", P11S_RSA_MIN_BITS,
                          P11S_RSA_MAX_BITS, asked);
  return P11S_OK;
}

static enum p11s_err check_mechanisms(struct p11s_session *session,
                                      const struct p11s_algorithm *alg, struct p11s_error *e)
{
  const struct p11s_mechanisms *m = p11s_session_mechanisms(session, e);

  if (m == NULL)
    return P11S_ERR_TOKEN;
  if (!p11s_mechanisms_have(m, alg->raw) && !p11s_mechanisms_have(m, alg->hashing))
    return p11s_mechanisms_missing(m, "sign with", alg, e);
  if (!p11s_mechanisms_have(m, alg->keygen))
    return p11s_mechanisms_missing(m, "make keys for", alg, e);
  return P11S_OK;
}

static bool has_flag(const struct bench *b, CK_ATTRIBUTE_TYPE type)
{
  bool has;

  (void)p11s_attribute_read_bool(b->session, b->private_key, type, &has, NULL);
  return has;
}

/* Whether the token would hand out the private value. Only its length is asked for. */
static bool is_readable(const struct bench *b)
{
  CK_ATTRIBUTE attr = {b->alg->family == P11S_RSA ? CKA_PRIVATE_EXPONENT : CKA_VALUE, NULL, 0};

  return b->session->module->C_GetAttributeValue(b->session->handle, b->private_key, &attr, 1) ==
             CKR_OK &&
         attr.ulValueLen > 0 && attr.ulValueLen != CK_UNAVAILABLE_INFORMATION;
}

/* OpenSC says of a card's new key that it is not sensitive, though nothing can read it: that alone
   is no reason to refuse the key. */
static enum p11s_err check_made(const struct bench *b, struct p11s_error *e)
{
  if (!has_flag(b, CKA_EXTRACTABLE) && (has_flag(b, CKA_SENSITIVE) || !is_readable(b)))
    return P11S_OK;
  return p11s_error_set(e, P11S_ERR_TOKEN,
                        "the token made a private key that can be read from it, although told not "
                        "to: it is not used");
}

/* By the handles that C_GenerateKeyPair gave, whatever names the token gave the objects. A session
   that is lost is for the next try, or for people (p11s_keypair_say_left). */
static void destroy(struct bench *b)
{
  CK_RV private_rv = b->session->module->C_DestroyObject(b->session->handle, b->private_key);
  CK_RV public_rv = b->session->module->C_DestroyObject(b->session->handle, b->public_key);

  if (private_rv == CKR_OK && public_rv == CKR_OK)
    atomic_store(&b->pair->state, P11S_PAIR_NONE);
}

static enum p11s_err take(struct bench *b, struct p11s_pubkey **ret_public, struct p11s_error *e)
{
  enum p11s_err result = check_made(b, e);

  if (result == P11S_OK)
    result = p11s_keypair_check_name(b->session, b->pair, b->private_key, e);
  if (result == P11S_OK)
    result = p11s_object_public_from(b->session, b->alg, b->public_key, ret_public, e);
  if (result != P11S_OK)
    destroy(b);
  return result;
}

enum p11s_err p11s_keygen_make(struct p11s_session *session, const struct p11s_algorithm *alg,
                               struct p11s_keypair *pair, struct p11s_pubkey **ret_public,
                               struct p11s_error *e)
{
  struct bench b = {session, alg, pair, CK_INVALID_HANDLE, CK_INVALID_HANDLE};
  unsigned bits = pair->bits;
  enum p11s_err result = check_size(alg, &bits, e);

  if (result == P11S_OK)
    result = check_mechanisms(session, alg, e);
  if (result == P11S_OK)
    result = p11s_keypair_prepare(session, pair, e);
  if (result == P11S_OK)
    result = generate(&b, bits, e);
  return result == P11S_OK ? take(&b, ret_public, e) : result;
}

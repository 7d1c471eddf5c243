/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "keygen.h"

#include "attribute.h"
#include "crypto.h"
#include "mechanism.h"
#include "object.h"
#include "object_internal.h"
#include "rv.h"
#include "uri.h"

#include <openssl/sha.h>
#include <string.h>

#define ID_LEN 20
#define PUBLIC_MAX 10
#define PRIVATE_MAX 10

/* All that C_GenerateKeyPair is told; the templates point into the struct itself. */
struct request {
  CK_MECHANISM mechanism;
  CK_BBOOL yes, no;
  CK_ULONG modulus_bits;
  unsigned char id[ID_LEN];
  CK_ATTRIBUTE public_template[PUBLIC_MAX];
  CK_ATTRIBUTE private_template[PRIVATE_MAX];
  CK_ULONG public_count, private_count;
};

static void add(CK_ATTRIBUTE *template, CK_ULONG *count, CK_ATTRIBUTE_TYPE type, const void *value,
                size_t len)
{
  /* Templates are not const in PKCS#11, but are only read. */
  template[(*count)++] = (CK_ATTRIBUTE){type, (void *)value, len};
}

static void add_public(struct request *r, CK_ATTRIBUTE_TYPE type, const void *value, size_t len)
{
  add(r->public_template, &r->public_count, type, value, len);
}

static void add_private(struct request *r, CK_ATTRIBUTE_TYPE type, const void *value, size_t len)
{
  add(r->private_template, &r->private_count, type, value, len);
}

/* What else the key may be used for is forbidden by name, as some tokens allow it by default.
   Others do not know the attributes. A TPM has one bit for signing and encrypting: what forbids the
   public key to encrypt forbids the private one to sign. */
enum restriction { RESTRICT_NONE, RESTRICT_PRIVATE, RESTRICT_BOTH };

static void fill_request(struct request *r, const struct p11s_algorithm *alg, unsigned bits,
                         const char *label, enum restriction restriction)
{
  static const unsigned char exponent[] = {1, 0, 1};
  const size_t flag = sizeof(CK_BBOOL);

  r->mechanism = (CK_MECHANISM){alg->keygen, NULL, 0};
  r->yes = CK_TRUE;
  r->no = CK_FALSE;
  r->modulus_bits = bits;
  r->public_count = r->private_count = 0;
  add_public(r, CKA_TOKEN, &r->yes, flag);
  add_public(r, CKA_VERIFY, &r->yes, flag);
  add_public(r, CKA_LABEL, label, strlen(label));
  add_public(r, CKA_ID, r->id, ID_LEN);
  if (alg->family == P11S_RSA) {
    add_public(r, CKA_MODULUS_BITS, &r->modulus_bits, sizeof r->modulus_bits);
    add_public(r, CKA_PUBLIC_EXPONENT, exponent, sizeof exponent);
  } else {
    add_public(r, CKA_EC_PARAMS, alg->ec_params, alg->ec_params_len);
  }
  add_private(r, CKA_TOKEN, &r->yes, flag);
  add_private(r, CKA_PRIVATE, &r->yes, flag);
  add_private(r, CKA_SENSITIVE, &r->yes, flag);
  add_private(r, CKA_EXTRACTABLE, &r->no, flag);
  add_private(r, CKA_SIGN, &r->yes, flag);
  add_private(r, CKA_LABEL, label, strlen(label));
  add_private(r, CKA_ID, r->id, ID_LEN);
  if (restriction == RESTRICT_BOTH) {
    add_public(r, CKA_ENCRYPT, &r->no, flag);
    add_public(r, CKA_WRAP, &r->no, flag);
  }
  if (restriction != RESTRICT_NONE) {
    add_private(r, CKA_DECRYPT, &r->no, flag);
    add_private(r, CKA_UNWRAP, &r->no, flag);
    add_private(r, CKA_SIGN_RECOVER, &r->no, flag);
  }
}

static bool dislikes_template(CK_RV rv)
{
  return rv == CKR_ATTRIBUTE_TYPE_INVALID || rv == CKR_ATTRIBUTE_VALUE_INVALID ||
         rv == CKR_ATTRIBUTE_READ_ONLY || rv == CKR_TEMPLATE_INCONSISTENT ||
         rv == CKR_GENERAL_ERROR; /* tpm2-pkcs11 */
}

static enum p11s_err generate_failed(CK_RV rv, const struct p11s_algorithm *alg, unsigned bits,
                                     struct p11s_error *e)
{
  p11s_rv_note(rv);
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

static enum p11s_err generate(CK_FUNCTION_LIST *module, CK_SESSION_HANDLE session,
                              const struct p11s_algorithm *alg, unsigned bits, const char *label,
                              struct p11s_keypair *ret_pair, struct p11s_error *e)
{
  struct request r;
  CK_RV rv;

  /* Random until the public key is known, so that two can never be the same. */
  if (!p11s_random(r.id, ID_LEN))
    return p11s_error_set(e, P11S_ERR_TOKEN, "no random numbers");
  for (int restriction = RESTRICT_BOTH; restriction >= RESTRICT_NONE; restriction--) {
    *ret_pair = (struct p11s_keypair){CK_INVALID_HANDLE, CK_INVALID_HANDLE};
    fill_request(&r, alg, bits, label, (enum restriction)restriction);
    rv = module->C_GenerateKeyPair(session, &r.mechanism, r.public_template, r.public_count,
                                   r.private_template, r.private_count, &ret_pair->public_key,
                                   &ret_pair->private_key);
    if (!dislikes_template(rv))
      break;
  }
  return rv == CKR_OK ? P11S_OK : generate_failed(rv, alg, bits, e);
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

static enum p11s_err check_mechanisms(CK_FUNCTION_LIST *module, CK_SESSION_HANDLE session,
                                      const struct p11s_algorithm *alg, struct p11s_error *e)
{
  struct p11s_mechanisms m = {NULL, 0};
  CK_SESSION_INFO info;
  enum p11s_err result;
  CK_RV rv;

  memset(&info, 0, sizeof info);
  rv = module->C_GetSessionInfo(session, &info);
  if (rv != CKR_OK)
    return p11s_rv_error(e, rv, "C_GetSessionInfo");
  result = p11s_mechanisms_get(module, info.slotID, &m, e);
  if (result != P11S_OK)
    return result;
  if (!p11s_mechanisms_have(&m, alg->raw) && !p11s_mechanisms_have(&m, alg->hashing))
    result = p11s_mechanisms_missing(&m, "sign with", alg, e);
  else if (!p11s_mechanisms_have(&m, alg->keygen))
    result = p11s_mechanisms_missing(&m, "make keys for", alg, e);
  p11s_mechanisms_clear(&m);
  return result;
}

static enum p11s_err check_label(CK_FUNCTION_LIST *module, CK_SESSION_HANDLE session,
                                 const char *label, struct p11s_error *e)
{
  static const CK_OBJECT_CLASS classes[] = {CKO_PRIVATE_KEY, CKO_PUBLIC_KEY};

  if (label[0] == 0 || p11s_uri_is(label))
    return p11s_error_set(e, P11S_ERR_SYNTAX, "a new key needs a label that is no URI, not '%s'",
                          label);
  for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++) {
    struct p11s_object_name name;
    struct p11s_handles found;
    enum p11s_err result = p11s_object_name_parse(label, classes[i], &name, e);
    bool is_there;

    if (result == P11S_OK)
      result = p11s_objects_named(module, session, classes[i], &name, &found, e);
    is_there = result == P11S_OK && found.count > 0;

    if (result != P11S_OK)
      return result;
    p11s_handles_clear(&found);
    if (is_there)
      return p11s_error_set(e, P11S_ERR_EXISTS, "the token has a %s key '%s' already",
                            classes[i] == CKO_PRIVATE_KEY ? "private" : "public", label);
  }
  return P11S_OK;
}

static CK_RV set_id(CK_FUNCTION_LIST *module, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
                    unsigned char *id)
{
  CK_ATTRIBUTE attr = {CKA_ID, id, ID_LEN};

  return module->C_SetAttributeValue(session, object, &attr, 1);
}

/* Both or none: a token that lets only one be changed keeps the random id. */
static void derive_id(CK_FUNCTION_LIST *module, CK_SESSION_HANDLE session,
                      const struct p11s_keypair *pair, const struct p11s_pubkey *key)
{
  unsigned char hash[SHA256_DIGEST_LENGTH];
  struct p11s_bytes before;
  const unsigned char *data;
  size_t len;

  data = p11s_pubkey_data(key, &len);
  (void)SHA256(data, len, hash);
  if (p11s_attribute_read(module, session, pair->private_key, CKA_ID, &before, NULL) != P11S_OK)
    return;
  if (set_id(module, session, pair->private_key, hash) == CKR_OK &&
      set_id(module, session, pair->public_key, hash) != CKR_OK && before.len == ID_LEN)
    (void)set_id(module, session, pair->private_key, before.data);
  p11s_bytes_clear(&before);
}

/* Whether the token would hand out the private value. Only its length is asked for. */
static bool is_readable(CK_FUNCTION_LIST *module, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key,
                        CK_ATTRIBUTE_TYPE type)
{
  CK_ATTRIBUTE attr = {type, NULL, 0};

  return module->C_GetAttributeValue(session, key, &attr, 1) == CKR_OK && attr.ulValueLen > 0 &&
         attr.ulValueLen != CK_UNAVAILABLE_INFORMATION;
}

/* OpenSC says of a card's new key that it is not sensitive, though nothing can read it: that alone
   is no reason to refuse the key. */
static enum p11s_err check_made(CK_FUNCTION_LIST *module, CK_SESSION_HANDLE session,
                                const struct p11s_algorithm *alg, const struct p11s_keypair *pair,
                                struct p11s_error *e)
{
  CK_ATTRIBUTE_TYPE secret = alg->family == P11S_RSA ? CKA_PRIVATE_EXPONENT : CKA_VALUE;
  CK_OBJECT_HANDLE key = pair->private_key;

  if (!p11s_object_flag(module, session, key, CKA_EXTRACTABLE) &&
      (p11s_object_flag(module, session, key, CKA_SENSITIVE) ||
       !is_readable(module, session, key, secret)))
    return P11S_OK;
  p11s_rv_note(CKR_OK);
  return p11s_error_set(e, P11S_ERR_TOKEN,
                        "the token made a private key that can be read from it, although told not "
                        "to: it is removed again");
}

enum p11s_err p11s_keygen_make(CK_FUNCTION_LIST *module, CK_SESSION_HANDLE session,
                               const struct p11s_algorithm *alg, unsigned bits, const char *label,
                               struct p11s_keypair *ret_pair, struct p11s_pubkey **ret_public,
                               struct p11s_error *e)
{
  struct p11s_keypair pair = {CK_INVALID_HANDLE, CK_INVALID_HANDLE};
  struct p11s_pubkey *key = NULL;
  enum p11s_err result = check_size(alg, &bits, e);

  if (result == P11S_OK)
    result = check_mechanisms(module, session, alg, e);
  if (result == P11S_OK)
    result = check_label(module, session, label, e);
  if (result == P11S_OK)
    result = generate(module, session, alg, bits, label, &pair, e);
  if (result != P11S_OK)
    return result;
  result = check_made(module, session, alg, &pair, e);
  if (result == P11S_OK)
    result = p11s_object_public_from(module, session, alg, pair.public_key, &key, e);
  if (result != P11S_OK) {
    (void)p11s_keygen_destroy(module, session, &pair, NULL);
    return result;
  }
  derive_id(module, session, &pair, key);
  *ret_pair = pair;
  *ret_public = key;
  return P11S_OK;
}

enum p11s_err p11s_keygen_destroy(CK_FUNCTION_LIST *module, CK_SESSION_HANDLE session,
                                  const struct p11s_keypair *pair, struct p11s_error *e)
{
  CK_RV private_rv = CKR_OK, public_rv = CKR_OK;

  if (pair->private_key != CK_INVALID_HANDLE)
    private_rv = module->C_DestroyObject(session, pair->private_key);
  if (pair->public_key != CK_INVALID_HANDLE)
    public_rv = module->C_DestroyObject(session, pair->public_key);
  if (private_rv != CKR_OK)
    return p11s_rv_error(e, private_rv, "C_DestroyObject of the private key");
  if (public_rv != CKR_OK)
    return p11s_rv_error(e, public_rv, "C_DestroyObject of the public key");
  return P11S_OK;
}

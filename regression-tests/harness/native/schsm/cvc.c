/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cvc.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <string.h>

#include "keys.h"

#define NAME_MAX_LEN 16
#define NUMBER "00001"

/* id-TA-ECDSA-SHA-256, whose number ends in 2.2.3 */
static const uint8_t ecdsa_oid[] = {0x04, 0x00, 0x7f, 0x00, 0x07, 0x02, 0x02, 0x02, 0x02, 0x03};

EVP_PKEY *cvc_make_key(const uint8_t *body, size_t len)
{
  struct tlv public_key;
  struct tlv part;
  size_t bits = 0;

  if (!tlv_find(body, len, CVC_PUBLIC_KEY, &public_key))
    return NULL;
  if (tlv_find(public_key.value, public_key.len, CVC_PRIME_OR_MODULUS, &part))
    return key_generate_ec(part.value, part.len);
  if (!tlv_find(public_key.value, public_key.len, CVC_MODULUS_BITS, &part) || part.len > 2)
    return NULL;
  for (size_t i = 0; i < part.len; i++)
    bits = bits << 8 | part.value[i];
  return key_generate_rsa(bits);
}

static bool add_number(struct bytes *b, unsigned tag, EVP_PKEY *key, const char *parameter)
{
  BIGNUM *n = NULL;
  uint8_t value[BYTES_MAX];
  int len = -1;

  if (EVP_PKEY_get_bn_param(key, parameter, &n) == 1 && BN_num_bytes(n) < BYTES_MAX)
    len = BN_bn2bin(n, value);
  BN_free(n);
  if (len < 0)
    return false;
  tlv_add(b, tag, value, (size_t)len);
  return true;
}

static bool add_point(struct bytes *b, EVP_PKEY *key)
{
  uint8_t point[BYTES_MAX];
  size_t len = 0;

  if (EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point), &len) !=
      1)
    return false;
  tlv_add(b, CVC_POINT, point, len);
  return true;
}

/* What was asked for, with the public key at its place. */
static bool fill_in(struct bytes *ret_filled, struct tlv asked, EVP_PKEY *key)
{
  bool is_rsa = EVP_PKEY_base_id(key) == EVP_PKEY_RSA;
  struct bytes filled = {0};
  struct tlv part;
  bool good = true;

  while (good && tlv_next(&asked.value, &asked.len, &part)) {
    if (part.tag != CVC_MODULUS_BITS)
      tlv_add(&filled, part.tag, part.value, part.len);
    if (is_rsa && part.tag == CVC_OID)
      good = add_number(&filled, CVC_PRIME_OR_MODULUS, key, OSSL_PKEY_PARAM_RSA_N);
    if (!is_rsa && part.tag == CVC_ORDER)
      good = add_point(&filled, key);
  }
  *ret_filled = filled;
  return good;
}

/* ECDSA signatures in these certificates are both numbers, one behind the other. */
static bool flatten(struct bytes *signature, EVP_PKEY *key)
{
  const uint8_t *der = signature->data;
  ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &der, (long)signature->len);
  int size = (EVP_PKEY_bits(key) + 7) / 8;
  bool good = pair != NULL && BN_bn2binpad(ECDSA_SIG_get0_r(pair), signature->data, size) == size &&
              BN_bn2binpad(ECDSA_SIG_get0_s(pair), signature->data + size, size) == size;

  ECDSA_SIG_free(pair);
  signature->len = 2 * (size_t)size;
  return good;
}

static bool add_signature(struct bytes *b, const uint8_t *data, size_t len, EVP_PKEY *key)
{
  EVP_MD_CTX *ctx = EVP_MD_CTX_new();
  struct bytes signature = {.len = BYTES_MAX};
  bool good = ctx != NULL && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
              EVP_DigestSign(ctx, signature.data, &signature.len, data, len) == 1;

  EVP_MD_CTX_free(ctx);
  if (good && EVP_PKEY_base_id(key) == EVP_PKEY_EC)
    good = flatten(&signature, key);
  if (good)
    tlv_add_bytes(b, CVC_SIGNATURE, &signature);
  return good;
}

/* Name and number of a holder or an authority. */
static void add_name(struct bytes *b, unsigned tag, const char *name)
{
  struct bytes text = {0};

  bytes_add(&text, name, strnlen(name, NAME_MAX_LEN - strlen(NUMBER)));
  bytes_add(&text, NUMBER, strlen(NUMBER));
  tlv_add_bytes(b, tag, &text);
}

/* The certificate around the contents of its body. */
static bool add_certificate(struct bytes *b, const struct bytes *body, EVP_PKEY *signer)
{
  struct bytes inner = {0};

  tlv_add_bytes(&inner, CVC_BODY, body);
  if (!add_signature(&inner, inner.data, inner.len, signer))
    return false;
  tlv_add_bytes(b, CVC_CERTIFICATE, &inner);
  return true;
}

bool cvc_request(struct bytes *ret_answer, const uint8_t *body, size_t len, EVP_PKEY *key,
                 const struct cvc_device *device)
{
  struct bytes filled_body = {0};
  struct bytes inner = {0};
  struct bytes public_key;
  struct tlv part;

  while (tlv_next(&body, &len, &part)) {
    if (part.tag != CVC_PUBLIC_KEY) {
      tlv_add(&filled_body, part.tag, part.value, part.len);
      continue;
    }
    if (!fill_in(&public_key, part, key))
      return false;
    tlv_add_bytes(&filled_body, CVC_PUBLIC_KEY, &public_key);
  }
  if (!add_certificate(&inner, &filled_body, key))
    return false;
  add_name(&inner, CVC_AUTHORITY, device->name);
  if (!add_signature(&inner, inner.data, inner.len, device->key))
    return false;
  ret_answer->len = 0;
  tlv_add_bytes(ret_answer, CVC_REQUEST, &inner);
  return true;
}

bool cvc_of_device(struct bytes *ret_certificate, const struct cvc_device *device)
{
  static const uint8_t profile = 0;
  struct bytes body = {0};
  struct bytes public_key = {0};

  tlv_add(&public_key, CVC_OID, ecdsa_oid, sizeof(ecdsa_oid));
  if (!add_point(&public_key, device->key))
    return false;
  tlv_add(&body, CVC_PROFILE, &profile, 1);
  add_name(&body, CVC_AUTHORITY, device->name);
  tlv_add_bytes(&body, CVC_PUBLIC_KEY, &public_key);
  add_name(&body, CVC_HOLDER, device->name);
  ret_certificate->len = 0;
  return add_certificate(ret_certificate, &body, device->key);
}

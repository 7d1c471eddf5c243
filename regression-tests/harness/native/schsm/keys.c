/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "keys.h"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/obj_mac.h>
#include <openssl/rsa.h>
#include <string.h>

#define RSA_LEAST 1024
#define RSA_MOST 2048
#define PRIME_MOST 48

EVP_PKEY *key_generate_rsa(size_t bits)
{
  if (bits < RSA_LEAST || bits > RSA_MOST || bits % 8 != 0)
    return NULL;
  return EVP_RSA_gen((unsigned)bits);
}

static bool has_prime(int nid, const uint8_t *prime, size_t len)
{
  EC_GROUP *group = EC_GROUP_new_by_curve_name(nid);
  BIGNUM *p = BN_new();
  uint8_t wanted[PRIME_MOST];
  bool same = group != NULL && p != NULL && len <= sizeof(wanted) &&
              EC_GROUP_get_curve(group, p, NULL, NULL, NULL) == 1 &&
              BN_bn2binpad(p, wanted, (int)len) == (int)len && memcmp(wanted, prime, len) == 0;

  BN_free(p);
  EC_GROUP_free(group);
  return same;
}

EVP_PKEY *key_generate_ec(const uint8_t *prime, size_t len)
{
  if (has_prime(NID_X9_62_prime256v1, prime, len))
    return EVP_EC_gen("P-256");
  if (has_prime(NID_secp384r1, prime, len))
    return EVP_EC_gen("P-384");
  return NULL;
}

void keys_put(struct keys *k, unsigned id, EVP_PKEY *key)
{
  EVP_PKEY_free(k->list[id]);
  k->list[id] = key;
}

void keys_erase(struct keys *k)
{
  for (unsigned i = 0; i < KEYS_MAX; i++)
    keys_put(k, i, NULL);
}

/* Hash and padding of an algorithm; false for one that the card does not have. */
static bool describe(unsigned algorithm, int *ret_type, int *ret_padding, const EVP_MD **ret_hash)
{
  *ret_type = algorithm < KEY_ECDSA ? EVP_PKEY_RSA : EVP_PKEY_EC;
  *ret_padding = algorithm == KEY_RSA_RAW ? RSA_NO_PADDING : RSA_PKCS1_PADDING;
  *ret_hash = NULL;
  switch (algorithm) {
  case KEY_RSA_RAW:
  case KEY_RSA_PKCS1:
  case KEY_ECDSA:
    return true;
  case KEY_ECDSA_SHA1:
    *ret_hash = EVP_sha1();
    return true;
  case KEY_ECDSA_SHA224:
    *ret_hash = EVP_sha224();
    return true;
  case KEY_ECDSA_SHA256:
    *ret_hash = EVP_sha256();
    return true;
  default:
    return false;
  }
}

enum sw key_sign(EVP_PKEY *key, unsigned algorithm, const uint8_t *data, size_t len,
                 struct bytes *ret_signature)
{
  EVP_PKEY_CTX *ctx = NULL;
  const EVP_MD *hash;
  uint8_t digest[EVP_MAX_MD_SIZE];
  unsigned digest_len;
  size_t signature_len = sizeof(ret_signature->data);
  int type;
  int padding;
  enum sw sw = SW_WRONG_DATA;

  if (!describe(algorithm, &type, &padding, &hash) || EVP_PKEY_base_id(key) != type)
    return SW_WRONG_P1P2;
  if (hash != NULL) {
    if (EVP_Digest(data, len, digest, &digest_len, hash, NULL) != 1)
      return SW_ERROR;
    data = digest;
    len = digest_len;
  }
  ctx = EVP_PKEY_CTX_new(key, NULL);
  if (ctx == NULL || EVP_PKEY_sign_init(ctx) != 1)
    goto out;
  if (type == EVP_PKEY_RSA && EVP_PKEY_CTX_set_rsa_padding(ctx, padding) != 1)
    goto out;
  if (EVP_PKEY_sign(ctx, ret_signature->data, &signature_len, data, len) != 1)
    goto out;
  ret_signature->len = signature_len;
  sw = SW_OK;
out:
  EVP_PKEY_CTX_free(ctx);
  return sw;
}

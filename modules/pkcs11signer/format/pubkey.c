/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "format/pubkey.h"

#include "base/crypto.h"
#include "format/pubkey_internal.h"

#include <openssl/bn.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <stdlib.h>
#include <string.h>

/* SEQUENCE of two INTEGERs of 48 bytes and a sign byte, and room to spare */
#define MAX_ECDSA_DER 128

/* Fetches and sets up once what every verification needs. */
static bool prepare(struct p11s_pubkey *key)
{
  if (key->alg->digest == NULL) {
    key->messages = EVP_MD_CTX_new();
    return key->messages != NULL &&
           EVP_DigestVerifyInit_ex(key->messages, NULL, NULL, p11s_crypto(), NULL, key->pkey,
                                   NULL) == 1;
  }
  if (key->alg->family == P11S_ECDSA && key->len == P11S_PUBKEY_TABLE_LEN) {
    key->table = p11s_pubkey_table_new(key->data);
    if (key->table == NULL)
      return false;
  }
  key->md = p11s_crypto_digest(key->alg->digest);
  key->digests = EVP_PKEY_CTX_new_from_pkey(p11s_crypto(), key->pkey, NULL);
  if (key->md == NULL || key->digests == NULL || EVP_PKEY_verify_init(key->digests) != 1 ||
      EVP_PKEY_CTX_set_signature_md(key->digests, key->md) != 1)
    return false;
  return key->alg->family != P11S_RSA ||
         EVP_PKEY_CTX_set_rsa_padding(key->digests, RSA_PKCS1_PADDING) == 1;
}

enum p11s_err p11s_pubkey_from_dnskey(const struct p11s_algorithm *alg, const unsigned char *data,
                                      size_t len, struct p11s_pubkey **ret_key,
                                      struct p11s_error *e)
{
  struct p11s_pubkey *key;
  enum p11s_err err;

  /* RDATA has no more, less flags, protocol and algorithm */
  if (len > 65535 - 4)
    return p11s_error_set(e, P11S_ERR_KEY_TYPE, "the public key has %zu bytes: no DNSKEY", len);
  key = calloc(1, sizeof *key + len + 1);
  if (key == NULL)
    return p11s_error_no_memory(e);
  key->alg = alg;
  key->len = len;
  if (len > 0)
    memcpy(key->data, data, len);
  key->data[len] = (unsigned char)alg->number;
  /* what libcrypto has to say must not pile up in PowerDNS's threads */
  ERR_set_mark();
  err = p11s_pubkey_make(key, e);
  if (err == P11S_OK && (!prepare(key) || !p11s_sha256(key->data, len + 1, key->hash)))
    err = p11s_error_set(e, P11S_ERR_MECHANISM, "libcrypto cannot verify signatures of %s",
                         alg->mnemonic);
  ERR_pop_to_mark();
  if (err == P11S_OK)
    *ret_key = key;
  else
    p11s_pubkey_free(key);
  return err;
}

void p11s_pubkey_free(struct p11s_pubkey *key)
{
  if (key == NULL)
    return;
  p11s_pubkey_table_free(key->table);
  EVP_MD_CTX_free(key->messages);
  EVP_PKEY_CTX_free(key->digests);
  EVP_PKEY_free(key->pkey);
  free(key);
}

const unsigned char *p11s_pubkey_data(const struct p11s_pubkey *key, size_t *ret_len)
{
  *ret_len = key->len;
  return key->data;
}

unsigned p11s_pubkey_bits(const struct p11s_pubkey *key)
{
  return key->bits;
}

size_t p11s_pubkey_signature_len(const struct p11s_pubkey *key)
{
  return key->signature_len;
}

bool p11s_pubkey_equal(const struct p11s_pubkey *a, const struct p11s_pubkey *b)
{
  return a->alg->number == b->alg->number && a->len == b->len &&
         memcmp(a->data, b->data, a->len) == 0;
}

const unsigned char *p11s_pubkey_hash(const struct p11s_pubkey *key)
{
  return key->hash;
}

/* r and s side by side (RFC 6605 section 4) to DER; the length, 0 on failure. */
static size_t ecdsa_to_der(const unsigned char *signature, size_t len, unsigned char *to)
{
  BIGNUM *r = BN_bin2bn(signature, (int)(len / 2), NULL);
  BIGNUM *s = BN_bin2bn(signature + len / 2, (int)(len / 2), NULL);
  ECDSA_SIG *sig = ECDSA_SIG_new();
  int der_len = 0;

  if (r == NULL || s == NULL || sig == NULL || ECDSA_SIG_set0(sig, r, s) != 1)
    goto out;
  /* sig owns them now */
  r = NULL;
  s = NULL;
  if (i2d_ECDSA_SIG(sig, NULL) <= MAX_ECDSA_DER)
    der_len = i2d_ECDSA_SIG(sig, &to);
out:
  BN_free(r);
  BN_free(s);
  ECDSA_SIG_free(sig);
  return der_len > 0 ? (size_t)der_len : 0;
}

static bool verify_digest(const struct p11s_pubkey *key, const unsigned char *digest, size_t len,
                          const unsigned char *signature, size_t signature_len)
{
  unsigned char der[MAX_ECDSA_DER];
  EVP_PKEY_CTX *ctx;
  bool good;

  if (key->table != NULL && p11s_pubkey_table_is_made(key->table))
    return p11s_pubkey_table_verify(key->table, digest, signature);
  if (key->alg->family == P11S_ECDSA) {
    signature_len = ecdsa_to_der(signature, signature_len, der);
    if (signature_len == 0)
      return false;
    signature = der;
  }
  /* a copy only reads the original, so threads need no lock */
  ctx = EVP_PKEY_CTX_dup(key->digests);
  good = ctx != NULL && EVP_PKEY_verify(ctx, signature, signature_len, digest, len) == 1;
  EVP_PKEY_CTX_free(ctx);
  return good;
}

static bool verify_eddsa(const struct p11s_pubkey *key, const unsigned char *message, size_t len,
                         const unsigned char *signature, size_t signature_len)
{
  EVP_MD_CTX *ctx = EVP_MD_CTX_new();
  bool good = ctx != NULL && EVP_MD_CTX_copy_ex(ctx, key->messages) == 1 &&
              EVP_DigestVerify(ctx, signature, signature_len, message, len) == 1;

  EVP_MD_CTX_free(ctx);
  return good;
}

bool p11s_pubkey_verify(const struct p11s_pubkey *key, const unsigned char *message,
                        size_t message_len, const unsigned char *signature, size_t signature_len)
{
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned digest_len = 0;
  bool good;

  if (signature_len != key->signature_len)
    return false;
  ERR_set_mark();
  if (key->md == NULL)
    good = verify_eddsa(key, message, message_len, signature, signature_len);
  else
    good = EVP_Digest(message, message_len, digest, &digest_len, key->md, NULL) == 1 &&
           verify_digest(key, digest, digest_len, signature, signature_len);
  ERR_pop_to_mark();
  return good;
}

bool p11s_pubkey_verify_digest(const struct p11s_pubkey *key, const unsigned char *digest,
                               size_t digest_len, const unsigned char *signature,
                               size_t signature_len)
{
  bool good;

  if (key->md == NULL || digest_len != key->alg->digest_len || signature_len != key->signature_len)
    return false;
  ERR_set_mark();
  good = verify_digest(key, digest, digest_len, signature, signature_len);
  ERR_pop_to_mark();
  return good;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/byteorder.h"
#include "base/crypto.h"
#include "format/pubkey_internal.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <stdint.h>
#include <string.h>

/* Kinds of keys by their OIDs (RFC 3279): for "RSA" and "EC" libcrypto 1 and 3 ask the engines of
   the process before the provider of the context. */
#define RSA_TYPE "1.2.840.113549.1.1.1"
#define EC_TYPE "1.2.840.10045.2.1"

/* libcrypto verifies with no larger modulus when the exponent has more than 64 bits */
#define MAX_BITS_BIG_EXPONENT 3072

enum p11s_err p11s_pubkey_wrong_kind(const struct p11s_algorithm *alg, const char *found,
                                     struct p11s_error *e)
{
  return p11s_error_set(e, P11S_ERR_KEY_TYPE, "the key is %s, algorithm %u (%s) needs %s", found,
                        alg->number, alg->mnemonic, alg->kind);
}

enum p11s_err p11s_pubkey_off_curve(const struct p11s_algorithm *alg, struct p11s_error *e)
{
  return p11s_error_set(e, P11S_ERR_KEY_TYPE, "the public key is not a point on the curve %s",
                        alg->kind);
}

static enum p11s_err bad_rsa(struct p11s_error *e, const char *what)
{
  return p11s_error_set(e, P11S_ERR_KEY_TYPE, "not a usable RSA public key: %s", what);
}

static size_t number_bits(struct p11s_slice n)
{
  return n.len > 0 ? (n.len - 1) * 8 + (size_t)BN_num_bits_word(n.at[0]) : 0;
}

static bool number_less(struct p11s_slice a, struct p11s_slice b)
{
  return a.len != b.len ? a.len < b.len : memcmp(a.at, b.at, a.len) < 0;
}

enum p11s_err p11s_pubkey_check_rsa(const struct p11s_algorithm *alg, struct p11s_slice n,
                                    struct p11s_slice x, struct p11s_error *e)
{
  size_t bits = number_bits(n);

  if (n.len == 0 || x.len == 0)
    return bad_rsa(e, "the modulus or the exponent is empty");
  if (n.at[0] == 0 || x.at[0] == 0)
    return bad_rsa(e, "the modulus or the exponent begins with a zero byte");
  if (bits < P11S_RSA_MIN_BITS || bits > P11S_RSA_MAX_BITS)
    return p11s_error_set(e, P11S_ERR_KEY_TYPE,
                          "the key is RSA-%zu, algorithm %u (%s) needs RSA-%d to RSA-%d", bits,
                          alg->number, alg->mnemonic, P11S_RSA_MIN_BITS, P11S_RSA_MAX_BITS);
  if ((n.at[n.len - 1] & 1) == 0)
    return bad_rsa(e, "the modulus is even");
  if ((x.at[x.len - 1] & 1) == 0)
    return bad_rsa(e, "the exponent is even");
  if (x.len == 1 && x.at[0] < 3)
    return bad_rsa(e, "the exponent is less than 3");
  if (!number_less(x, n))
    return bad_rsa(e, "the exponent is not less than the modulus");
  if (bits > MAX_BITS_BIG_EXPONENT && number_bits(x) > 64)
    return bad_rsa(e, "an exponent over 64 bits with a modulus over 3072 bits");
  return P11S_OK;
}

/* RFC 3110 section 2: length of the exponent in one byte, or 0 and two bytes; exponent; modulus. */
static enum p11s_err split_rsa(const unsigned char *data, size_t len, struct p11s_slice *ret_n,
                               struct p11s_slice *ret_x, struct p11s_error *e)
{
  size_t head = 1, x_len;

  if (len < 3)
    return bad_rsa(e, "too short");
  x_len = data[0];
  if (x_len == 0) {
    head = 3;
    x_len = p11s_get16(data + 1);
    if (x_len < 256)
      return bad_rsa(e, "the long form of the exponent's length for a short exponent");
  }
  if (x_len > len - head)
    return bad_rsa(e, "the exponent is longer than the data");
  *ret_x = (struct p11s_slice){data + head, x_len};
  *ret_n = (struct p11s_slice){data + head + x_len, len - head - x_len};
  return P11S_OK;
}

static EVP_PKEY *pkey_from_params(const char *type, OSSL_PARAM *params)
{
  EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(p11s_crypto(), type, NULL);
  EVP_PKEY *pkey = NULL;

  if (ctx != NULL && EVP_PKEY_fromdata_init(ctx) == 1)
    (void)EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params);
  EVP_PKEY_CTX_free(ctx);
  return pkey;
}

static enum p11s_err make_rsa(struct p11s_pubkey *key, struct p11s_error *e)
{
  struct p11s_slice n = {NULL, 0}, x = {NULL, 0};
  OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
  BIGNUM *n_bn = NULL, *x_bn = NULL;
  OSSL_PARAM *params = NULL;
  enum p11s_err err = split_rsa(key->data, key->len, &n, &x, e);

  if (err == P11S_OK)
    err = p11s_pubkey_check_rsa(key->alg, n, x, e);
  if (err != P11S_OK)
    goto out;
  key->bits = (unsigned)number_bits(n);
  key->signature_len = n.len;
  n_bn = BN_bin2bn(n.at, (int)n.len, NULL);
  x_bn = BN_bin2bn(x.at, (int)x.len, NULL);
  if (bld != NULL && n_bn != NULL && x_bn != NULL &&
      OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, n_bn) == 1 &&
      OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, x_bn) == 1)
    params = OSSL_PARAM_BLD_to_param(bld);
  key->pkey = params != NULL ? pkey_from_params(RSA_TYPE, params) : NULL;
  if (params == NULL)
    err = p11s_error_no_memory(e);
  else if (key->pkey == NULL)
    err = bad_rsa(e, "libcrypto does not take it");
out:
  OSSL_PARAM_free(params);
  OSSL_PARAM_BLD_free(bld);
  BN_free(n_bn);
  BN_free(x_bn);
  return err;
}

static enum p11s_err check_len(const struct p11s_pubkey *key, struct p11s_error *e)
{
  const struct p11s_algorithm *alg = key->alg;

  if (key->len == alg->public_len)
    return P11S_OK;
  return p11s_error_set(
      e, P11S_ERR_KEY_TYPE, "the public key has %zu byte%s, algorithm %u (%s) needs %zu (%s)",
      key->len, p11s_plural(key->len), alg->number, alg->mnemonic, alg->public_len, alg->kind);
}

static enum p11s_err make_ecdsa(struct p11s_pubkey *key, struct p11s_error *e)
{
  const struct p11s_algorithm *alg = key->alg;
  /* the SEC 1 form of an uncompressed point has a 4 in front */
  unsigned char point[1 + 96] = {POINT_CONVERSION_UNCOMPRESSED};
  OSSL_PARAM params[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *)(uintptr_t)alg->curve,
                                       0),
      OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, 1 + alg->public_len),
      OSSL_PARAM_construct_end()};
  enum p11s_err err = check_len(key, e);

  if (err != P11S_OK)
    return err;
  memcpy(point + 1, key->data, key->len);
  key->pkey = pkey_from_params(EC_TYPE, params);
  if (key->pkey != NULL)
    return P11S_OK;
  if (ERR_GET_LIB(ERR_peek_last_error()) == ERR_LIB_EC)
    return p11s_pubkey_off_curve(alg, e);
  return p11s_error_set(e, P11S_ERR_MECHANISM, "libcrypto does not take a public key of %s",
                        alg->kind);
}

/* A curve of RFC 8032, 5: x^2 = (y^2 - 1) / (d y^2 - a) mod p. */
static const struct edwards {
  const char *p; /* hex */
  const char *d;
  bool a_is_minus_one; /* else it is 1 */
} ed25519 = {"7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffed",
             "52036cee2b6ffe738cc740797779e89800700a4d4141d8ab75eb4dca135978a3", true},
  ed448 = {"fffffffffffffffffffffffffffffffffffffffffffffffffffffffe"
           "ffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
           "fffffffffffffffffffffffffffffffffffffffffffffffffffffffe"
           "ffffffffffffffffffffffffffffffffffffffffffffffffffff6756",
           false};

/* Whether the encoding is a point's (5.1.3, 5.2.3). libcrypto looks only when it verifies, and then
   says no more than that the signature is wrong. A fraction is a square when the product of its
   parts is. Zero has no negative. */
static bool is_on_edwards_curve(const struct p11s_algorithm *alg, const unsigned char *point)
{
  const struct edwards *curve = alg->public_len == 32 ? &ed25519 : &ed448;
  size_t len = alg->public_len;
  BIGNUM *p = NULL, *d = NULL, *y = BN_lebin2bn(point, (int)len, NULL), *x2 = BN_new();
  BN_CTX *ctx = BN_CTX_new();
  bool is_negative = (point[len - 1] & 0x80) != 0;
  bool good = ctx != NULL && y != NULL && x2 != NULL && BN_hex2bn(&p, curve->p) > 0 &&
              BN_hex2bn(&d, curve->d) > 0 &&
              (!is_negative || BN_clear_bit(y, (int)len * 8 - 1) == 1) && BN_cmp(y, p) < 0 &&
              BN_mod_sqr(y, y, p, ctx) == 1 && BN_copy(x2, y) != NULL && BN_sub_word(x2, 1) == 1 &&
              BN_mod_mul(y, d, y, p, ctx) == 1 &&
              (curve->a_is_minus_one ? BN_add_word(y, 1) : BN_sub_word(y, 1)) == 1 &&
              BN_mod_mul(x2, x2, y, p, ctx) == 1 &&
              (BN_is_zero(x2) ? !is_negative : BN_kronecker(x2, p, ctx) == 1);

  BN_free(p);
  BN_free(d);
  BN_free(y);
  BN_free(x2);
  BN_CTX_free(ctx);
  return good;
}

static enum p11s_err make_eddsa(struct p11s_pubkey *key, struct p11s_error *e)
{
  enum p11s_err err = check_len(key, e);

  if (err != P11S_OK)
    return err;
  if (!is_on_edwards_curve(key->alg, key->data))
    return p11s_pubkey_off_curve(key->alg, e);
  key->pkey =
      EVP_PKEY_new_raw_public_key_ex(p11s_crypto(), key->alg->curve, NULL, key->data, key->len);
  return key->pkey == NULL ? p11s_error_no_memory(e) : P11S_OK;
}

enum p11s_err p11s_pubkey_make(struct p11s_pubkey *key, struct p11s_error *e)
{
  key->bits = key->alg->bits;
  key->signature_len = key->alg->signature_len;
  switch (key->alg->family) {
  case P11S_ECDSA:
    return make_ecdsa(key, e);
  case P11S_EDDSA:
    return make_eddsa(key, e);
  case P11S_RSA:
    break;
  }
  return make_rsa(key, e);
}

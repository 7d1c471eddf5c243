/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "format/pubkey.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* What tokens give for a key: made with libcrypto, put together by hand. */

struct bytes {
  unsigned char at[2048];
  size_t len;
};

/* CKA_EC_PARAMS; 14 and 12 bytes of PrintableString, OIDs otherwise. */
#define BYTES(text) ((struct bytes){text, sizeof(text) - 1})
#define OID_P256 BYTES("\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07")
#define OID_P384 BYTES("\x06\x05\x2b\x81\x04\x00\x22")
#define OID_P521 BYTES("\x06\x05\x2b\x81\x04\x00\x23")
#define OID_SECP256K1 BYTES("\x06\x05\x2b\x81\x04\x00\x0a")
#define OID_ED25519 BYTES("\x06\x03\x2b\x65\x70")
#define OID_ED448 BYTES("\x06\x03\x2b\x65\x71")
#define OID_X25519 BYTES("\x06\x03\x2b\x65\x6e")
#define OID_GNUPG_ED25519 BYTES("\x06\x09\x2b\x06\x01\x04\x01\xda\x47\x0f\x01")

static EVP_PKEY *generate(unsigned algorithm)
{
  EVP_PKEY *pkey;

  if (algorithm == 13)
    pkey = EVP_EC_gen("P-256");
  else if (algorithm == 14)
    pkey = EVP_EC_gen("P-384");
  else if (algorithm > 14)
    pkey = EVP_PKEY_Q_keygen(NULL, NULL, algorithm == 15 ? "ED25519" : "ED448");
  else
    pkey = EVP_RSA_gen(1024);
  assert_non_null(pkey);
  return pkey;
}

/* The raw point: SEC 1 for ECDSA, RFC 8032 for EdDSA. */
static struct bytes raw_point(const EVP_PKEY *pkey)
{
  struct bytes b = {{0}, sizeof b.at};

  if (EVP_PKEY_is_a(pkey, "EC")) {
    assert_int_equal(EVP_PKEY_get_octet_string_param(pkey, OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, b.at,
                                                     sizeof b.at, &b.len),
                     1);
    assert_int_equal(b.at[0], 4);
  } else {
    assert_int_equal(EVP_PKEY_get_raw_public_key(pkey, b.at, &b.len), 1);
  }
  return b;
}

/* The DNSKEY field is the same without the 4 in front. */
static struct bytes dnskey_of(unsigned algorithm, struct bytes raw)
{
  if (algorithm < 15) {
    memmove(raw.at, raw.at + 1, raw.len - 1);
    raw.len--;
  }
  return raw;
}

static struct bytes wrap(unsigned char tag, struct bytes content)
{
  struct bytes b = {{tag}, 2 + content.len};

  if (content.len < 0x80) {
    b.at[1] = (unsigned char)content.len;
    memcpy(b.at + 2, content.at, content.len);
    return b;
  }
  assert_true(content.len < 0x100);
  b.at[1] = 0x81;
  b.at[2] = (unsigned char)content.len;
  memcpy(b.at + 3, content.at, content.len);
  b.len++;
  return b;
}

static struct bytes bit_string(struct bytes content)
{
  struct bytes b = {{0}, 1 + content.len};

  memcpy(b.at + 1, content.at, content.len);
  return wrap(0x03, b);
}

static struct bytes compress(struct bytes point)
{
  size_t half = point.len / 2;

  point.at[0] = 2 + (point.at[point.len - 1] & 1);
  point.len = 1 + half;
  return point;
}

/* From copies of exactly these sizes, so that a sanitizer sees a byte read too far. */
static enum p11s_err make_ec(unsigned algorithm, const struct bytes *params, struct bytes point,
                             struct p11s_pubkey **ret_key, struct p11s_error *e)
{
  unsigned char *p = params == NULL ? NULL : malloc(params->len + (params->len == 0));
  unsigned char *q = malloc(point.len + (point.len == 0));
  enum p11s_err err;

  assert_non_null(q);
  if (p != NULL)
    memcpy(p, params->at, params->len);
  memcpy(q, point.at, point.len);
  err = p11s_pubkey_from_ec(p11s_algorithm_find(algorithm),
                            (struct p11s_slice){p, params == NULL ? 0 : params->len},
                            (struct p11s_slice){q, point.len}, ret_key, e);
  free(p);
  free(q);
  return err;
}

static void assert_is(const struct p11s_pubkey *key, struct bytes data)
{
  size_t len;
  const unsigned char *got = p11s_pubkey_data(key, &len);

  assert_int_equal(len, data.len);
  assert_memory_equal(got, data.at, len);
}

static void assert_ec(unsigned algorithm, const struct bytes *params, struct bytes point,
                      struct bytes data)
{
  struct p11s_pubkey *key = NULL;
  struct p11s_error e = {0};

  if (make_ec(algorithm, params, point, &key, &e) != P11S_OK)
    fail_msg("%s", e.text);
  assert_is(key, data);
  p11s_pubkey_free(key);
}

static void assert_ec_refused(unsigned algorithm, const struct bytes *params, struct bytes point,
                              const char *said)
{
  struct p11s_pubkey *key = NULL;
  struct p11s_error e = {0};

  assert_int_equal(make_ec(algorithm, params, point, &key, &e), P11S_ERR_KEY_TYPE);
  assert_null(key);
  if (strstr(e.text, said) == NULL)
    fail_msg("\"%s\" does not say \"%s\"", e.text, said);
  assert_int_equal(ERR_peek_error(), 0);
}

static void test_point_forms(void **state)
{
  unsigned algorithm;

  (void)state;
  for (algorithm = 13; algorithm <= 16; algorithm++) {
    EVP_PKEY *pkey = generate(algorithm);
    struct bytes raw = raw_point(pkey);
    struct bytes data = dnskey_of(algorithm, raw);

    assert_ec(algorithm, NULL, raw, data);
    assert_ec(algorithm, NULL, wrap(0x04, raw), data);
    assert_ec(algorithm, NULL, bit_string(raw), data);
    if (algorithm <= 14) {
      assert_ec(algorithm, NULL, compress(raw), data);
      assert_ec(algorithm, NULL, wrap(0x04, compress(raw)), data);
    }
    EVP_PKEY_free(pkey);
  }
}

/* Both values of the compressed form's sign, and points that begin with any byte. */
static void test_point_forms_many(void **state)
{
  unsigned i;

  (void)state;
  for (i = 0; i < 80; i++) {
    unsigned algorithm = 13 + i % 4;
    EVP_PKEY *pkey = generate(algorithm);
    struct bytes raw = raw_point(pkey);
    struct bytes data = dnskey_of(algorithm, raw);

    assert_ec(algorithm, NULL, raw, data);
    assert_ec(algorithm, NULL, wrap(0x04, raw), data);
    if (algorithm <= 14)
      assert_ec(algorithm, NULL, compress(raw), data);
    EVP_PKEY_free(pkey);
  }
}

static void test_params(void **state)
{
  static const struct {
    unsigned algorithm;
    struct bytes params;
  } good[] = {
      {13, OID_P256},
      {14, OID_P384},
      {15, OID_ED25519},
      {15, OID_GNUPG_ED25519},
      {15, BYTES("\x13\x0c"
                 "edwards25519")},
      {16, OID_ED448},
      {16, BYTES("\x13\x0a"
                 "edwards448")},
      {13, BYTES("")},
      {16, BYTES("")},
  };
  size_t i;

  (void)state;
  for (i = 0; i < sizeof good / sizeof good[0]; i++) {
    EVP_PKEY *pkey = generate(good[i].algorithm);
    struct bytes raw = raw_point(pkey);
    assert_ec(good[i].algorithm, &good[i].params, wrap(0x04, raw),
              dnskey_of(good[i].algorithm, raw));
    EVP_PKEY_free(pkey);
  }
}

static void test_params_refused(void **state)
{
  static const struct {
    unsigned algorithm;
    struct bytes params;
    const char *said;
  } bad[] = {
      {14, OID_P256, "the key is P-256, algorithm 14 (ECDSAP384SHA384) needs P-384"},
      {13, OID_P384, "the key is P-384, algorithm 13 (ECDSAP256SHA256) needs P-256"},
      {13, OID_P521, "the key is P-521,"},
      {13, OID_SECP256K1, "on the curve 1.3.132.0.10"},
      {13, OID_ED25519, "the key is Ed25519, algorithm 13"},
      {15, OID_P256, "the key is P-256, algorithm 15 (ED25519) needs Ed25519"},
      {15, OID_ED448, "the key is Ed448,"},
      {15, OID_X25519, "the key is X25519,"},
      {16,
       BYTES("\x13\x0c"
             "edwards25519"),
       "the key is Ed25519, algorithm 16 (ED448) needs Ed448"},
      {15, BYTES("\x13\x05\x41\n\xff\x00\x42"), "on the curve A??"},
      {13, BYTES("\x30\x03\x02\x01\x01"), "by its numbers"},
      {13, BYTES("\x05\x00"), "does not name"},
      {13, BYTES("\x06"), "does not name"},
      {13, BYTES("\x06\x08\x2a\x86\x48\xce\x3d\x03\x01"), "does not name"},
      {13, BYTES("\x06\x00"), "does not name"},
      {13, BYTES("\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x00"), "does not name"},
      {15,
       BYTES("\x13\x0c"
             "edwards25519x"),
       "does not name"},
      {15,
       BYTES("\x13\x81\x0c"
             "edwards25519"),
       "does not name"},
  };
  size_t i;

  (void)state;
  for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    EVP_PKEY *pkey = generate(bad[i].algorithm);
    assert_ec_refused(bad[i].algorithm, &bad[i].params, wrap(0x04, raw_point(pkey)), bad[i].said);
    EVP_PKEY_free(pkey);
  }
}

/* Without CKA_EC_PARAMS the point itself shows what key it is. */
static void test_point_of_another_curve(void **state)
{
  static const char *const kinds[] = {"P-256", "P-384", "Ed25519", "Ed448"};
  unsigned is;
  unsigned wanted;

  (void)state;
  for (is = 0; is < 4; is++)
    for (wanted = 0; wanted < 4; wanted++) {
      EVP_PKEY *pkey = generate(13 + is);
      char said[80];
      (void)snprintf(said, sizeof said, "the key is %s, algorithm %u ", kinds[is], 13 + wanted);
      if (is != wanted)
        assert_ec_refused(13 + wanted, NULL, wrap(0x04, raw_point(pkey)), said);
      EVP_PKEY_free(pkey);
    }
}

static void test_point_truncated(void **state)
{
  unsigned algorithm;
  size_t len;

  (void)state;
  for (algorithm = 13; algorithm <= 16; algorithm++) {
    EVP_PKEY *pkey = generate(algorithm);
    struct bytes forms[] = {raw_point(pkey), wrap(0x04, raw_point(pkey)),
                            bit_string(raw_point(pkey))};
    size_t i;

    for (i = 0; i < 3; i++) {
      struct bytes cut = forms[i];
      for (len = 0; len <= cut.len + 1; len++) {
        struct p11s_pubkey *key = NULL;
        cut.len = len;
        /* cut to the length of a raw or compressed point, its head may pass for part of one */
        if (len == forms[i].len || (i > 0 && (len == forms[0].len || len == forms[0].len / 2 + 1)))
          continue;
        assert_int_equal(make_ec(algorithm, NULL, cut, &key, NULL), P11S_ERR_KEY_TYPE);
        cut.len = forms[i].len;
      }
    }
    EVP_PKEY_free(pkey);
  }
}

static void test_point_malformed(void **state)
{
  EVP_PKEY *pkey = generate(13);
  struct bytes raw = raw_point(pkey);
  struct bytes point = raw;

  (void)state;
  /* off the curve, in all forms */
  point.at[64] ^= 1;
  assert_ec_refused(13, NULL, point, "not a point on the curve P-256");
  assert_ec_refused(13, NULL, wrap(0x04, point), "not a point on the curve P-256");
  /* x is not less than p */
  point = compress(raw);
  memset(point.at + 1, 0xff, 32);
  assert_ec_refused(13, NULL, point, "not a point on the curve P-256");
  /* the hybrid form, the point at infinity, unknown first bytes */
  point = raw;
  point.at[0] = 6 + (raw.at[64] & 1);
  assert_ec_refused(13, NULL, point, "not a point");
  point.at[0] = 0;
  assert_ec_refused(13, NULL, point, "not a point");
  point.at[0] = 5;
  assert_ec_refused(13, NULL, point, "not a point");
  point.len = 1;
  point.at[0] = 0;
  assert_ec_refused(13, NULL, point, "1 byte in");
  /* unused bits, a wrong tag, a length that lies, a long form not needed */
  point = bit_string(raw);
  point.at[2] = 1;
  assert_ec_refused(13, NULL, point, "unknown form");
  assert_ec_refused(13, NULL, wrap(0x05, raw), "unknown form");
  point = wrap(0x04, raw);
  point.at[1]++;
  assert_ec_refused(13, NULL, point, "unknown form");
  point = wrap(0x04, raw);
  memmove(point.at + 2, point.at + 1, point.len - 1);
  point.at[1] = 0x81;
  point.len++;
  assert_ec_refused(13, NULL, point, "unknown form");
  EVP_PKEY_free(pkey);
}

static void test_ec_for_rsa(void **state)
{
  EVP_PKEY *pkey = generate(13);

  (void)state;
  assert_ec_refused(8, NULL, raw_point(pkey), "algorithm 8 (RSASHA256) needs RSA");
  EVP_PKEY_free(pkey);
}

/* --- RSA ------------------------------------------------------------------- */

static struct bytes number(const EVP_PKEY *pkey, const char *name)
{
  struct bytes b = {{0}, 0};
  BIGNUM *bn = NULL;

  assert_int_equal(EVP_PKEY_get_bn_param(pkey, name, &bn), 1);
  b.len = (size_t)BN_bn2bin(bn, b.at);
  BN_free(bn);
  return b;
}

static struct bytes zeros_before(struct bytes b, size_t zeros)
{
  memmove(b.at + zeros, b.at, b.len);
  memset(b.at, 0, zeros);
  b.len += zeros;
  return b;
}

static enum p11s_err make_rsa(unsigned algorithm, struct bytes n, struct bytes x,
                              struct p11s_pubkey **ret_key, struct p11s_error *e)
{
  return p11s_pubkey_from_rsa(p11s_algorithm_find(algorithm), (struct p11s_slice){n.at, n.len},
                              (struct p11s_slice){x.at, x.len}, ret_key, e);
}

static void test_rsa(void **state)
{
  EVP_PKEY *pkey = generate(8);
  struct bytes n = number(pkey, OSSL_PKEY_PARAM_RSA_N);
  struct bytes x = number(pkey, OSSL_PKEY_PARAM_RSA_E);
  struct bytes data = {{3, 1, 0, 1}, 4 + 128};
  struct p11s_pubkey *key = NULL;
  size_t zeros;

  (void)state;
  memcpy(data.at + 4, n.at, n.len);
  for (zeros = 0; zeros < 3; zeros++) {
    assert_int_equal(make_rsa(8, zeros_before(n, zeros), zeros_before(x, 2 * zeros), &key, NULL),
                     P11S_OK);
    assert_is(key, data);
    assert_int_equal(p11s_pubkey_bits(key), 1024);
    p11s_pubkey_free(key);
  }
  EVP_PKEY_free(pkey);
}

/* Where RFC 3110 goes over to the long form. */
static void test_rsa_long_exponent(void **state)
{
  size_t x_len;

  (void)state;
  for (x_len = 254; x_len <= 258; x_len++) {
    struct bytes n = {{0x80}, 300};
    struct bytes x = {{0x7f}, x_len};
    struct bytes data = {{0}, 0};
    struct p11s_pubkey *key = NULL;

    n.at[n.len - 1] = 1;
    x.at[x.len - 1] = 5;
    if (x_len > 255) {
      data.at[data.len++] = 0;
      data.at[data.len++] = 1;
    }
    data.at[data.len++] = (unsigned char)x_len;
    memcpy(data.at + data.len, x.at, x.len);
    memcpy(data.at + data.len + x.len, n.at, n.len);
    data.len += x.len + n.len;
    assert_int_equal(make_rsa(10, n, x, &key, NULL), P11S_OK);
    assert_is(key, data);
    p11s_pubkey_free(key);
  }
}

static void test_rsa_refused(void **state)
{
  struct bytes n = {{0x80}, 256};
  struct bytes x = BYTES("\x01\x00\x01");
  const struct bytes none = {{0}, 0};
  const struct bytes zeros = {{0}, 200};
  struct bytes huge = {{1}, 2048};
  struct p11s_pubkey *key = NULL;
  struct p11s_error e = {0};

  (void)state;
  n.at[255] = 1;
  huge.at[2047] = 1;
  assert_int_equal(make_rsa(8, none, x, &key, &e), P11S_ERR_KEY_TYPE);
  assert_int_equal(make_rsa(8, n, none, &key, &e), P11S_ERR_KEY_TYPE);
  assert_int_equal(make_rsa(8, zeros, x, &key, &e), P11S_ERR_KEY_TYPE);
  assert_int_equal(make_rsa(8, n, zeros, &key, &e), P11S_ERR_KEY_TYPE);
  assert_int_equal(make_rsa(8, huge, x, &key, &e), P11S_ERR_KEY_TYPE);
  assert_non_null(strstr(e.text, "RSA-16377"));
  assert_int_equal(make_rsa(8, n, huge, &key, &e), P11S_ERR_KEY_TYPE);
  assert_int_equal(make_rsa(8, n, n, &key, &e), P11S_ERR_KEY_TYPE);
  assert_int_equal(make_rsa(8, n, BYTES("\x02"), &key, &e), P11S_ERR_KEY_TYPE);
  assert_int_equal(make_rsa(8, n, BYTES("\x01"), &key, &e), P11S_ERR_KEY_TYPE);
  n.at[255] = 2;
  assert_int_equal(make_rsa(8, n, x, &key, &e), P11S_ERR_KEY_TYPE);
  assert_int_equal(make_rsa(13, n, x, &key, &e), P11S_ERR_KEY_TYPE);
  assert_string_equal(e.text, "the key is RSA, algorithm 13 (ECDSAP256SHA256) needs P-256");
  assert_null(key);
}

/* --- certificates ------------------------------------------------------------ */

/* A certificate of pkey, signed with signer's key. */
static struct bytes certificate(EVP_PKEY *pkey, EVP_PKEY *signer)
{
  struct bytes b = {{0}, 0};
  unsigned char *at = b.at;
  X509 *c = X509_new();
  int len;

  assert_non_null(c);
  assert_int_equal(X509_set_version(c, X509_VERSION_3), 1);
  assert_non_null(X509_gmtime_adj(X509_getm_notBefore(c), 0));
  assert_non_null(X509_gmtime_adj(X509_getm_notAfter(c), 3600));
  assert_int_equal(X509_NAME_add_entry_by_txt(X509_get_subject_name(c), "CN", MBSTRING_ASC,
                                              (const unsigned char *)"key", -1, -1, 0),
                   1);
  assert_int_equal(X509_set_pubkey(c, pkey), 1);
  assert_true(X509_sign(c, signer, EVP_sha256()) > 0);
  len = i2d_X509(c, NULL);
  assert_in_range(len, 1, sizeof b.at - 1);
  b.len = (size_t)i2d_X509(c, &at);
  X509_free(c);
  return b;
}

static enum p11s_err make_certificate(unsigned algorithm, const struct bytes *der,
                                      struct p11s_pubkey **ret_key, struct p11s_error *e)
{
  unsigned char *copy = malloc(der->len + 1);
  enum p11s_err err;

  assert_non_null(copy);
  memcpy(copy, der->at, der->len);
  err = p11s_pubkey_from_certificate(p11s_algorithm_find(algorithm), copy, der->len, ret_key, e);
  free(copy);
  return err;
}

/* SubjectPublicKeyInfo */
static struct bytes public_info(EVP_PKEY *pkey)
{
  struct bytes b = {{0}, 0};
  unsigned char *at = b.at;

  assert_in_range(i2d_PUBKEY(pkey, NULL), 1, sizeof b.at - 1);
  b.len = (size_t)i2d_PUBKEY(pkey, &at);
  return b;
}

static void assert_info(unsigned algorithm, EVP_PKEY *pkey, const struct p11s_pubkey *expected)
{
  struct bytes der = public_info(pkey);
  struct p11s_pubkey *key = NULL;
  struct p11s_error e;

  if (p11s_pubkey_from_info(p11s_algorithm_find(algorithm), der.at, der.len, &key, &e) != P11S_OK)
    fail_msg("%s", e.text);
  assert_true(p11s_pubkey_equal(key, expected));
  p11s_pubkey_free(key);
}

static void test_certificate(void **state)
{
  static const unsigned algorithms[] = {7, 8, 13, 14, 15, 16};
  EVP_PKEY *signer = generate(13);
  size_t i;

  (void)state;
  for (i = 0; i < sizeof algorithms / sizeof algorithms[0]; i++) {
    unsigned algorithm = algorithms[i];
    EVP_PKEY *pkey = generate(algorithm);
    struct bytes der = certificate(pkey, signer);
    struct p11s_pubkey *key = NULL;
    struct p11s_pubkey *direct = NULL;
    struct p11s_error e = {0};

    if (make_certificate(algorithm, &der, &key, &e) != P11S_OK)
      fail_msg("%s", e.text);
    if (algorithm <= 10)
      assert_int_equal(make_rsa(algorithm, number(pkey, OSSL_PKEY_PARAM_RSA_N),
                                number(pkey, OSSL_PKEY_PARAM_RSA_E), &direct, NULL),
                       P11S_OK);
    else
      assert_int_equal(make_ec(algorithm, NULL, raw_point(pkey), &direct, NULL), P11S_OK);
    assert_true(p11s_pubkey_equal(key, direct));
    assert_info(algorithm, pkey, direct);
    p11s_pubkey_free(key);
    p11s_pubkey_free(direct);
    EVP_PKEY_free(pkey);
  }
  EVP_PKEY_free(signer);
}

static void test_info_malformed(void **state)
{
  EVP_PKEY *pkey = generate(13);
  struct bytes der = public_info(pkey);
  struct p11s_pubkey *key = NULL;
  struct p11s_error e;

  (void)state;
  for (size_t len = 0; len < der.len; len++)
    assert_int_equal(p11s_pubkey_from_info(p11s_algorithm_find(13), der.at, len, &key, &e),
                     P11S_ERR_KEY_TYPE);
  assert_int_equal(p11s_pubkey_from_info(p11s_algorithm_find(13), der.at, der.len + 1, &key, &e),
                   P11S_ERR_KEY_TYPE);
  assert_int_equal(p11s_pubkey_from_info(p11s_algorithm_find(14), der.at, der.len, &key, &e),
                   P11S_ERR_KEY_TYPE);
  assert_null(key);
  EVP_PKEY_free(pkey);
}

static void test_certificate_of_another_type(void **state)
{
  static const struct {
    unsigned is;
    unsigned wanted;
    const char *said;
  } cases[] = {
      {8, 13, "the key is RSA, algorithm 13 (ECDSAP256SHA256) needs P-256"},
      {8, 15, "the key is RSA, algorithm 15 (ED25519) needs Ed25519"},
      {13, 8, "the key is P-256, algorithm 8 (RSASHA256) needs RSA"},
      {13, 14, "the key is P-256, algorithm 14 (ECDSAP384SHA384) needs P-384"},
      {14, 13, "the key is P-384, algorithm 13 (ECDSAP256SHA256) needs P-256"},
      {15, 16, "the key is ED25519, algorithm 16 (ED448) needs Ed448"},
      {15, 13, "the key is ED25519, algorithm 13"},
      {16, 10, "the key is ED448, algorithm 10"},
  };
  EVP_PKEY *signer = generate(13);
  size_t i;

  (void)state;
  for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    EVP_PKEY *pkey = generate(cases[i].is);
    struct bytes der = certificate(pkey, signer);
    struct p11s_pubkey *key = NULL;
    struct p11s_error e = {0};

    assert_int_equal(make_certificate(cases[i].wanted, &der, &key, &e), P11S_ERR_KEY_TYPE);
    assert_null(key);
    if (strstr(e.text, cases[i].said) == NULL)
      fail_msg("\"%s\" does not say \"%s\"", e.text, cases[i].said);
    EVP_PKEY_free(pkey);
  }
  EVP_PKEY_free(signer);
}

/* A curve that no algorithm has, and the largest point of all. */
static void test_certificate_of_another_curve(void **state)
{
  static const char *const names[] = {"P-521", "secp256k1", "brainpoolP512r1"};
  EVP_PKEY *signer = generate(13);
  size_t i;

  (void)state;
  for (i = 0; i < sizeof names / sizeof names[0]; i++) {
    EVP_PKEY *pkey = EVP_EC_gen(names[i]);
    struct p11s_pubkey *key = NULL;
    struct p11s_error e = {0};
    struct bytes der;

    assert_non_null(pkey);
    der = certificate(pkey, signer);
    assert_int_equal(make_certificate(13, &der, &key, &e), P11S_ERR_KEY_TYPE);
    assert_non_null(strstr(e.text, names[i]));
    EVP_PKEY_free(pkey);
  }
  EVP_PKEY_free(signer);
}

static void test_certificate_malformed(void **state)
{
  EVP_PKEY *pkey = generate(13);
  struct bytes der = certificate(pkey, pkey);
  size_t whole = der.len;
  struct p11s_pubkey *key = NULL;
  struct p11s_error e = {0};

  (void)state;
  for (der.len = 0; der.len < whole; der.len++)
    assert_int_equal(make_certificate(13, &der, &key, &e), P11S_ERR_KEY_TYPE);
  der.len = whole + 1;
  der.at[whole] = 0;
  assert_int_equal(make_certificate(13, &der, &key, &e), P11S_ERR_KEY_TYPE);
  assert_non_null(strstr(e.text, "1 byte behind its end"));
  assert_null(key);
  assert_int_equal(ERR_peek_error(), 0);
  EVP_PKEY_free(pkey);
}

/* Whatever bit is wrong: a key or an error, and the key is a good one. */
static void test_certificate_flipped_bits(void **state)
{
  EVP_PKEY *pkey = generate(13);
  struct bytes der = certificate(pkey, pkey);
  size_t bit;

  (void)state;
  for (bit = 0; bit < der.len * 8; bit++) {
    struct p11s_pubkey *key = NULL;
    der.at[bit / 8] ^= (unsigned char)(1u << bit % 8);
    if (make_certificate(13, &der, &key, NULL) == P11S_OK)
      assert_int_equal(p11s_pubkey_bits(key), 256);
    else
      assert_null(key);
    p11s_pubkey_free(key);
    der.at[bit / 8] ^= (unsigned char)(1u << bit % 8);
  }
  EVP_PKEY_free(pkey);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_point_forms),
      cmocka_unit_test(test_point_forms_many),
      cmocka_unit_test(test_params),
      cmocka_unit_test(test_params_refused),
      cmocka_unit_test(test_point_of_another_curve),
      cmocka_unit_test(test_point_truncated),
      cmocka_unit_test(test_point_malformed),
      cmocka_unit_test(test_ec_for_rsa),
      cmocka_unit_test(test_rsa),
      cmocka_unit_test(test_rsa_long_exponent),
      cmocka_unit_test(test_rsa_refused),
      cmocka_unit_test(test_certificate),
      cmocka_unit_test(test_info_malformed),
      cmocka_unit_test(test_certificate_of_another_type),
      cmocka_unit_test(test_certificate_of_another_curve),
      cmocka_unit_test(test_certificate_malformed),
      cmocka_unit_test(test_certificate_flipped_bits),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}

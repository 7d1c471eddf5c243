/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "format/pubkey.h"

#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/*
 * Signatures that others made: the RFCs' examples (8080 as corrected by erratum 4935), checked with
 * Python's cryptography package, and one of our own with an exponent of 256 bytes, made with
 * Python's integers.
 */
struct vector {
  const char *name;
  unsigned algorithm;
  unsigned bits;
  const char *key;       /* base64 of the DNSKEY public key field */
  const char *signature; /* base64 */
  const char *message; /* hex of what is signed: RRSIG RDATA and RRset (RFC 4034 section 3.1.8.1) */
  const char *hash;    /* hex of SHA-256 over key and algorithm */
};

static const struct vector vectors[] = {
    {
        "RFC 4035 B.6",
        5,
        1024,
        "AQOy1bZVvpPqhg4j7EJoM9rI3ZmyEx2OzDBVrZy/lvI5CQePxXHZS4i8dANH4DX3tbHol61ek8EF"
        "McsGXxKciJFHyhl94C+NwILQdzsUlSFovBZsyl/NX6yEbtw/xN9ZNcrbYvgjjZ/UVPZIySFNsgEY"
        "vh0z2542lzMKR4Dh8uZffQ==",
        "OMK8rAZlepfzLWW75Dxd63jy2wswESzxDKG2f9AMN1CytCd10cYISAxfAdvXSZ7xujKAtPbctvOQ"
        "2ofO7AZJ+d01EeeQTVBPq4/6KCWhqe2XTjnkVLNvvhnc0u28aoSsG0+4InvkkOHknKxw4kX18MMR"
        "34i8lC36SR5xBni8vHI=",
        "000f050200000e10409e7a234076ed239677076578616d706c6500012a0177076578616d706c"
        "6500000f000100000e10000e0001026169076578616d706c6500",
        "dd254e891814eafae4f4b4905ee13955b8cdfbb28eff74a153b709ef98551db2",
    },
    {
        "RFC 5702 6.2",
        10,
        1024,
        "AwEAAdHoNTOW+et86KuJOWRDp1pndvwb6Y83nSVXXyLA3DLroROUkN6X0O6pnWnjJQujX/AyhqFD"
        "xj13tOnD9u/1kTg7cV6rklMrZDtJCQ5PCl/D7QNPsgVsMu1J2Q8gpMpztNFLpPBz1bWXjDtaR7ZQ"
        "BlZ3PFY12ZTSncorffcGmhOL",
        "tsb4wnjRUDnB1BUi+t6TMTXThjVnG+eCkWqjvvjhzQL1d0YRoOe0CbxrVDYd0xDtsuJRaeUw1ep9"
        "4PzEWzr0iGYgZBWm/zpq+9fOuagYJRfDqfReKBzMweOLDiNa8iP5g9vMhpuv6OPlvpXwm9Sa9ZXI"
        "bNl1MBGk0fthPgxdDLw=",
        "00010a0300000e1070dbd880386d43800e9c076578616d706c65036e65740003777777076578"
        "616d706c65036e6574000001000100000e100004c000025b",
        "782a0a6a92b7f2ba64f9cdd4485c8a57535fa85d5525a17de72ef47f58097f33",
    },
    {
        "RFC 6605 6.1",
        13,
        256,
        "GojIhhXUN/u4v54ZQqGSnyhWJwaubCvTmeexv7bR6edbkrSqQpF64cYbcB7wNcP+e+MAnLr+Wi9x"
        "MWyQLc8NAA==",
        "qx6wLYqmh+l9oCKTN6qIc+bw6ya+KJ8oMz0YP107epXAyGmt+3SNruPFKG7tZoLBLlUzGGus7Zwm"
        "wWep666VCw==",
        "00010d0300000e104c88b1374c63c737d960076578616d706c65036e65740003777777076578"
        "616d706c65036e6574000001000100000e100004c0000201",
        "a4385558906ddb23d72c7c0009908eebe10cfcaf7bd36e2f045c23c4fed7360f",
    },
    {
        "RFC 6605 6.2",
        14,
        384,
        "xKYaNhWdGOfJ+nPrL8/arkwf2EY3MDJ+SErKivBVSum1w/egsXvSADtNJhyem5RCOpgQ6K8X1DRS"
        "EkrbYQ+OB+v8/uX45NBwY8rp65F6Glur8I/mlVNgF6W/qTI37m40",
        "/L5hDKIvGDyI1fcARX3z65qrmPsVz73QD1Mr5CEqOiLP95hxQouuroGCeZOvzFaxsT8Glr74hbav"
        "RKayJNuydCuzWTSSPdz7wnqXL5bdcJzusdnI0RSMROxxwGipWcJm",
        "00010e0300000e104c88b4e94c63cae92a13076578616d706c65036e65740003777777076578"
        "616d706c65036e6574000001000100000e100004c0000201",
        "9b62f162ce1f74cac16a0753513b4299c342f05f66a6bc4cf7cdd543eb43df61",
    },
    {
        "RFC 8080 6.1",
        15,
        256,
        "l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4=",
        "oL9krJun7xfBOIWcGHi7mag5/hdZrKWw15jPGrHpjQeRAvTdszaPD+QLs3fx8A4M3e23mRZ9Vrbp"
        "MngwcrqNAg==",
        "000f0f0200000e1055d4fc6055b94ce00e1d076578616d706c6503636f6d00076578616d706c"
        "6503636f6d00000f000100000e100014000a046d61696c076578616d706c6503636f6d00",
        "75cccd9ba32a1a6fa9bcd4e147254f20bff4186183dfe13f98935673842cd727",
    },
    {
        "RFC 8080 6.1 second",
        15,
        256,
        "zPnZ/QwEe7S8C5SPz2OfS5RR40ATk2/rYnE9xHIEijs=",
        "zXQ0bkYgQTEFyfLyi9QoiY6D8ZdYo4wyUhVioYZXFdT410QPRITQSqJSnzQoSm5poJ7gD7AQR0O7"
        "KuI5k2pcBg==",
        "000f0f0200000e1055d4fc6055b94ce08991076578616d706c6503636f6d00076578616d706c"
        "6503636f6d00000f000100000e100014000a046d61696c076578616d706c6503636f6d00",
        "7a0752f2a7227fcf4e4b7e1e0aef4721c9ebccd3cce20f0053111ba49a7cf536",
    },
    {
        "RFC 8080 6.2",
        16,
        456,
        "3kgROaDjrh0H2iuixWBrc8g2EpBBLCdGzHmn+G2MpTPhpj/OiBVHHSfPodx1FYYUcJKm1MDpJtIA",
        "3cPAHkmlnxcDHMyg7vFC34l0blBhuG1qpwLmjInI8w1CMB29FkEAIJUA0amxWndkmnBZ6SKiwZSA"
        "xGILn/NBtOXft0+Gj7FSvOKxE/07+4RQvE581N3Aj/JtIyaiYVdnYtyMWbSNyGEY2213WKsJlwEA",
        "000f100200000e1055d4fc6055b94ce025f1076578616d706c6503636f6d00076578616d706c"
        "6503636f6d00000f000100000e100014000a046d61696c076578616d706c6503636f6d00",
        "01f616d8e44e4dc000a709a9be6ac6a0af5f4418bdf940338c7cc0065f9453c1",
    },
    {
        "RFC 3110 long form",
        8,
        2048,
        "AAEAOT+hy3fw/clsaaTVpfQ7CLdW7fW3MXsvEGNPRwmHrG9aQsuGNVmeqYVvghRsV9/XaVHrwo5o"
        "ixtp15hK1yLHeEwJAz9pF/GuZoowAaG8RDr+TerzxLBGHtipieAflowl8ASVk67qGqPyIYkaiTpw"
        "/NrUKOwwYAYFt+cs+PTVOHBiZa1gNlhP43fsRo7L24ngd9d72If3kPC79TmpaB7RtI17/hC9sEfE"
        "zGmDnkgXglh/udaIwk8EVSaOCjle+0ECFPrVz213TGAGonx5TS47/EQWXMCP+Dna0ugxid87Y1EW"
        "6fn+w5WG4MakuG6RY3QTB/vEGkc/FvFBiLMHX7gyHcd3R8pmXBA/t+Yb18rloAffCkH8oQTXJCWy"
        "sOvEndDW7AmlpZ1a0Uyp3WjP9FN/pjj8Hpm9fcciIcMTTtHhcBgwh3warzfjkpK4Opz4hBnJfwTw"
        "Yz94zr78mIwZ/AevyAV6gTcRSOYH9Yisr54OuIzduu+IUSBcrCaBt9qo37GNQwNFet400NmC/RO/"
        "/Msbq4yvPL0OnFnlAX9GQG+rRiRhgG1nTts8sdcnt7dKHHWY8Yx2+vj3hIX1wRQknh74XrN9dfZA"
        "i7VC8XLt6dCe3evO091y7FdPWPPGlL8Q1m+g77nTHzwGAh3sVyLKKyBNiMKzeaOD+FFhqG1aoB6f"
        "LMs=",
        "Pa5OSlT4COztiEBQmUjdPYHC5hTFMzprhGgtfuxApgmGLGthOK7U8y1nQdxMjay9qOkdVPC+hwNB"
        "7zC027ybbc7VetZHJ0ORz+X57G+5opQebEvJPFHtIPVXugmchFJsnow/ywb8FRLnl8hzhW+Zi939"
        "zmjXL8AxAK7mIq9xdrrHQ9iT9cmIBAbK8uI2wWyAPcw06ObvKVmwnd1MGBuaTJZtXwqAzAYpVIbb"
        "WqF3rJXu2601AuPsBU/kCZIRYVfG6cwvdbbqo+9sxtZsuH65E2EJ5FnwNLxp2sYOYgVUD/FCK0uS"
        "b51LMlNmzNVHAK9fS+miJlg0teY6wBXYdLUfhw==",
        "0001080361206d657373616765206f66206e6f206d65616e696e67",
        "6f6f4343aec9d569390162bb29736b36aa19522ce460825823dfd168316d05fd",
    },
};

#define VECTORS (sizeof vectors / sizeof vectors[0])

struct bytes {
  unsigned char at[2048];
  size_t len;
};

static struct bytes from_base64(const char *text)
{
  struct bytes b;
  size_t len = strlen(text);

  assert_true(len / 4 * 3 <= sizeof b.at);
  assert_int_equal(EVP_DecodeBlock(b.at, (const unsigned char *)text, (int)len), len / 4 * 3);
  b.len = len / 4 * 3;
  b.len -= text[len - 1] == '=';
  b.len -= text[len - 2] == '=';
  return b;
}

static struct bytes from_hex(const char *text)
{
  struct bytes b;

  for (b.len = 0; text[2 * b.len] != '\0'; b.len++) {
    const char byte[] = {text[2 * b.len], text[2 * b.len + 1], '\0'};
    char *end = NULL;
    b.at[b.len] = (unsigned char)strtoul(byte, &end, 16);
    assert_ptr_equal(end, byte + 2);
  }
  return b;
}

/* From a copy of exactly this size, so that a sanitizer sees a byte read too far. */
static enum p11s_err make_from(unsigned algorithm, const unsigned char *data, size_t len,
                               struct p11s_pubkey **ret_key, struct p11s_error *e)
{
  unsigned char *copy = malloc(len > 0 ? len : 1);
  enum p11s_err err;

  assert_non_null(copy);
  if (len > 0)
    memcpy(copy, data, len);
  err = p11s_pubkey_from_dnskey(p11s_algorithm_find(algorithm), copy, len, ret_key, e);
  free(copy);
  return err;
}

static struct p11s_pubkey *make(unsigned algorithm, struct bytes data)
{
  struct p11s_pubkey *key = NULL;
  struct p11s_error e = {0};

  if (make_from(algorithm, data.at, data.len, &key, &e) != P11S_OK)
    fail_msg("%s", e.text);
  return key;
}

static void assert_refused(unsigned algorithm, const unsigned char *data, size_t len,
                           const char *said)
{
  struct p11s_pubkey *key = NULL;
  struct p11s_error e = {0};

  assert_int_equal(make_from(algorithm, data, len, &key, &e), P11S_ERR_KEY_TYPE);
  assert_null(key);
  if (strstr(e.text, said) == NULL)
    fail_msg("\"%s\" does not say \"%s\"", e.text, said);
  assert_int_equal(make_from(algorithm, data, len, &key, NULL), P11S_ERR_KEY_TYPE);
}

static bool verify(const struct p11s_pubkey *key, const struct bytes *message,
                   const struct bytes *signature)
{
  return p11s_pubkey_verify(key, message->at, message->len, signature->at, signature->len);
}

static void test_vectors(void **state)
{
  size_t i;

  (void)state;
  for (i = 0; i < VECTORS; i++) {
    const struct vector *v = &vectors[i];
    struct bytes data = from_base64(v->key);
    struct bytes signature = from_base64(v->signature);
    struct bytes message = from_hex(v->message);
    struct bytes hash = from_hex(v->hash);
    struct p11s_pubkey *key = make(v->algorithm, data);
    const unsigned char *got;
    size_t len;

    got = p11s_pubkey_data(key, &len);
    assert_int_equal(len, data.len);
    assert_memory_equal(got, data.at, data.len);
    assert_int_equal(p11s_pubkey_bits(key), v->bits);
    assert_int_equal(p11s_pubkey_signature_len(key), signature.len);
    assert_int_equal(hash.len, 32);
    assert_memory_equal(p11s_pubkey_hash(key), hash.at, 32);
    if (!verify(key, &message, &signature))
      fail_msg("%s does not verify", v->name);
    /* a second time, with the same prepared context */
    assert_true(verify(key, &message, &signature));
    p11s_pubkey_free(key);
  }
}

/* Each bit of the signature, and each bit of the message, counts. */
static void test_flipped_bits(void **state)
{
  size_t i;
  size_t bit;

  (void)state;
  for (i = 0; i < VECTORS; i++) {
    struct p11s_pubkey *key = make(vectors[i].algorithm, from_base64(vectors[i].key));
    struct bytes signature = from_base64(vectors[i].signature);
    struct bytes message = from_hex(vectors[i].message);

    for (bit = i; bit < signature.len * 8; bit += 7) {
      signature.at[bit / 8] ^= (unsigned char)(1u << bit % 8);
      if (verify(key, &message, &signature))
        fail_msg("%s verifies with bit %zu of the signature flipped", vectors[i].name, bit);
      signature.at[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
    for (bit = i; bit < message.len * 8; bit += 7) {
      message.at[bit / 8] ^= (unsigned char)(1u << bit % 8);
      if (verify(key, &message, &signature))
        fail_msg("%s verifies with bit %zu of the message flipped", vectors[i].name, bit);
      message.at[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
    assert_true(verify(key, &message, &signature));
    p11s_pubkey_free(key);
  }
}

static void test_wrong_lengths(void **state)
{
  size_t i;

  (void)state;
  for (i = 0; i < VECTORS; i++) {
    struct p11s_pubkey *key = make(vectors[i].algorithm, from_base64(vectors[i].key));
    struct bytes signature = from_base64(vectors[i].signature);
    struct bytes message = from_hex(vectors[i].message);
    size_t whole = signature.len;

    signature.at[whole] = 0;
    for (signature.len = 0; signature.len <= whole + 1; signature.len++)
      assert_int_equal(verify(key, &message, &signature), signature.len == whole);
    signature.len = whole;
    message.len--;
    assert_false(verify(key, &message, &signature));
    message.len += 2;
    assert_false(verify(key, &message, &signature));
    message.len = 0;
    assert_false(verify(key, &message, &signature));
    assert_false(p11s_pubkey_verify(key, NULL, 0, signature.at, signature.len));
    p11s_pubkey_free(key);
  }
}

/* Signatures of all zeros, all ones, and r or s of zero or of the order itself. */
static void test_degenerate_signatures(void **state)
{
  static const int fills[] = {0x00, 0xff};
  size_t i;
  size_t f;

  (void)state;
  for (i = 0; i < VECTORS; i++) {
    struct p11s_pubkey *key = make(vectors[i].algorithm, from_base64(vectors[i].key));
    struct bytes good = from_base64(vectors[i].signature);
    struct bytes message = from_hex(vectors[i].message);

    for (f = 0; f < 2; f++) {
      struct bytes bad = good;
      memset(bad.at, fills[f], bad.len);
      assert_false(verify(key, &message, &bad));
      bad = good;
      memset(bad.at, fills[f], bad.len / 2);
      assert_false(verify(key, &message, &bad));
      bad = good;
      memset(bad.at + bad.len / 2, fills[f], bad.len / 2);
      assert_false(verify(key, &message, &bad));
    }
    p11s_pubkey_free(key);
  }
}

static void test_digest(void **state)
{
  size_t i;

  (void)state;
  for (i = 0; i < VECTORS; i++) {
    const struct p11s_algorithm *alg = p11s_algorithm_find(vectors[i].algorithm);
    struct p11s_pubkey *key = make(alg->number, from_base64(vectors[i].key));
    struct bytes signature = from_base64(vectors[i].signature);
    struct bytes message = from_hex(vectors[i].message);
    unsigned char digest[EVP_MAX_MD_SIZE + 1] = {0};
    unsigned len = 0;

    if (alg->digest == NULL) {
      assert_false(
          p11s_pubkey_verify_digest(key, message.at, message.len, signature.at, signature.len));
      p11s_pubkey_free(key);
      continue;
    }
    assert_int_equal(
        EVP_Digest(message.at, message.len, digest, &len, EVP_get_digestbyname(alg->digest), NULL),
        1);
    assert_true(p11s_pubkey_verify_digest(key, digest, len, signature.at, signature.len));
    assert_false(p11s_pubkey_verify_digest(key, digest, len - 1, signature.at, signature.len));
    assert_false(p11s_pubkey_verify_digest(key, digest, len + 1, signature.at, signature.len));
    assert_false(p11s_pubkey_verify_digest(key, digest, 0, signature.at, signature.len));
    assert_false(p11s_pubkey_verify_digest(key, digest, len, signature.at, signature.len - 1));
    digest[len - 1] ^= 1;
    assert_false(p11s_pubkey_verify_digest(key, digest, len, signature.at, signature.len));
    p11s_pubkey_free(key);
  }
}

/* Only the algorithm's own hash will do, though the key is the same. */
static void test_other_algorithm_same_key(void **state)
{
  struct bytes data = from_base64(vectors[0].key);
  struct bytes signature = from_base64(vectors[0].signature);
  struct bytes message = from_hex(vectors[0].message);
  static const struct {
    unsigned algorithm;
    bool good;
  } cases[] = {{5, true}, {7, true}, {8, false}, {10, false}};
  struct p11s_pubkey *keys[4];
  size_t i;

  (void)state;
  for (i = 0; i < 4; i++) {
    keys[i] = make(cases[i].algorithm, data);
    assert_int_equal(verify(keys[i], &message, &signature), cases[i].good);
    assert_int_equal(p11s_pubkey_equal(keys[i], keys[0]), i == 0);
    assert_int_equal(memcmp(p11s_pubkey_hash(keys[i]), p11s_pubkey_hash(keys[0]), 32) == 0, i == 0);
  }
  for (i = 0; i < 4; i++)
    p11s_pubkey_free(keys[i]);
}

static void test_equal(void **state)
{
  struct p11s_pubkey *a = make(15, from_base64(vectors[4].key));
  struct p11s_pubkey *b = make(15, from_base64(vectors[4].key));
  struct p11s_pubkey *c = make(15, from_base64(vectors[5].key));

  (void)state;
  assert_true(p11s_pubkey_equal(a, b));
  assert_true(p11s_pubkey_equal(a, a));
  assert_false(p11s_pubkey_equal(a, c));
  p11s_pubkey_free(a);
  p11s_pubkey_free(b);
  p11s_pubkey_free(c);
  p11s_pubkey_free(NULL);
}

static void test_truncated_keys(void **state)
{
  size_t i;
  size_t len;

  (void)state;
  for (i = 0; i < VECTORS; i++) {
    struct bytes data = from_base64(vectors[i].key);
    unsigned algorithm = vectors[i].algorithm;
    /* an RSA modulus may lose its last byte and be a key still, if an odd and shorter one */
    bool rsa = p11s_algorithm_find(algorithm)->family == P11S_RSA;

    for (len = 0; len < data.len; len++) {
      struct p11s_pubkey *key = NULL;
      struct p11s_error e = {0};
      enum p11s_err err = make_from(algorithm, data.at, len, &key, &e);
      if (err != P11S_OK)
        assert_int_equal(err, P11S_ERR_KEY_TYPE);
      else if (!rsa)
        fail_msg("%s is taken with %zu bytes", vectors[i].name, len);
      else
        assert_true(p11s_pubkey_bits(key) < vectors[i].bits);
      p11s_pubkey_free(key);
    }
    data.at[data.len] = 0;
    if (!rsa)
      assert_refused(algorithm, data.at, data.len + 1, "needs");
  }
}

static void test_key_of_another_algorithm(void **state)
{
  struct bytes p256 = from_base64(vectors[2].key);
  struct bytes ed25519 = from_base64(vectors[4].key);
  struct bytes rsa = from_base64(vectors[1].key);

  (void)state;
  assert_refused(14, p256.at, p256.len,
                 "the public key has 64 bytes, algorithm 14 (ECDSAP384SHA384) needs 96 (P-384)");
  assert_refused(16, ed25519.at, ed25519.len, "needs 57 (Ed448)");
  assert_refused(13, rsa.at, rsa.len, "needs 64 (P-256)");
  assert_refused(8, p256.at, p256.len, "RSA");
  assert_refused(8, ed25519.at, ed25519.len, "RSA");
}

/* RFC 5702's example has 512 bits. */
static void test_rsa_too_small(void **state)
{
  struct bytes data = from_base64("AwEAAcFcGsaxxdgiuuGmCkVImy4h99CqT7jwY3pexPGcnUFtR2Fh36BponcwtkZ4"
                                  "cAgtvd4Qs8PkxUdp6p/DlUmObdk=");

  (void)state;
  assert_refused(8, data.at, data.len,
                 "the key is RSA-512, algorithm 8 (RSASHA256) needs RSA-1024 to RSA-4096");
}

/* RFC 3110 data with a modulus of `bits` bits that is 10…01 and the exponent given. */
static struct bytes rsa_data(const char *exponent, size_t exponent_len, size_t bits)
{
  struct bytes b = {{0}, 0};
  size_t n_len = (bits + 7) / 8;

  b.at[b.len++] = (unsigned char)exponent_len;
  memcpy(b.at + b.len, exponent, exponent_len);
  b.len += exponent_len;
  b.at[b.len] = (unsigned char)(1u << (bits - 1) % 8);
  b.len += n_len;
  b.at[b.len - 1] |= 1;
  return b;
}

static void test_rsa_sizes(void **state)
{
  static const size_t good[] = {1024, 1025, 1031, 2048, 3072, 3073, 4095, 4096};
  static const size_t bad[] = {8, 16, 512, 1016, 1023, 4097, 4104, 8192};
  size_t i;

  (void)state;
  for (i = 0; i < sizeof good / sizeof good[0]; i++) {
    struct p11s_pubkey *key = make(8, rsa_data("\x01\x00\x01", 3, good[i]));
    assert_int_equal(p11s_pubkey_bits(key), good[i]);
    assert_int_equal(p11s_pubkey_signature_len(key), (good[i] + 7) / 8);
    p11s_pubkey_free(key);
  }
  for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    struct bytes data = rsa_data("\x03", 1, bad[i]);
    char said[64];
    (void)snprintf(said, sizeof said, "the key is RSA-%zu,", bad[i]);
    assert_refused(8, data.at, data.len, said);
  }
}

static void test_rsa_numbers(void **state)
{
  struct bytes data;

  (void)state;
  data = rsa_data("\x01", 1, 2048);
  assert_refused(8, data.at, data.len, "less than 3");
  data = rsa_data("\x02", 1, 2048);
  assert_refused(8, data.at, data.len, "exponent is even");
  data = rsa_data("\x01\x00\x00", 3, 2048);
  assert_refused(8, data.at, data.len, "exponent is even");
  data = rsa_data("\x00", 1, 2048);
  assert_refused(8, data.at, data.len, "zero byte");
  data = rsa_data("\x00\x03", 2, 2048);
  assert_refused(8, data.at, data.len, "zero byte");
  data = rsa_data("\x03", 1, 2048);
  data.at[data.len - 1] = 0;
  assert_refused(8, data.at, data.len, "modulus is even");
  /* a zero byte before the modulus: its length must be that of the number */
  data = rsa_data("\x03", 1, 2048);
  memmove(data.at + 3, data.at + 2, data.len - 2);
  data.at[2] = 0;
  assert_refused(8, data.at, data.len + 1, "zero byte");
  /* libcrypto takes no such exponent, so nothing could be verified */
  data = rsa_data("\x01\x00\x00\x00\x00\x00\x00\x00\x01", 9, 3073);
  assert_refused(8, data.at, data.len, "over 64 bits");
  data = rsa_data("\x01\x00\x00\x00\x00\x00\x00\x00\x01", 9, 3072);
  p11s_pubkey_free(make(8, data));
  data = rsa_data("\x80\x00\x00\x00\x00\x00\x00\x01", 8, 4096);
  p11s_pubkey_free(make(8, data));
}

static void test_rsa_exponent_length(void **state)
{
  static const unsigned char nothing[] = {0, 0, 0, 0};
  struct bytes data = {{0}, 0};
  struct bytes end;

  (void)state;
  assert_refused(8, nothing, 0, "too short");
  assert_refused(8, nothing, 2, "too short");
  assert_refused(8, nothing, 4, "long form");
  assert_refused(8, (const unsigned char *)"\x05\x03\x03", 3, "longer than the data");
  assert_refused(8, (const unsigned char *)"\x02\x03\x03", 3, "empty");
  assert_refused(8, (const unsigned char *)"\x00\xff\xff\x03", 4, "longer than the data");
  /* the long form where the short one is due */
  end = rsa_data("\x03", 1, 2048);
  data.at[2] = 1;
  memcpy(data.at + 3, end.at + 1, end.len - 1);
  data.len = end.len + 2;
  assert_refused(8, data.at, data.len, "long form");
  /* not less than the modulus: RFC 3110's vector with the two exchanged */
  data = from_base64(vectors[VECTORS - 1].key);
  memcpy(end.at, data.at + 3, 256);
  memmove(data.at + 3, data.at + 3 + 256, 256);
  memcpy(data.at + 3 + 256, end.at, 256);
  assert_refused(8, data.at, data.len, "not less than the modulus");
}

static void test_length_limit(void **state)
{
  unsigned char *data = calloc(1, 70000);

  (void)state;
  assert_non_null(data);
  assert_refused(8, data, 70000, "70000 bytes");
  assert_refused(8, data, 65531, "long form");
  free(data);
}

static void test_not_on_the_curve(void **state)
{
  size_t i;

  (void)state;
  for (i = 2; i <= 3; i++) {
    struct bytes data = from_base64(vectors[i].key);
    unsigned algorithm = vectors[i].algorithm;
    const char *said = i == 2 ? "not a point on the curve P-256" : "not a point on the curve P-384";
    size_t bit;

    for (bit = 0; bit < data.len * 8; bit += 11) {
      data.at[bit / 8] ^= (unsigned char)(1u << bit % 8);
      assert_refused(algorithm, data.at, data.len, said);
      data.at[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
    memset(data.at, 0, data.len);
    assert_refused(algorithm, data.at, data.len, said);
    memset(data.at, 0xff, data.len);
    assert_refused(algorithm, data.at, data.len, said);
  }
}

/* Which y from 0 to 63 are on the curves: computed with Python's integers. */
static void test_edwards_points(void **state)
{
  static const char *const on_curve[] = {
      "1101111001100011101101011111111011010101101110001001101111101111",
      "1101110111001100000101001111010101011111101011000011010101000001",
  };
  static const char *const said[] = {"not a point on the curve Ed25519",
                                     "not a point on the curve Ed448"};
  unsigned curve;
  unsigned y;

  (void)state;
  for (curve = 0; curve < 2; curve++)
    for (y = 0; y < 64; y++) {
      struct bytes data = {{(unsigned char)y}, curve == 0 ? 32 : 57};
      if (on_curve[curve][y] == '1')
        p11s_pubkey_free(make(15 + curve, data));
      else
        assert_refused(15 + curve, data.at, data.len, said[curve]);
    }
}

static void test_edwards_encodings(void **state)
{
  struct bytes data = {{0}, 32};

  (void)state;
  /* p + 1 is not 1, and -0 is not a number; p - 1 is fine */
  memset(data.at, 0xff, 32);
  data.at[31] = 0x7f;
  data.at[0] = 0xee;
  assert_refused(15, data.at, 32, "not a point");
  data.at[0] = 0xec;
  p11s_pubkey_free(make(15, data));
  memset(data.at, 0, 32);
  data.at[0] = 1;
  p11s_pubkey_free(make(15, data));
  data.at[31] = 0x80;
  assert_refused(15, data.at, 32, "not a point");
  /* Ed448: bits above 447 of y */
  data = from_base64(vectors[6].key);
  data.at[56] |= 0x01;
  assert_refused(16, data.at, 57, "not a point");
}

/* Every real key is on its curve. */
static void test_edwards_generated(void **state)
{
  static const char *const names[] = {"ED25519", "ED448"};
  unsigned i;

  (void)state;
  for (i = 0; i < 100; i++) {
    EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, names[i % 2]);
    struct bytes data = {{0}, sizeof data.at};
    assert_non_null(pkey);
    assert_int_equal(EVP_PKEY_get_raw_public_key(pkey, data.at, &data.len), 1);
    p11s_pubkey_free(make(15 + i % 2, data));
    EVP_PKEY_free(pkey);
  }
}

/* What libcrypto signs with each RSA algorithm. */
static void test_rsa_generated(void **state)
{
  static const unsigned algorithms[] = {5, 7, 8, 10};
  EVP_PKEY *pkey = EVP_RSA_gen(1536);
  struct bytes message = {"signed in the test", 18};
  BIGNUM *n = NULL;
  struct bytes data = {{3, 1, 0, 1}, 4};
  size_t i;

  (void)state;
  assert_non_null(pkey);
  assert_int_equal(EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_N, &n), 1);
  data.len += (size_t)BN_bn2bin(n, data.at + 4);
  for (i = 0; i < 4; i++) {
    const struct p11s_algorithm *alg = p11s_algorithm_find(algorithms[i]);
    struct p11s_pubkey *key = make(alg->number, data);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    struct bytes signature = {{0}, sizeof signature.at};

    assert_int_equal(EVP_DigestSignInit_ex(ctx, NULL, alg->digest, NULL, NULL, pkey, NULL), 1);
    assert_int_equal(EVP_DigestSign(ctx, signature.at, &signature.len, message.at, message.len), 1);
    assert_true(verify(key, &message, &signature));
    EVP_MD_CTX_free(ctx);
    p11s_pubkey_free(key);
  }
  BN_free(n);
  EVP_PKEY_free(pkey);
}

/* r or s with a zero byte in front: 1 in 128 signatures, lost by a careless conversion. */
static void test_ecdsa_short_numbers(void **state)
{
  EVP_PKEY *pkey = EVP_EC_gen("prime256v1");
  unsigned char point[65];
  size_t len = 0;
  struct bytes data = {{0}, 64};
  struct p11s_pubkey *key;
  unsigned shorts = 0;
  unsigned i;

  (void)state;
  assert_non_null(pkey);
  assert_int_equal(EVP_PKEY_get_octet_string_param(pkey, OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, point,
                                                   sizeof point, &len),
                   1);
  assert_int_equal(len, 65);
  memcpy(data.at, point + 1, 64);
  key = make(13, data);
  for (i = 0; shorts < 4 && i < 20000; i++) {
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
    unsigned char digest[32] = {(unsigned char)i, (unsigned char)(i >> 8)};
    unsigned char der[128];
    const unsigned char *at = der;
    size_t der_len = sizeof der;
    unsigned char raw[64];
    ECDSA_SIG *sig;

    assert_int_equal(EVP_PKEY_sign_init(ctx), 1);
    assert_int_equal(EVP_PKEY_sign(ctx, der, &der_len, digest, sizeof digest), 1);
    sig = d2i_ECDSA_SIG(NULL, &at, (long)der_len);
    assert_non_null(sig);
    assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, 32), 32);
    assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + 32, 32), 32);
    if (raw[0] == 0 || raw[32] == 0) {
      shorts++;
      assert_true(p11s_pubkey_verify_digest(key, digest, 32, raw, 64));
    }
    ECDSA_SIG_free(sig);
    EVP_PKEY_CTX_free(ctx);
  }
  assert_int_equal(shorts, 4);
  p11s_pubkey_free(key);
  EVP_PKEY_free(pkey);
}

/* PowerDNS's threads have an error queue too: it must be as it was. */
static void test_error_queue_untouched(void **state)
{
  struct bytes data = from_base64(vectors[2].key);
  struct bytes signature = from_base64(vectors[2].signature);
  struct bytes message = from_hex(vectors[2].message);
  struct p11s_pubkey *key = make(13, data);
  struct p11s_pubkey *none = NULL;

  (void)state;
  ERR_clear_error();
  memset(signature.at, 0xff, 32);
  assert_false(verify(key, &message, &signature));
  data.at[0] ^= 1;
  assert_int_equal(make_from(13, data.at, data.len, &none, NULL), P11S_ERR_KEY_TYPE);
  assert_int_equal(ERR_peek_error(), 0);
  ERR_raise(ERR_LIB_USER, 7);
  assert_false(verify(key, &message, &signature));
  assert_int_equal(ERR_GET_REASON(ERR_peek_error()), 7);
  assert_int_equal(ERR_GET_REASON(ERR_peek_last_error()), 7);
  ERR_clear_error();
  p11s_pubkey_free(key);
}

struct work {
  const struct p11s_pubkey *key;
  struct bytes message;
  struct bytes signature;
  unsigned wrong;
};

static void *verify_many(void *arg)
{
  struct work *w = arg;
  int i;

  for (i = 0; i < 100; i++) {
    w->wrong += !verify(w->key, &w->message, &w->signature);
    w->signature.at[i % 60] ^= 4;
    w->wrong += verify(w->key, &w->message, &w->signature);
    w->signature.at[i % 60] ^= 4;
  }
  return NULL;
}

static void test_threads(void **state)
{
  size_t i;

  (void)state;
  for (i = 0; i < VECTORS; i++) {
    struct p11s_pubkey *key = make(vectors[i].algorithm, from_base64(vectors[i].key));
    struct work *work = calloc(4, sizeof *work);
    pthread_t threads[4];
    unsigned t;

    assert_non_null(work);
    for (t = 0; t < 4; t++) {
      work[t].key = key;
      work[t].message = from_hex(vectors[i].message);
      work[t].signature = from_base64(vectors[i].signature);
      assert_int_equal(pthread_create(&threads[t], NULL, verify_many, &work[t]), 0);
    }
    for (t = 0; t < 4; t++) {
      assert_int_equal(pthread_join(threads[t], NULL), 0);
      assert_int_equal(work[t].wrong, 0);
    }
    free(work);
    p11s_pubkey_free(key);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_vectors),
      cmocka_unit_test(test_flipped_bits),
      cmocka_unit_test(test_wrong_lengths),
      cmocka_unit_test(test_degenerate_signatures),
      cmocka_unit_test(test_digest),
      cmocka_unit_test(test_other_algorithm_same_key),
      cmocka_unit_test(test_equal),
      cmocka_unit_test(test_truncated_keys),
      cmocka_unit_test(test_key_of_another_algorithm),
      cmocka_unit_test(test_rsa_too_small),
      cmocka_unit_test(test_rsa_sizes),
      cmocka_unit_test(test_rsa_numbers),
      cmocka_unit_test(test_rsa_exponent_length),
      cmocka_unit_test(test_length_limit),
      cmocka_unit_test(test_not_on_the_curve),
      cmocka_unit_test(test_edwards_points),
      cmocka_unit_test(test_edwards_encodings),
      cmocka_unit_test(test_edwards_generated),
      cmocka_unit_test(test_rsa_generated),
      cmocka_unit_test(test_ecdsa_short_numbers),
      cmocka_unit_test(test_error_queue_untouched),
      cmocka_unit_test(test_threads),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}

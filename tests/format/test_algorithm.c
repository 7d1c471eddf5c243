/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "format/algorithm.h"

#include <openssl/evp.h>
#include <openssl/objects.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* IANA's numbers and names, PKCS#11's values, the sizes of RFC 6605 and RFC 8080, by hand. */
static const struct {
  unsigned number;
  const char *mnemonic;
  unsigned long key_type;
  unsigned long keygen;
  unsigned long raw;
  unsigned long hashing;
  const char *digest;
  size_t digest_len;
  size_t public_len;
  size_t signature_len;
} known[] = {
    {5, "RSASHA1", 0x0, 0x0, 0x1, 0x6, "SHA1", 20, 0, 0},
    {7, "RSASHA1-NSEC3-SHA1", 0x0, 0x0, 0x1, 0x6, "SHA1", 20, 0, 0},
    {8, "RSASHA256", 0x0, 0x0, 0x1, 0x40, "SHA256", 32, 0, 0},
    {10, "RSASHA512", 0x0, 0x0, 0x1, 0x42, "SHA512", 64, 0, 0},
    {13, "ECDSAP256SHA256", 0x3, 0x1040, 0x1041, 0x1044, "SHA256", 32, 64, 64},
    {14, "ECDSAP384SHA384", 0x3, 0x1040, 0x1041, 0x1045, "SHA384", 48, 96, 96},
    {15, "ED25519", 0x40, 0x1055, 0x1057, 0x1057, NULL, 0, 32, 64},
    {16, "ED448", 0x40, 0x1055, 0x1057, 0x1057, NULL, 0, 57, 114},
};

#define KNOWN (sizeof known / sizeof known[0])

static void test_table(void **state)
{
  size_t i;

  (void)state;
  for (i = 0; i < KNOWN; i++) {
    const struct p11s_algorithm *a = p11s_algorithm_find(known[i].number);
    assert_non_null(a);
    assert_ptr_equal(a, p11s_algorithm_at(i));
    assert_int_equal(a->number, known[i].number);
    assert_string_equal(a->mnemonic, known[i].mnemonic);
    assert_int_equal(a->key_type, known[i].key_type);
    assert_int_equal(a->keygen, known[i].keygen);
    assert_int_equal(a->raw, known[i].raw);
    assert_int_equal(a->hashing, known[i].hashing);
    assert_int_equal(a->digest_len, known[i].digest_len);
    assert_int_equal(a->public_len, known[i].public_len);
    assert_int_equal(a->signature_len, known[i].signature_len);
    if (known[i].digest == NULL)
      assert_null(a->digest);
    else
      assert_string_equal(a->digest, known[i].digest);
  }
  assert_null(p11s_algorithm_at(KNOWN));
  assert_null(p11s_algorithm_at(SIZE_MAX));
}

static void test_numbers_not_there(void **state)
{
  unsigned found = 0;
  unsigned n;

  (void)state;
  for (n = 0; n < 1000; n++)
    found += p11s_algorithm_find(n) != NULL;
  assert_int_equal(found, KNOWN);
  assert_null(p11s_algorithm_find(65536 + 8));
  assert_null(p11s_algorithm_find(UINT32_MAX));
}

static void test_families(void **state)
{
  const struct p11s_algorithm *a;
  size_t i;

  (void)state;
  for (i = 0; (a = p11s_algorithm_at(i)) != NULL; i++) {
    if (a->number <= 10) {
      assert_int_equal(a->family, P11S_RSA);
      assert_int_equal(a->bits, 0);
      assert_int_equal(a->default_bits, 2048);
      assert_null(a->curve);
      assert_null(a->ec_params);
    } else {
      assert_int_equal(a->family, a->number <= 14 ? P11S_ECDSA : P11S_EDDSA);
      assert_true(a->bits > 0);
      assert_int_equal(a->default_bits, a->bits);
      assert_non_null(a->curve);
    }
  }
}

/* What libcrypto makes of the names in the table. */
static void test_libcrypto_knows_the_names(void **state)
{
  const struct p11s_algorithm *a;
  size_t i;

  (void)state;
  for (i = 0; (a = p11s_algorithm_at(i)) != NULL; i++) {
    if (a->digest != NULL) {
      EVP_MD *md = EVP_MD_fetch(NULL, a->digest, NULL);
      assert_non_null(md);
      assert_int_equal(EVP_MD_get_size(md), a->digest_len);
      EVP_MD_free(md);
    }
    if (a->family == P11S_ECDSA) {
      const unsigned char *at = a->ec_params;
      ASN1_OBJECT *oid = d2i_ASN1_OBJECT(NULL, &at, (long)a->ec_params_len);
      assert_non_null(oid);
      assert_ptr_equal(at, a->ec_params + a->ec_params_len);
      assert_int_equal(OBJ_obj2nid(oid), OBJ_sn2nid(a->curve));
      ASN1_OBJECT_free(oid);
    }
    if (a->family == P11S_EDDSA) {
      EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, a->curve, NULL);
      assert_non_null(ctx);
      EVP_PKEY_CTX_free(ctx);
    }
  }
}

static void test_edwards_params(void **state)
{
  const struct p11s_algorithm *a = p11s_algorithm_find(15);

  (void)state;
  assert_int_equal(a->ec_params_len, 14);
  assert_memory_equal(a->ec_params,
                      "\x13\x0c"
                      "edwards25519",
                      14);
  a = p11s_algorithm_find(16);
  assert_int_equal(a->ec_params_len, 12);
  assert_memory_equal(a->ec_params,
                      "\x13\x0a"
                      "edwards448",
                      12);
}

static void assert_parses(const char *text, unsigned number)
{
  const struct p11s_algorithm *a = p11s_algorithm_parse(text);

  assert_non_null(a);
  assert_int_equal(a->number, number);
}

static void test_parse(void **state)
{
  (void)state;
  assert_parses("5", 5);
  assert_parses("8", 8);
  assert_parses("16", 16);
  assert_parses("rsasha1", 5);
  assert_parses("rsasha1-nsec3-sha1", 7);
  assert_parses("rsasha256", 8);
  assert_parses("RsaSha512", 10);
  assert_parses("ecdsa256", 13);
  assert_parses("ECDSA384", 14);
  assert_parses("ECDSAP256SHA256", 13);
  assert_parses("ecdsap384sha384", 14);
  assert_parses("ed25519", 15);
  assert_parses("ED448", 16);
}

static void test_parse_refuses(void **state)
{
  static const char *const texts[] = {
      "",     "0",        "1",          "8x",  "-8",         "+8",
      " 8",   "8 ",       "0x8",        "264", "4294967304", "rsa",
      "gost", "rsasha25", "rsasha2566", "ed",  "é",          "99999999999999999999999999"};
  size_t i;

  (void)state;
  for (i = 0; i < sizeof texts / sizeof texts[0]; i++)
    assert_null(p11s_algorithm_parse(texts[i]));
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_table),          cmocka_unit_test(test_numbers_not_there),
      cmocka_unit_test(test_families),       cmocka_unit_test(test_libcrypto_knows_the_names),
      cmocka_unit_test(test_edwards_params), cmocka_unit_test(test_parse),
      cmocka_unit_test(test_parse_refuses),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}

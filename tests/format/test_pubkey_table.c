/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "format/pubkey.h"
#include "format/pubkey_table.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define DIGEST_LEN 32

/* A key pair of libcrypto's, its public half as the module holds it, and as a table. */
struct pair {
  EVP_PKEY *pkey;
  unsigned char point[P11S_PUBKEY_TABLE_LEN];
  struct p11s_pubkey *key;
  struct p11s_pubkey_table *table;
};

static struct pair make_pair(void)
{
  struct pair p = {.pkey = EVP_EC_gen("prime256v1")};
  unsigned char point[1 + P11S_PUBKEY_TABLE_LEN];
  size_t len = 0;

  assert_non_null(p.pkey);
  assert_int_equal(EVP_PKEY_get_octet_string_param(p.pkey, OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY,
                                                   point, sizeof point, &len),
                   1);
  assert_int_equal(len, sizeof point);
  memcpy(p.point, point + 1, sizeof p.point);
  assert_int_equal(
      p11s_pubkey_from_dnskey(p11s_algorithm_find(13), p.point, sizeof p.point, &p.key, NULL),
      P11S_OK);
  p.table = p11s_pubkey_table_new(p.point);
  assert_non_null(p.table);
  return p;
}

static void free_pair(struct pair *p)
{
  p11s_pubkey_table_free(p->table);
  p11s_pubkey_free(p->key);
  EVP_PKEY_free(p->pkey);
}

static void sign(const struct pair *p, const unsigned char *digest, unsigned char *ret_signature)
{
  EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, p->pkey, NULL);
  unsigned char der[128];
  const unsigned char *at = der;
  size_t len = sizeof der;
  ECDSA_SIG *sig;

  assert_int_equal(EVP_PKEY_sign_init(ctx), 1);
  assert_int_equal(EVP_PKEY_sign(ctx, der, &len, digest, DIGEST_LEN), 1);
  sig = d2i_ECDSA_SIG(NULL, &at, (long)len);
  assert_non_null(sig);
  assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_r(sig), ret_signature, 32), 32);
  assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_s(sig), ret_signature + 32, 32), 32);
  ECDSA_SIG_free(sig);
  EVP_PKEY_CTX_free(ctx);
}

/* false: on this CPU a table saves nothing, and there is none. */
static bool make_table(struct p11s_pubkey_table *t)
{
  for (int i = 1; i < P11S_PUBKEY_TABLE_AFTER; i++)
    assert_false(p11s_pubkey_table_is_made(t));
  return p11s_pubkey_table_is_made(t);
}

/* The key's own verification is libcrypto's alone: it has verified less often than makes a table.
 */
static void assert_same(const struct pair *p, const unsigned char *digest,
                        const unsigned char *signature, bool good)
{
  assert_int_equal(p11s_pubkey_table_verify(p->table, digest, signature), good);
  assert_int_equal(
      p11s_pubkey_verify_digest(p->key, digest, DIGEST_LEN, signature, P11S_PUBKEY_TABLE_LEN),
      good);
}

static void test_same_verdict(void **state)
{
  struct pair p = make_pair();

  (void)state;
  if (!make_table(p.table)) {
    free_pair(&p);
    skip();
  }
  for (unsigned i = 0; i < 100; i++) {
    unsigned char digest[DIGEST_LEN], signature[P11S_PUBKEY_TABLE_LEN];

    assert_int_equal(RAND_bytes(digest, sizeof digest), 1);
    if (i < 4) /* also zero, and more than the order */
      memset(digest, i % 2 == 0 ? 0x00 : 0xff, sizeof digest);
    sign(&p, digest, signature);
    assert_same(&p, digest, signature, true);
    signature[i % sizeof signature] ^= (unsigned char)(1u << i % 8);
    assert_same(&p, digest, signature, false);
    signature[i % sizeof signature] ^= (unsigned char)(1u << i % 8);
    digest[i % sizeof digest] ^= (unsigned char)(1u << i % 8);
    assert_same(&p, digest, signature, false);
  }
  free_pair(&p);
}

/* r, s or both: zero, the order, more than the order. */
static void test_numbers_out_of_range(void **state)
{
  static const unsigned char order[32] = {0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00,
                                          0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                          0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84,
                                          0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51};
  unsigned char numbers[4][32] = {{0}, {0}, {0}, {0}};
  unsigned char digest[DIGEST_LEN] = {1}, signature[P11S_PUBKEY_TABLE_LEN], bad[sizeof signature];
  struct pair p = make_pair();

  (void)state;
  if (!make_table(p.table)) {
    free_pair(&p);
    skip();
  }
  memcpy(numbers[1], order, sizeof order);
  memcpy(numbers[2], order, sizeof order);
  numbers[2][31]++;
  memset(numbers[3], 0xff, sizeof numbers[3]);
  sign(&p, digest, signature);
  for (size_t i = 0; i < 4; i++)
    for (size_t half = 0; half < 3; half++) {
      memcpy(bad, signature, sizeof bad);
      if (half != 1)
        memcpy(bad, numbers[i], 32);
      if (half != 0)
        memcpy(bad + 32, numbers[i], 32);
      assert_same(&p, digest, bad, false);
    }
  free_pair(&p);
}

/* RFC 6979, A.2.5: SHA-256 of "sample". Not made by what is tested against. */
static void test_vector(void **state)
{
  static const unsigned char point[] = {
      0x60, 0xfe, 0xd4, 0xba, 0x25, 0x5a, 0x9d, 0x31, 0xc9, 0x61, 0xeb, 0x74, 0xc6,
      0x35, 0x6d, 0x68, 0xc0, 0x49, 0xb8, 0x92, 0x3b, 0x61, 0xfa, 0x6c, 0xe6, 0x69,
      0x62, 0x2e, 0x60, 0xf2, 0x9f, 0xb6, 0x79, 0x03, 0xfe, 0x10, 0x08, 0xb8, 0xbc,
      0x99, 0xa4, 0x1a, 0xe9, 0xe9, 0x56, 0x28, 0xbc, 0x64, 0xf2, 0xf1, 0xb2, 0x0c,
      0x2d, 0x7e, 0x9f, 0x51, 0x77, 0xa3, 0xc2, 0x94, 0xd4, 0x46, 0x22, 0x99};
  static const unsigned char signature[] = {
      0xef, 0xd4, 0x8b, 0x2a, 0xac, 0xb6, 0xa8, 0xfd, 0x11, 0x40, 0xdd, 0x9c, 0xd4,
      0x5e, 0x81, 0xd6, 0x9d, 0x2c, 0x87, 0x7b, 0x56, 0xaa, 0xf9, 0x91, 0xc3, 0x4d,
      0x0e, 0xa8, 0x4e, 0xaf, 0x37, 0x16, 0xf7, 0xcb, 0x1c, 0x94, 0x2d, 0x65, 0x7c,
      0x41, 0xd4, 0x36, 0xc7, 0xa1, 0xb6, 0xe2, 0x9f, 0x65, 0xf3, 0xe9, 0x00, 0xdb,
      0xb9, 0xaf, 0xf4, 0x06, 0x4d, 0xc4, 0xab, 0x2f, 0x84, 0x3a, 0xcd, 0xa8};
  struct p11s_pubkey_table *table = p11s_pubkey_table_new(point);
  unsigned char digest[DIGEST_LEN];

  (void)state;
  assert_int_equal(EVP_Digest("sample", 6, digest, NULL, EVP_sha256(), NULL), 1);
  if (!make_table(table)) {
    p11s_pubkey_table_free(table);
    skip();
  }
  assert_true(p11s_pubkey_table_verify(table, digest, signature));
  digest[0] ^= 1;
  assert_false(p11s_pubkey_table_verify(table, digest, signature));
  p11s_pubkey_table_free(table);
}

/* The number of tables is bounded, and a table that goes makes room. */
static void test_bound(void **state)
{
  static struct p11s_pubkey_table *t[P11S_PUBKEY_TABLES_MOST + 2];
  struct pair p = make_pair();

  (void)state;
  for (size_t i = 0; i < P11S_PUBKEY_TABLES_MOST; i++) {
    t[i] = p11s_pubkey_table_new(p.point);
    if (!make_table(t[i])) {
      p11s_pubkey_table_free(t[i]);
      free_pair(&p);
      skip();
    }
  }
  t[P11S_PUBKEY_TABLES_MOST] = p11s_pubkey_table_new(p.point);
  assert_false(make_table(t[P11S_PUBKEY_TABLES_MOST]));
  p11s_pubkey_table_free(t[0]);
  t[0] = p11s_pubkey_table_new(p.point);
  assert_true(make_table(t[0]));
  for (size_t i = 0; i <= P11S_PUBKEY_TABLES_MOST; i++)
    p11s_pubkey_table_free(t[i]);
  free_pair(&p);
}

struct work {
  const struct pair *pair;
  unsigned char digest[DIGEST_LEN];
  unsigned char signature[P11S_PUBKEY_TABLE_LEN];
  unsigned wrong;
};

static void *verify_many(void *arg)
{
  struct work *w = arg;

  for (int i = 0; i < P11S_PUBKEY_TABLE_AFTER; i++) {
    bool bad = i % 10 == 0;

    w->signature[0] ^= bad;
    w->wrong += bad == p11s_pubkey_verify_digest(w->pair->key, w->digest, sizeof w->digest,
                                                 w->signature, sizeof w->signature);
    w->signature[0] ^= bad;
  }
  return NULL;
}

/* Through the key: while threads verify, one of them makes the table, and nobody sees a wrong
   verdict. */
static void test_threads(void **state)
{
  struct pair p = make_pair();
  struct work work[4];
  pthread_t threads[4];

  (void)state;
  for (size_t i = 0; i < 4; i++) {
    work[i] = (struct work){.pair = &p, .digest = {(unsigned char)i}};
    sign(&p, work[i].digest, work[i].signature);
    assert_int_equal(pthread_create(&threads[i], NULL, verify_many, &work[i]), 0);
  }
  for (size_t i = 0; i < 4; i++) {
    assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(work[i].wrong, 0);
  }
  free_pair(&p);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_vector),
      cmocka_unit_test(test_same_verdict),
      cmocka_unit_test(test_numbers_out_of_range),
      cmocka_unit_test(test_bound),
      cmocka_unit_test(test_threads),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}

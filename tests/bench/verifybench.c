/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How long a P-256 verification takes, by libcrypto alone and with the key's table
   (format/pubkey_table.h): seconds of this thread's CPU, the median of ROUNDS that take turns, and
   what making the table takes. */
#include "format/pubkey.h"
#include "format/pubkey_table.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROUNDS 21
#define A_ROUND ((P11S_PUBKEY_TABLE_AFTER - 1) / ROUNDS)

static double now(void)
{
  struct timespec t;

  (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int compare(const void *a, const void *b)
{
  double x = *(const double *)a, y = *(const double *)b;

  return (x > y) - (x < y);
}

static double median(double *values)
{
  qsort(values, ROUNDS, sizeof *values, compare);
  return values[ROUNDS / 2];
}

static void require(bool good, const char *what)
{
  if (good)
    return;
  fprintf(stderr, "verifybench: %s\n", what);
  exit(1);
}

/* x and y of a new key, and its signature of the digest. */
static void make(const unsigned char *digest, unsigned char *ret_point,
                 unsigned char *ret_signature)
{
  EVP_PKEY *pkey = EVP_EC_gen("prime256v1");
  EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
  unsigned char point[1 + P11S_PUBKEY_TABLE_LEN], der[128];
  const unsigned char *at = der;
  size_t len = 0, der_len = sizeof der;
  ECDSA_SIG *sig;

  require(EVP_PKEY_get_octet_string_param(pkey, OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, point,
                                          sizeof point, &len) == 1 &&
              EVP_PKEY_sign_init(ctx) == 1 && EVP_PKEY_sign(ctx, der, &der_len, digest, 32) == 1,
          "no signature");
  memcpy(ret_point, point + 1, P11S_PUBKEY_TABLE_LEN);
  sig = d2i_ECDSA_SIG(NULL, &at, (long)der_len);
  require(BN_bn2binpad(ECDSA_SIG_get0_r(sig), ret_signature, 32) == 32 &&
              BN_bn2binpad(ECDSA_SIG_get0_s(sig), ret_signature + 32, 32) == 32,
          "no numbers in the signature");
  ECDSA_SIG_free(sig);
  EVP_PKEY_CTX_free(ctx);
  EVP_PKEY_free(pkey);
}

static double verify(const struct p11s_pubkey *key, const unsigned char *digest,
                     const unsigned char *signature)
{
  double begun = now();

  for (int i = 0; i < A_ROUND; i++)
    require(p11s_pubkey_verify_digest(key, digest, 32, signature, P11S_PUBKEY_TABLE_LEN),
            "a signature that does not verify");
  return (now() - begun) / A_ROUND;
}

int main(void)
{
  unsigned char digest[32] = {1}, point[P11S_PUBKEY_TABLE_LEN], signature[P11S_PUBKEY_TABLE_LEN];
  const struct p11s_algorithm *alg = p11s_algorithm_find(13);
  struct p11s_pubkey *plain = NULL, *often = NULL;
  double without[ROUNDS], with[ROUNDS], table;

  make(digest, point, signature);
  require(p11s_pubkey_from_dnskey(alg, point, sizeof point, &plain, NULL) == P11S_OK &&
              p11s_pubkey_from_dnskey(alg, point, sizeof point, &often, NULL) == P11S_OK,
          "no key");
  for (int i = 1; i < P11S_PUBKEY_TABLE_AFTER; i++)
    (void)p11s_pubkey_verify_digest(often, digest, 32, signature, sizeof signature);
  table = now();
  (void)p11s_pubkey_verify_digest(often, digest, 32, signature, sizeof signature);
  table = now() - table;
  for (int i = 0; i < ROUNDS; i++) {
    without[i] = verify(plain, digest, signature);
    with[i] = verify(often, digest, signature);
  }
  printf("verify %.9f\nverify-with-table %.9f\ntable %.9f\n", median(without), median(with), table);
  p11s_pubkey_free(plain);
  p11s_pubkey_free(often);
  return 0;
}

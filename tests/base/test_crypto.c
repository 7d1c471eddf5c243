/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/crypto.h"
#include "format/pubkey.h"

#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* SHA-256 of "abc" (FIPS 180-4's example), and RFC 4231's second test case. */
static const char abc_hash[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
static const char jefe_hash[] = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";

static bool is_hex(const unsigned char *data, const char *hex)
{
  char text[2 * P11S_SHA256_LEN + 1];

  for (size_t i = 0; i < P11S_SHA256_LEN; i++)
    (void)snprintf(text + 2 * i, 3, "%02x", data[i]);
  return strcmp(text, hex) == 0;
}

/* A key of each family: RFC 6605 6.1, 8080 6.1, and an RSA modulus whose bits are all set. */
static bool takes_keys(void)
{
  static const char p256[] = "GojIhhXUN/u4v54ZQqGSnyhWJwaubCvTmeexv7bR6edbkrSqQpF64cYbcB7wNcP+"
                             "e+MAnLr+Wi9xMWyQLc8NAA==";
  static const char ed25519[] = "l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4=";
  unsigned char data[2 + 256] = {1, 3};
  struct p11s_pubkey *key = NULL;
  bool good = true;

  memset(data + 2, 0xff, 256);
  for (unsigned alg = 5; alg <= 8; alg += 3) { /* RSASHA1 and RSASHA256 */
    good = good && p11s_pubkey_from_dnskey(p11s_algorithm_find(alg), data, sizeof data, &key,
                                           NULL) == P11S_OK;
    p11s_pubkey_free(key);
    key = NULL;
  }
  (void)EVP_DecodeBlock(data, (const unsigned char *)p256, (int)strlen(p256));
  good = good && p11s_pubkey_from_dnskey(p11s_algorithm_find(13), data, 64, &key, NULL) == P11S_OK;
  p11s_pubkey_free(key);
  key = NULL;
  (void)EVP_DecodeBlock(data, (const unsigned char *)ed25519, (int)strlen(ed25519));
  good = good && p11s_pubkey_from_dnskey(p11s_algorithm_find(15), data, 32, &key, NULL) == P11S_OK;
  p11s_pubkey_free(key);
  return good;
}

static bool all_works(void)
{
  unsigned char hash[P11S_SHA256_LEN], random[2][16];

  return p11s_sha256("abc", 3, hash) && is_hex(hash, abc_hash) &&
         p11s_hmac_sha256("Jefe", 4, "what do ya want for nothing?", 28, hash) &&
         is_hex(hash, jefe_hash) && p11s_random(random[0], 16) && p11s_random(random[1], 16) &&
         memcmp(random[0], random[1], 16) != 0 && p11s_crypto_digest("SHA1") != NULL &&
         p11s_crypto_digest("SHA384") != NULL && p11s_crypto_digest("SHA512") != NULL &&
         p11s_crypto_digest("MD5") == NULL && takes_keys();
}

/* libcrypto reads its configuration once in a process, so each has one. 0: all works, though the
   process's own context has no SHA-256. */
static int in_process_with(const char *configuration)
{
  char path[] = "/tmp/p11s-openssl-XXXXXX";
  int fd = mkstemp(path), status = -1;
  unsigned char hash[EVP_MAX_MD_SIZE];
  EVP_MD *md;
  pid_t pid;

  assert_true(fd >= 0);
  assert_int_equal(write(fd, configuration, strlen(configuration)), strlen(configuration));
  (void)close(fd);
  pid = fork();
  if (pid == 0) {
    if (setenv("OPENSSL_CONF", path, 1) != 0)
      _exit(2);
    md = EVP_MD_fetch(NULL, "SHA256", NULL);
    if (md != NULL && EVP_Digest("abc", 3, hash, NULL, md, NULL) == 1)
      _exit(3);
    _exit(all_works() ? 0 : 4);
  }
  assert_true(pid > 0);
  assert_int_equal(waitpid(pid, &status, 0), pid);
  (void)unlink(path);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_fips_without_a_provider(void **state)
{
  (void)state;
  assert_int_equal(in_process_with("openssl_conf = init\n[init]\nalg_section = algorithms\n"
                                   "[algorithms]\ndefault_properties = fips=yes\n"),
                   0);
}

static void test_no_provider_of_algorithms(void **state)
{
  (void)state;
  assert_int_equal(in_process_with("openssl_conf = init\n[init]\nproviders = providers\n"
                                   "[providers]\nbase = base\n[base]\nactivate = 1\n"),
                   0);
}

/* Last: after it this process has read its configuration. */
static void test_all_works(void **state)
{
  (void)state;
  assert_true(all_works());
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_fips_without_a_provider),
      cmocka_unit_test(test_no_provider_of_algorithms),
      cmocka_unit_test(test_all_works),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}

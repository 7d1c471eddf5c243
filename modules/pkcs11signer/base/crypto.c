/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/crypto.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/provider.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <string.h>

static const char *const digest_names[] = {"SHA1", "SHA256", "SHA384", "SHA512"};
#define DIGESTS (sizeof digest_names / sizeof digest_names[0])

/* Written once, by make(). */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static OSSL_LIB_CTX *context;
static EVP_MD *digests[DIGESTS];

static void make(void)
{
  ERR_set_mark();
  context = OSSL_LIB_CTX_new();
  if (context != NULL && OSSL_PROVIDER_load(context, "default") == NULL) {
    OSSL_LIB_CTX_free(context);
    context = NULL;
  }
  for (size_t i = 0; i < DIGESTS; i++)
    digests[i] = EVP_MD_fetch(context, digest_names[i], NULL);
  ERR_pop_to_mark();
}

OSSL_LIB_CTX *p11s_crypto(void)
{
  (void)pthread_once(&once, make);
  return context;
}

const EVP_MD *p11s_crypto_digest(const char *name)
{
  (void)pthread_once(&once, make);
  for (size_t i = 0; i < DIGESTS; i++)
    if (strcmp(digest_names[i], name) == 0)
      return digests[i];
  return NULL;
}

bool p11s_sha256(const void *data, size_t len, unsigned char *ret_hash)
{
  const EVP_MD *md = p11s_crypto_digest("SHA256");

  return md != NULL && EVP_Digest(data, len, ret_hash, NULL, md, NULL) == 1;
}

bool p11s_hmac_sha256(const void *key, size_t key_len, const void *data, size_t len,
                      unsigned char *ret_hash)
{
  return EVP_Q_mac(p11s_crypto(), "HMAC", NULL, "SHA256", NULL, key, key_len, data, len, ret_hash,
                   P11S_SHA256_LEN, NULL) != NULL;
}

bool p11s_random(void *to, size_t len)
{
  return RAND_bytes_ex(p11s_crypto(), to, len, 0) == 1;
}

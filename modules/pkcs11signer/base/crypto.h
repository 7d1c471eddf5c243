/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * libcrypto with its default provider, in a library context of our own.
 *
 * The process's own context is the administrator's: OPENSSL_CONF or openssl.cnf can give it
 * engines, other providers and required properties (fips=yes), and crypto policies forbid SHA-1
 * there. What this module needs, the hashes and public keys of RFC 8624, works all the same.
 * Engines are the process's, whatever the context: format/pubkey_make.c keeps them away from the
 * keys; a verification passes through an engine's table of methods, whose verifying ones are
 * libcrypto's own in libp11's engine.
 *
 * The context is made at first use and stays as long as the process, over fork() too. Any thread;
 * pthread_once() is the only lock.
 */

/* For libcrypto's functions that take one. NULL, the process's own, when there is no memory for
   it. */
OSSL_LIB_CTX *p11s_crypto(void);

/* "SHA1", "SHA256", "SHA384" or "SHA512"; NULL: there is none. Borrowed, for good. */
const EVP_MD *p11s_crypto_digest(const char *name);

#define P11S_SHA256_LEN 32
/* false: out of memory. */
bool p11s_sha256(const void *data, size_t len, unsigned char *ret_hash);
/* RFC 2104. false: out of memory. */
bool p11s_hmac_sha256(const void *key, size_t key_len, const void *data, size_t len,
                      unsigned char *ret_hash);
/* false: the system has no random numbers. */
bool p11s_random(void *to, size_t len);

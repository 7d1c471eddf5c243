/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef P11S_FORMAT_PUBKEY_INTERNAL_H
#define P11S_FORMAT_PUBKEY_INTERNAL_H

#include "format/algorithm.h"
#include "base/err.h"
#include "format/pubkey.h"
#include "format/pubkey_table.h"

#include <openssl/evp.h>
#include <stdbool.h>

/* What format/pubkey.c, format/pubkey_make.c, format/pubkey_token.c and format/pubkey_edwards.c
 * share: format/pubkey_token.c calls the others, and format/pubkey.c what makes keys. No locks. */

#define P11S_PUBKEY_HASH_LEN 32

/* Written only while it is made. */
struct p11s_pubkey {
  const struct p11s_algorithm *alg;
  EVP_PKEY *pkey;
  const EVP_MD *md;      /* NULL for EdDSA */
  EVP_PKEY_CTX *digests; /* ready to verify digests, copied for each use; NULL for EdDSA */
  EVP_MD_CTX *messages;  /* the same for messages; EdDSA only */
  struct p11s_pubkey_table *table; /* P-256 only */
  unsigned bits;
  size_t signature_len;
  unsigned char hash[P11S_PUBKEY_HASH_LEN];
  size_t len;
  unsigned char data[];
};

/* Checks alg and data of a new key and sets pkey, bits and signature_len. */
enum p11s_err p11s_pubkey_make(struct p11s_pubkey *key, struct p11s_error *e);

/* P11S_ERR_KEY_TYPE: "the key is FOUND, algorithm 13 (ECDSAP256SHA256) needs P-256". */
enum p11s_err p11s_pubkey_wrong_kind(const struct p11s_algorithm *alg, const char *found,
                                     struct p11s_error *e);

/* A big-endian number. */
struct number {
  const unsigned char *at;
  size_t len;
};
/* Modulus and exponent, both without leading zeros: P11S_ERR_KEY_TYPE unless they can be used. */
enum p11s_err p11s_pubkey_check_rsa(const struct p11s_algorithm *alg, struct number n,
                                    struct number x, struct p11s_error *e);

/* Whether alg->public_len bytes are a point on the Edwards curve (RFC 8032 sections 5.1.3, 5.2.3):
   libcrypto only finds out when it verifies. */
bool p11s_edwards_on_curve(const struct p11s_algorithm *alg, const unsigned char *point);

#endif

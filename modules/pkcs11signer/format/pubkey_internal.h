/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/crypto.h"
#include "base/err.h"
#include "format/algorithm.h"
#include "format/pubkey.h"
#include "format/pubkey_table.h"

#include <openssl/evp.h>
#include <stdbool.h>

/* Shared by format/pubkey.c, format/pubkey_make.c and format/pubkey_token.c: the last calls the
   others, and format/pubkey.c calls format/pubkey_make.c. No locks. */

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
  unsigned char hash[P11S_SHA256_LEN];
  size_t len; /* of the public key; behind it in data is the algorithm's number */
  unsigned char data[];
};

/* Checks alg and data of a new key and sets pkey, bits and signature_len. */
enum p11s_err p11s_pubkey_make(struct p11s_pubkey *key, struct p11s_error *e);

/* P11S_ERR_KEY_TYPE: "the key is FOUND, algorithm 13 (ECDSAP256SHA256) needs P-256". */
enum p11s_err p11s_pubkey_wrong_kind(const struct p11s_algorithm *alg, const char *found,
                                     struct p11s_error *e);

/* P11S_ERR_KEY_TYPE: the public key is not a point on the algorithm's curve. */
enum p11s_err p11s_pubkey_off_curve(const struct p11s_algorithm *alg, struct p11s_error *e);

/* Modulus and exponent, big-endian, without leading zeros: P11S_ERR_KEY_TYPE unless they can be
   used. */
enum p11s_err p11s_pubkey_check_rsa(const struct p11s_algorithm *alg, struct p11s_slice n,
                                    struct p11s_slice x, struct p11s_error *e);

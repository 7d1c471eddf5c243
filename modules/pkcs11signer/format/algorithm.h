/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <p11-kit/pkcs11.h>
#include <stddef.h>

/*
 * The table of DNSSEC signing algorithms (IANA "DNS Security Algorithm
 * Numbers") that a token can hold: 5, 7, 8, 10 (RFC 3110, 5702), 13, 14
 * (RFC 6605), 15, 16 (RFC 8080). Constant data, no locks.
 */

enum p11s_family { P11S_RSA, P11S_ECDSA, P11S_EDDSA };

struct p11s_algorithm {
  unsigned number; /* DNSSEC algorithm number */
  enum p11s_family family;
  const char *mnemonic;      /* "RSASHA256", as in RFC 8624 */
  const char *alias;         /* PowerDNS's name where it is another one, else NULL */
  const char *kind;          /* of a key: "RSA", "P-256", "Ed25519", … */
  CK_KEY_TYPE key_type;      /* CKK_RSA, CKK_EC, CKK_EC_EDWARDS */
  CK_MECHANISM_TYPE keygen;  /* CKM_RSA_PKCS_KEY_PAIR_GEN, … */
  CK_MECHANISM_TYPE raw;     /* signs DigestInfo, digest, or (EdDSA) the message */
  CK_MECHANISM_TYPE hashing; /* hashes on the token and signs; equal to raw for EdDSA */
  const char *digest;        /* OpenSSL digest name, NULL for EdDSA */
  size_t digest_len;
  const char *curve; /* OpenSSL group or key type name: "prime256v1", "ED25519"; NULL for RSA */
  const unsigned char *ec_params; /* DER of CKA_EC_PARAMS for key generation; NULL for RSA */
  size_t ec_params_len;
  unsigned bits;         /* key size; 0 for RSA */
  unsigned default_bits; /* what generate makes when not told */
  size_t public_len;     /* DNSKEY public key field; 0 for RSA */
  size_t signature_len;  /* 0 for RSA: the modulus' length */
};

#define P11S_DIGEST_MAX 64 /* digest_len at most */
#define P11S_RSA_MIN_BITS 1024
#define P11S_RSA_MAX_BITS 4096

/* NULL when the number is not in the table. */
const struct p11s_algorithm *p11s_algorithm_find(unsigned number);
/* Iterates over the table: index 0, 1, …; NULL behind the last. */
const struct p11s_algorithm *p11s_algorithm_at(size_t index);
/* By what people type: a number, or PowerDNS's names (rsasha1, rsasha1-nsec3-sha1, rsasha256,
   rsasha512, ecdsa256, ecdsa384, ed25519, ed448) or the mnemonic, case-insensitive. */
const struct p11s_algorithm *p11s_algorithm_parse(const char *text);

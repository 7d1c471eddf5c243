/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/err.h"
#include "base/slice.h"
#include "format/algorithm.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * A public key as the DNSKEY record holds it (RFC 3110, 6605, 8080), made
 * from what tokens offer, and the verification of signatures with it
 * (libcrypto). Immutable once made; p11s_pubkey_verify may be called from any
 * number of threads at once. No locks.
 */
struct p11s_pubkey;

/* From the DNSKEY public key field. P11S_ERR_KEY_TYPE when it is not a key of the algorithm, an RSA
   modulus is outside P11S_RSA_MIN_BITS…P11S_RSA_MAX_BITS or a point is not on the curve. */
enum p11s_err p11s_pubkey_from_dnskey(const struct p11s_algorithm *alg, const unsigned char *data,
                                      size_t len, struct p11s_pubkey **ret_key,
                                      struct p11s_error *e);
/* From CKA_MODULUS and CKA_PUBLIC_EXPONENT (big-endian; leading zeros are dropped). */
enum p11s_err p11s_pubkey_from_rsa(const struct p11s_algorithm *alg, struct p11s_slice modulus,
                                   struct p11s_slice exponent, struct p11s_pubkey **ret_key,
                                   struct p11s_error *e);
/* From CKA_EC_POINT: DER OCTET STRING (PKCS#11 v2.40), the raw point some tokens give, or for
   EdDSA also a DER BIT STRING; compressed or uncompressed for ECDSA. params is CKA_EC_PARAMS,
   empty when the token gives none: else it must name the algorithm's curve (OID or, for EdDSA,
   the PrintableString curve name). */
enum p11s_err p11s_pubkey_from_ec(const struct p11s_algorithm *alg, struct p11s_slice params,
                                  struct p11s_slice point, struct p11s_pubkey **ret_key,
                                  struct p11s_error *e);
/* From an X.509 certificate in DER (CKA_VALUE of a CKO_CERTIFICATE). */
enum p11s_err p11s_pubkey_from_certificate(const struct p11s_algorithm *alg,
                                           const unsigned char *der, size_t len,
                                           struct p11s_pubkey **ret_key, struct p11s_error *e);

/* From a SubjectPublicKeyInfo in DER (CKA_PUBLIC_KEY_INFO). */
enum p11s_err p11s_pubkey_from_info(const struct p11s_algorithm *alg, const unsigned char *der,
                                    size_t len, struct p11s_pubkey **ret_key, struct p11s_error *e);

void p11s_pubkey_free(struct p11s_pubkey *key);

/* The DNSKEY public key field. Borrowed. */
const unsigned char *p11s_pubkey_data(const struct p11s_pubkey *key, size_t *ret_len);
unsigned p11s_pubkey_bits(const struct p11s_pubkey *key);
/* Length of a signature in the RRSIG record. */
size_t p11s_pubkey_signature_len(const struct p11s_pubkey *key);
bool p11s_pubkey_equal(const struct p11s_pubkey *a, const struct p11s_pubkey *b);
/* SHA-256 of the DNSKEY public key field and algorithm, 32 bytes: names the key in memory.
 * Borrowed. */
const unsigned char *p11s_pubkey_hash(const struct p11s_pubkey *key);

/* Whether signature (in RRSIG form) is message's. Any failure is "no". */
bool p11s_pubkey_verify(const struct p11s_pubkey *key, const unsigned char *message,
                        size_t message_len, const unsigned char *signature, size_t signature_len);

/* The same for a digest already made with alg->digest (not for EdDSA): what the token was given. */
bool p11s_pubkey_verify_digest(const struct p11s_pubkey *key, const unsigned char *digest,
                               size_t digest_len, const unsigned char *signature,
                               size_t signature_len);

/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <openssl/evp.h>

#include "apdu.h"
#include "bytes.h"

#define KEYS_MAX 256

/* The card's private keys by their number; NULL: none. */
struct keys {
  EVP_PKEY *list[KEYS_MAX];
};

/* An RSA key of 1024 to 2048 bits, or one on the curve with that prime. NULL: the card has none
 * such. */
EVP_PKEY *key_generate_rsa(size_t bits);
EVP_PKEY *key_generate_ec(const uint8_t *prime, size_t len);

/* Takes the key; the one that was there before is gone. NULL deletes. */
void keys_put(struct keys *k, unsigned id, EVP_PKEY *key);
void keys_erase(struct keys *k);

/* The P2 of SIGN. */
enum key_algorithm {
  KEY_RSA_RAW = 0x20,
  KEY_RSA_PKCS1 = 0x30,
  KEY_ECDSA = 0x70,
  KEY_ECDSA_SHA1 = 0x71,
  KEY_ECDSA_SHA224 = 0x72,
  KEY_ECDSA_SHA256 = 0x73,
};
enum sw key_sign(EVP_PKEY *key, unsigned algorithm, const uint8_t *data, size_t len,
                 struct bytes *ret_signature);

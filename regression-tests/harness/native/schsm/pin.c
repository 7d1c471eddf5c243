/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pin.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

void pin_set(struct pin *p, const uint8_t *value, size_t len, unsigned tries)
{
  p->len = len;
  p->tries = tries;
  p->left = tries;
  SHA256(value, len, p->hash);
}

enum sw pin_verify(struct pin *p, const uint8_t *value, size_t len)
{
  uint8_t hash[PIN_HASH];

  if (p->left == 0)
    return SW_BLOCKED;
  SHA256(value, len, hash);
  if (len != p->len || CRYPTO_memcmp(hash, p->hash, sizeof(hash)) != 0) {
    p->left--;
    return pin_status(p);
  }
  p->left = p->tries;
  return SW_OK;
}

enum sw pin_status(const struct pin *p)
{
  return p->left > 0 ? SW_WRONG_PIN + p->left : SW_BLOCKED;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "apdu.h"

#define PIN_HASH 32

/* A PIN with its count of tries. Only its hash is kept. len 0: none has been set. */
struct pin {
  size_t len;
  unsigned tries;
  unsigned left;
  uint8_t hash[PIN_HASH];
};

void pin_set(struct pin *p, const uint8_t *value, size_t len, unsigned tries);

/*
 * SW_OK, which gives all tries back; SW_WRONG_PIN + what is left, one less than before;
 * SW_BLOCKED, whatever the value, when none is left.
 */
enum sw pin_verify(struct pin *p, const uint8_t *value, size_t len);

/* What VERIFY without a value says of a PIN that has not been given. */
enum sw pin_status(const struct pin *p);

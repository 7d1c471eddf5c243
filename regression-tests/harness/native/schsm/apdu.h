/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytes.h"

/* Status words of ISO 7816-4, as far as this card has them. */
enum sw {
  SW_OK = 0x9000,
  SW_END_OF_FILE = 0x6282,
  SW_WRONG_PIN = 0x63c0, /* and how many tries are left */
  SW_WRONG_LENGTH = 0x6700,
  SW_SECURITY_STATUS = 0x6982, /* no login */
  SW_BLOCKED = 0x6983,
  SW_NOT_USABLE = 0x6984,
  SW_CONDITIONS = 0x6985,
  SW_NO_CURRENT_EF = 0x6986,
  SW_WRONG_DATA = 0x6a80,
  SW_FILE_NOT_FOUND = 0x6a82,
  SW_NO_SPACE = 0x6a84,
  SW_WRONG_P1P2 = 0x6a86,
  SW_NOT_FOUND = 0x6a88,
  SW_INS = 0x6d00,
  SW_ERROR = 0x6f00,
};

/* What the short forms can say at most. */
#define SHORT_LC_MAX 255
#define SHORT_LE_MAX 256

/* A command; data points into what was parsed. */
struct apdu {
  uint8_t cla;
  uint8_t ins;
  uint8_t p1;
  uint8_t p2;
  const uint8_t *data;
  size_t lc;
  size_t le; /* the most that may be answered; 0: nothing */
};

/* All seven forms of ISO 7816-3, short and extended; false for anything else. */
bool apdu_parse(struct apdu *ret_apdu, const uint8_t *data, size_t len);

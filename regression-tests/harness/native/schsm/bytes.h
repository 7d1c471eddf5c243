/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Some bytes, no more than a card would keep in one file, and BER-TLV in them.
 * Whoever adds more than fits ends the program: on a card that nobody relies on, that is
 * the clearest answer.
 */
#define BYTES_MAX 4096

struct bytes {
  size_t len;
  uint8_t data[BYTES_MAX];
};

void bytes_add(struct bytes *b, const void *data, size_t len);
void bytes_add_byte(struct bytes *b, unsigned byte);
/* Status bytes, tags and lengths are of this kind: the high one first. */
void bytes_add_pair(struct bytes *b, unsigned value);
void bytes_set(struct bytes *b, const void *data, size_t len);
bool bytes_equal(const struct bytes *b, const void *data, size_t len);

/* Hexadecimal text; false for text that is not, or too long. */
bool bytes_parse(struct bytes *ret_bytes, const char *hex);

/* A view into bytes that somebody else owns. */
struct tlv {
  unsigned tag;
  const uint8_t *value;
  size_t len;
};

/* Reads one and moves *data and *len behind it; false at the end or for what is no TLV. */
bool tlv_next(const uint8_t **data, size_t *len, struct tlv *ret_tlv);
/* The first of that tag among those one behind the other in data. */
bool tlv_find(const uint8_t *data, size_t len, unsigned tag, struct tlv *ret_tlv);
void tlv_add(struct bytes *b, unsigned tag, const void *value, size_t len);
void tlv_add_bytes(struct bytes *b, unsigned tag, const struct bytes *value);

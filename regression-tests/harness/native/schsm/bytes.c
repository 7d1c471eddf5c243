/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bytes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void bytes_add(struct bytes *b, const void *data, size_t len)
{
  if (len > BYTES_MAX - b->len) {
    fprintf(stderr, "schsm: more than %d bytes\n", BYTES_MAX);
    abort();
  }
  if (len > 0)
    memcpy(b->data + b->len, data, len);
  b->len += len;
}

void bytes_add_byte(struct bytes *b, unsigned byte)
{
  uint8_t value = (uint8_t)byte;

  bytes_add(b, &value, 1);
}

void bytes_add_pair(struct bytes *b, unsigned value)
{
  bytes_add_byte(b, value >> 8 & 0xff);
  bytes_add_byte(b, value & 0xff);
}

void bytes_set(struct bytes *b, const void *data, size_t len)
{
  b->len = 0;
  bytes_add(b, data, len);
}

bool bytes_equal(const struct bytes *b, const void *data, size_t len)
{
  return b->len == len && memcmp(b->data, data, len) == 0;
}

static int digit(char c)
{
  static const char digits[] = "0123456789abcdef";
  const char *at = c != '\0' ? strchr(digits, c) : NULL;

  return at != NULL ? (int)(at - digits) : -1;
}

bool bytes_parse(struct bytes *ret_bytes, const char *hex)
{
  struct bytes found = {0};

  for (; *hex != '\0'; hex += 2) {
    int high = digit(hex[0]);
    int low = high >= 0 ? digit(hex[1]) : -1;

    if (low < 0 || found.len == BYTES_MAX)
      return false;
    bytes_add_byte(&found, (unsigned)(high << 4 | low));
  }
  *ret_bytes = found;
  return true;
}

/* Tags of one or two bytes are all there is on this card. */
static bool read_tag(const uint8_t **data, size_t *len, unsigned *ret_tag)
{
  size_t size = *len > 0 && ((*data)[0] & 0x1f) == 0x1f ? 2 : 1;

  if (*len < size)
    return false;
  *ret_tag = size == 2 ? (unsigned)((*data)[0] << 8 | (*data)[1]) : (*data)[0];
  *data += size;
  *len -= size;
  return true;
}

static bool read_length(const uint8_t **data, size_t *len, size_t *ret_length)
{
  size_t more;
  size_t length;

  if (*len < 1)
    return false;
  length = (*data)[0];
  more = length > 0x80 ? length - 0x80 : 0;
  if (length == 0x80 || more > 2 || *len < 1 + more)
    return false;
  if (more > 0)
    length = 0;
  for (size_t i = 0; i < more; i++)
    length = length << 8 | (*data)[1 + i];
  *data += 1 + more;
  *len -= 1 + more;
  if (length > *len)
    return false;
  *ret_length = length;
  return true;
}

bool tlv_next(const uint8_t **data, size_t *len, struct tlv *ret_tlv)
{
  const uint8_t *at = *data;
  size_t left = *len;
  struct tlv found;

  if (!read_tag(&at, &left, &found.tag) || !read_length(&at, &left, &found.len))
    return false;
  found.value = at;
  *data = at + found.len;
  *len = left - found.len;
  *ret_tlv = found;
  return true;
}

bool tlv_find(const uint8_t *data, size_t len, unsigned tag, struct tlv *ret_tlv)
{
  struct tlv found;

  while (tlv_next(&data, &len, &found)) {
    if (found.tag == tag) {
      *ret_tlv = found;
      return true;
    }
  }
  return false;
}

void tlv_add(struct bytes *b, unsigned tag, const void *value, size_t len)
{
  if (tag > 0xff)
    bytes_add_pair(b, tag);
  else
    bytes_add_byte(b, tag);
  if (len > 0xff) {
    bytes_add_byte(b, 0x82);
    bytes_add_pair(b, (unsigned)len);
  } else {
    if (len > 0x7f)
      bytes_add_byte(b, 0x81);
    bytes_add_byte(b, (unsigned)len);
  }
  bytes_add(b, value, len);
}

void tlv_add_bytes(struct bytes *b, unsigned tag, const struct bytes *value)
{
  tlv_add(b, tag, value->data, value->len);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/text.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>

struct range {
  uint32_t first;
  uint32_t last;
};

/* The usual combining marks and invisible format characters; not every script's. */
static const struct range ranges_none[] = {
    {0x0300, 0x036f}, {0x0483, 0x0489}, {0x0591, 0x05bd}, {0x0610, 0x061a}, {0x064b, 0x065f},
    {0x0670, 0x0670}, {0x06d6, 0x06dc}, {0x093a, 0x093a}, {0x093c, 0x093c}, {0x0941, 0x0948},
    {0x094d, 0x094d}, {0x0e31, 0x0e31}, {0x0e34, 0x0e3a}, {0x0e47, 0x0e4e}, {0x1ab0, 0x1aff},
    {0x1dc0, 0x1dff}, {0x200b, 0x200f}, {0x202a, 0x202e}, {0x2060, 0x2064}, {0x20d0, 0x20ff},
    {0x3099, 0x309a}, {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f}, {0xfeff, 0xfeff}, {0xe0100, 0xe01ef},
};

/* East Asian wide and full-width characters, and emoji (Unicode TR 11). */
static const struct range ranges_wide[] = {
    {0x1100, 0x115f},   {0x2e80, 0x303e},   {0x3041, 0x33ff},   {0x3400, 0x4dbf},
    {0x4e00, 0x9fff},   {0xa000, 0xa4cf},   {0xa960, 0xa97f},   {0xac00, 0xd7a3},
    {0xf900, 0xfaff},   {0xfe30, 0xfe6f},   {0xff00, 0xff60},   {0xffe0, 0xffe6},
    {0x16fe0, 0x18aff}, {0x1b000, 0x1b2ff}, {0x1f300, 0x1f64f}, {0x1f680, 0x1f6ff},
    {0x1f900, 0x1f9ff}, {0x1fa70, 0x1faff}, {0x20000, 0x3fffd},
};

static bool in_ranges(const struct range *ranges, size_t count, uint32_t code)
{
  for (size_t i = 0; i < count; i++) {
    if (code >= ranges[i].first && code <= ranges[i].last) {
      return true;
    }
  }
  return false;
}

size_t p11s_utf8_decode(const char *text, uint32_t *ret_code)
{
  static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  const unsigned char *p = (const unsigned char *)text;
  uint32_t code;
  size_t len;

  if (p[0] == '\0') {
    return 0;
  }
  if (p[0] < 0x80) {
    *ret_code = p[0];
    return 1;
  }
  if (p[0] >= 0xf8 || p[0] < 0xc0) {
    return 0;
  }
  len = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
  code = p[0] & (0x7fU >> len);
  for (size_t i = 1; i < len; i++) {
    if ((p[i] & 0xc0) != 0x80) {
      return 0;
    }
    code = code << 6 | (p[i] & 0x3fU);
  }
  if (code < least[len] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) {
    return 0;
  }
  *ret_code = code;
  return len;
}

static size_t code_width(uint32_t code)
{
  if (code < ranges_none[0].first)
    return 1;
  if (in_ranges(ranges_wide, sizeof ranges_wide / sizeof *ranges_wide, code))
    return 2;
  return in_ranges(ranges_none, sizeof ranges_none / sizeof *ranges_none, code) ? 0 : 1;
}

size_t p11s_utf8_width(const char *text)
{
  size_t width = 0;

  while (*text != '\0') {
    uint32_t code = 0;
    size_t len = p11s_utf8_decode(text, &code);
    width += len == 0 ? 1 : code_width(code);
    text += len == 0 ? 1 : len;
  }
  return width;
}

void p11s_duration(char *text, size_t size, uint64_t seconds)
{
  uint64_t minutes = (seconds + 30) / 60, hours = (seconds + 1800) / 3600;

  if (seconds < 90)
    (void)snprintf(text, size, "%" PRIu64 " s", seconds);
  else if (minutes < 90)
    (void)snprintf(text, size, "%" PRIu64 " min", minutes);
  else if (hours < 48)
    (void)snprintf(text, size, "%" PRIu64 " h %" PRIu64 " min", minutes / 60, minutes % 60);
  else
    (void)snprintf(text, size, "%" PRIu64 " d %" PRIu64 " h", hours / 24, hours % 24);
}

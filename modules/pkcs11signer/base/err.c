/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/err.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* How many bytes the UTF-8 sequence beginning with this byte has; 0 when none begins so. */
static size_t sequence_len(unsigned char first)
{
  if (first < 0x80)
    return 1;
  if (first >= 0xc2 && first <= 0xdf)
    return 2;
  if (first >= 0xe0 && first <= 0xef)
    return 3;
  if (first >= 0xf0 && first <= 0xf4)
    return 4;
  return 0;
}

/* Decodes one character; returns its length in bytes, 0 when it is not well-formed. */
static size_t decode(const unsigned char *at, uint32_t *ret_char)
{
  static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
  size_t len = sequence_len(at[0]);
  uint32_t c;
  size_t i;

  if (len <= 1) {
    *ret_char = at[0];
    return len;
  }
  c = at[0] & (0x7fu >> len);
  for (i = 1; i < len; i++) {
    /* the terminating NUL ends the loop here as well */
    if ((at[i] & 0xc0) != 0x80)
      return 0;
    c = (c << 6) | (at[i] & 0x3fu);
  }
  if (c < smallest[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
    return 0;
  *ret_char = c;
  return len;
}

bool p11s_error_is_control(uint32_t c)
{
  return c < 0x20 || (c >= 0x7f && c <= 0x9f) || (c >= 0x200e && c <= 0x200f) ||
         (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0xfeff;
}

void p11s_error_clean(char *text)
{
  const unsigned char *from = (const unsigned char *)text;
  char *to = text;

  while (*from != '\0') {
    uint32_t c = 0;
    size_t len = decode(from, &c);

    if (len == 0 || p11s_error_is_control(c)) {
      *to++ = '?';
      from += len == 0 ? 1 : len;
      continue;
    }
    /* `to` never overtakes `from`: a character is replaced by one that is not longer */
    memmove(to, from, len);
    to += len;
    from += len;
  }
  *to = '\0';
}

/* Removes a character at the end that was cut in the middle, so that it does not turn into '?'. */
static void drop_partial(char *text)
{
  size_t len = strlen(text);
  size_t back;

  for (back = 1; back <= 3 && back <= len; back++) {
    unsigned char c = (unsigned char)text[len - back];
    if ((c & 0xc0) == 0x80)
      continue;
    if (sequence_len(c) > back)
      text[len - back] = '\0';
    return;
  }
}

/* Formats into text of `size` bytes and makes it one clean line. */
static void format_clean(char *text, size_t size, const char *format, va_list args)
{
  int n = vsnprintf(text, size, format, args);

  if (n < 0) {
    text[0] = '\0';
    return;
  }
  if ((size_t)n >= size)
    drop_partial(text);
  p11s_error_clean(text);
}

/* The old text may be among the arguments. */
static void set_text(struct p11s_error *e, const char *format, va_list args)
{
  char text[sizeof e->text];

  format_clean(text, sizeof text, format, args);
  memcpy(e->text, text, strlen(text) + 1);
}

enum p11s_err p11s_error_set(struct p11s_error *e, enum p11s_err code, const char *format, ...)
{
  va_list args;

  if (e == NULL)
    return code;
  va_start(args, format);
  set_text(e, format, args);
  va_end(args);
  e->code = code;
  e->rv = 0;
  return code;
}

void p11s_error_reword(struct p11s_error *e, const char *format, ...)
{
  va_list args;

  if (e == NULL)
    return;
  va_start(args, format);
  set_text(e, format, args);
  va_end(args);
}

void p11s_error_prefix(struct p11s_error *e, const char *format, ...)
{
  char text[sizeof e->text];
  va_list args;
  size_t len;
  size_t rest;

  if (e == NULL)
    return;
  va_start(args, format);
  format_clean(text, sizeof text, format, args);
  va_end(args);
  len = strlen(text);
  rest = sizeof text - len;
  if ((size_t)snprintf(text + len, rest, ": %s", e->text) >= rest)
    drop_partial(text);
  memcpy(e->text, text, strlen(text) + 1);
}

const char *p11s_plural(uint64_t count)
{
  return count == 1 ? "" : "s";
}

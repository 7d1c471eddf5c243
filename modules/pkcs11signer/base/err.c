/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/err.h"

#include "base/text.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

bool p11s_error_is_control(uint32_t c)
{
  return c < 0x20 || (c >= 0x7f && c <= 0x9f) || (c >= 0x200e && c <= 0x200f) ||
         (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0xfeff;
}

void p11s_error_clean(char *text)
{
  char *to = text;

  while (*text != '\0') {
    uint32_t c = 0;
    size_t len = p11s_utf8_decode(text, &c);

    if (len == 0 || p11s_error_is_control(c)) {
      *to++ = '?';
      text += len == 0 ? 1 : len;
      continue;
    }
    /* `to` never overtakes `text`: a character is replaced by one that is not longer */
    memmove(to, text, len);
    to += len;
    text += len;
  }
  *to = '\0';
}

/* Removes a character at the end that was cut in the middle, so that it does not turn into '?'. */
static void drop_partial(char *text)
{
  char *at = text + strlen(text);
  uint32_t c;

  for (int back = 0; back < 3 && at > text; back++)
    if (((unsigned char)*--at & 0xc0) != 0x80)
      break;
  if ((unsigned char)*at >= 0xc0 && p11s_utf8_decode(at, &c) == 0)
    *at = '\0';
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
  size_t len, rest;
  va_list args;

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

enum p11s_err p11s_error_no_memory(struct p11s_error *e)
{
  return p11s_error_set(e, P11S_ERR_NOMEM, "out of memory");
}

const char *p11s_plural(uint64_t count)
{
  return count == 1 ? "" : "s";
}

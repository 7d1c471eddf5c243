/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/buf.h"

#include "base/secret.h"
#include "base/text.h"

#include <ctype.h>
#include <openssl/evp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_SIZE 64

/* Makes room for len more bytes and a NUL; false (and failed) when there is none. */
static bool reserve(struct p11s_buf *b, size_t len)
{
  size_t need;
  size_t size;
  char *data;

  if (b->failed)
    return false;
  if (len >= SIZE_MAX / 2 - b->len) {
    b->failed = true;
    return false;
  }
  need = b->len + len + 1;
  if (need <= b->size)
    return true;
  size = b->size < FIRST_SIZE ? FIRST_SIZE : b->size;
  while (size < need)
    size *= 2;
  /* not realloc: it would leave an unwiped copy behind */
  data = malloc(size);
  if (data == NULL) {
    b->failed = true;
    return false;
  }
  if (b->data != NULL) {
    memcpy(data, b->data, b->len);
    p11s_wipe(b->data, b->size);
    free(b->data);
  }
  data[b->len] = '\0';
  b->data = data;
  b->size = size;
  return true;
}

void p11s_buf_add(struct p11s_buf *b, const void *data, size_t len)
{
  if (!reserve(b, len))
    return;
  if (len > 0)
    memcpy(b->data + b->len, data, len);
  b->len += len;
  b->data[b->len] = '\0';
}

void p11s_buf_addstr(struct p11s_buf *b, const char *text)
{
  p11s_buf_add(b, text, strlen(text));
}

void p11s_buf_addf(struct p11s_buf *b, const char *format, ...)
{
  va_list args;

  va_start(args, format);
  p11s_buf_addvf(b, format, args);
  va_end(args);
}

void p11s_buf_addvf(struct p11s_buf *b, const char *format, va_list args)
{
  va_list again;
  int len;

  va_copy(again, args);
  len = vsnprintf(NULL, 0, format, again);
  va_end(again);
  if (len < 0) {
    b->failed = true;
    return;
  }
  if (!reserve(b, (size_t)len))
    return;
  vsnprintf(b->data + b->len, (size_t)len + 1, format, args);
  b->len += (size_t)len;
}

void p11s_buf_add_shell(struct p11s_buf *b, const char *word)
{
  static const char plain[] =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:,%@+";

  if (word[0] != '\0' && strspn(word, plain) == strlen(word)) {
    p11s_buf_addstr(b, word);
    return;
  }
  p11s_buf_addstr(b, "'");
  for (; *word != '\0'; word++) {
    if (*word == '\'')
      p11s_buf_addstr(b, "'\\''");
    else
      p11s_buf_add(b, word, 1);
  }
  p11s_buf_addstr(b, "'");
}

void p11s_buf_add_hex(struct p11s_buf *b, const void *data, size_t len)
{
  if (!reserve(b, 2 * len))
    return;
  p11s_hex_format(b->data + b->len, 2 * len + 1, data, len);
  b->len += 2 * len;
}

void p11s_buf_add_base64(struct p11s_buf *b, const void *data, size_t len)
{
  if (!reserve(b, (len + 2) / 3 * 4))
    return;
  b->len += (size_t)EVP_EncodeBlock((unsigned char *)b->data + b->len, data, (int)len);
}

void p11s_buf_add_percent(struct p11s_buf *b, const void *data, size_t len, const char *plain)
{
  const unsigned char *c = data;

  for (size_t i = 0; i < len; i++)
    if (c[i] < 0x80 && c[i] != 0 && (isalnum(c[i]) || strchr(plain, c[i]) != NULL))
      p11s_buf_add(b, &c[i], 1);
    else
      p11s_buf_addf(b, "%%%02X", c[i]);
}

const char *p11s_buf_text(const struct p11s_buf *b)
{
  return b->data == NULL ? "" : b->data;
}

void p11s_buf_add_text(struct p11s_buf *b, const char *text)
{
  p11s_buf_add(b, text, strlen(text) + 1);
}

const char *p11s_buf_next_text(const struct p11s_buf *b, const char *after)
{
  const char *next = after != NULL ? after + strlen(after) + 1 : b->data;

  return b->len > 0 && next < b->data + b->len ? next : NULL;
}

void p11s_buf_clear(struct p11s_buf *b)
{
  free(b->data);
  *b = (struct p11s_buf)P11S_BUF_INIT;
}

void p11s_buf_wipe(struct p11s_buf *b)
{
  if (b->data != NULL)
    p11s_wipe(b->data, b->size);
  p11s_buf_clear(b);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/text.h"

#include <inttypes.h>
#include <locale.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <wchar.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static locale_t utf8; /* written once; 0: the system has none */

static void find_locale(void)
{
  utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
}

size_t p11s_utf8_decode(const char *text, uint32_t *ret_code)
{
  static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  const unsigned char *p = (const unsigned char *)text;
  uint32_t code;
  size_t len;

  if (p[0] < 0x80) {
    *ret_code = p[0];
    return p[0] != '\0';
  }
  if (p[0] >= 0xf8 || p[0] < 0xc0)
    return 0;
  len = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
  code = p[0] & (0x7fU >> len);
  for (size_t i = 1; i < len; i++) {
    if ((p[i] & 0xc0) != 0x80) /* the text's end, too */
      return 0;
    code = code << 6 | (p[i] & 0x3fU);
  }
  if (code < least[len] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
    return 0;
  *ret_code = code;
  return len;
}

size_t p11s_utf8_width(const char *text)
{
  locale_t before;
  size_t width = 0;

  (void)pthread_once(&once, find_locale);
  before = uselocale(utf8);
  while (*text != '\0') {
    uint32_t code = 0;
    size_t len = p11s_utf8_decode(text, &code);
    int columns = len > 0 ? wcwidth((wchar_t)code) : 1;

    width += columns >= 0 ? (size_t)columns : 1;
    text += len > 0 ? len : 1;
  }
  (void)uselocale(before);
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

void p11s_utc(char *text, size_t size, const char *format, int64_t seconds)
{
  time_t when = (time_t)seconds;
  struct tm tm;

  if (gmtime_r(&when, &tm) == NULL || strftime(text, size, format, &tm) == 0)
    text[0] = '\0';
}

void p11s_hex_format(char *text, size_t size, const void *data, size_t len)
{
  static const char digits[] = "0123456789abcdef";
  const unsigned char *from = data;
  size_t at = 0;

  for (size_t i = 0; i < len && at + 2 < size; i++) {
    text[at++] = digits[from[i] >> 4];
    text[at++] = digits[from[i] & 15];
  }
  text[at] = '\0';
}

bool p11s_hex_parse(const char *text, unsigned char *ret, size_t len)
{
  if (strlen(text) != 2 * len)
    return false;
  for (size_t i = 0; i < len; i++) {
    int high = OPENSSL_hexchar2int((unsigned char)text[2 * i]);
    int low = OPENSSL_hexchar2int((unsigned char)text[2 * i + 1]);

    if (high < 0 || low < 0)
      return false;
    ret[i] = (unsigned char)(high << 4 | low);
  }
  return true;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "format/dnsname.h"

#include <ctype.h>
#include <string.h>

#define LABEL_MAX 63

size_t p11s_dnsname_length(const unsigned char *data, size_t len)
{
  size_t at = 0;

  if (len > P11S_DNSNAME_MAX)
    len = P11S_DNSNAME_MAX;
  while (at < len && data[at] != 0) {
    if (data[at] > LABEL_MAX)
      return 0;
    at += (size_t)data[at] + 1;
  }
  return at < len ? at + 1 : 0;
}

/* The next character of a name in text form. */
static bool next_char(const char **text, unsigned char *ret)
{
  const char *at = *text;
  int code;

  if (at[0] == '\\' && isdigit((unsigned char)at[1]) && isdigit((unsigned char)at[2]) &&
      isdigit((unsigned char)at[3])) {
    code = (at[1] - '0') * 100 + (at[2] - '0') * 10 + (at[3] - '0');
    *text += 4;
    *ret = (unsigned char)code;
    return code <= 255;
  }
  if (at[0] == '\\')
    at++;
  *text = at + 1;
  *ret = (unsigned char)tolower((unsigned char)at[0]);
  return at[0] != '\0';
}

bool p11s_dnsname_parse(const char *text, unsigned char *ret, size_t *ret_len)
{
  unsigned char name[P11S_DNSNAME_MAX];
  size_t at = 0, len = 1;

  if (strcmp(text, ".") == 0)
    text++;
  name[0] = 0;
  while (*text != '\0') {
    if (*text == '.') {
      if (name[at] == 0 || len >= sizeof name)
        return false;
      at = len++;
      name[at] = 0;
      text++;
      continue;
    }
    if (len >= sizeof name || name[at] == LABEL_MAX || !next_char(&text, &name[len]))
      return false;
    len++;
    name[at]++;
  }
  if (name[at] != 0) {
    if (len >= sizeof name)
      return false;
    name[len++] = 0;
  }
  memcpy(ret, name, len);
  *ret_len = len;
  return true;
}

void p11s_dnsname_format(const unsigned char *name, struct p11s_buf *out)
{
  if (name[0] == 0)
    p11s_buf_addstr(out, ".");
  for (const unsigned char *label = name; label[0] != 0; label += label[0] + 1) {
    for (unsigned i = 1; i <= label[0]; i++) {
      unsigned char c = label[i];

      if (c == '.' || c == '\\')
        p11s_buf_addf(out, "\\%c", c);
      else
        p11s_buf_addf(out, c > 0x20 && c < 0x7f ? "%c" : "\\%03u", c);
    }
    p11s_buf_addstr(out, ".");
  }
}

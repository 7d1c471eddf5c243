/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "format/keyref_lmdb.h"

#include "format/wrap.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define ALGORITHM "Algorithm:"
#define PLAIN "Engine:"
#define STORED P11S_KEYREF_LMDB_ENGINE ":"
#define MAX_DIGITS 6

static bool begins_with(const char *line, size_t len, const char *name)
{
  return len >= strlen(name) && strncasecmp(line, name, strlen(name)) == 0;
}

/* The number of an Algorithm line; false when it holds anything else. */
static bool algorithm_of(const char *line, size_t len, unsigned long *ret_number)
{
  char digits[MAX_DIGITS + 1] = "";
  const char *at = line + strlen(ALGORITHM), *end = line + len;
  size_t n;

  while (at < end && *at == ' ')
    at++;
  n = (size_t)(end - at);
  if (n == 0 || n > MAX_DIGITS)
    return false;
  memcpy(digits, at, n);
  if (strspn(digits, "0123456789") != n)
    return false;
  *ret_number = strtoul(digits, NULL, 10);
  return true;
}

/* One line without its newline. */
static void add_line(const char *line, size_t len, bool to_plain, struct p11s_buf *out)
{
  const char *from = to_plain ? STORED : PLAIN, *to = to_plain ? PLAIN : STORED;
  unsigned long number;

  if (begins_with(line, len, from)) {
    p11s_buf_addstr(out, to);
    p11s_buf_add(out, line + strlen(from), len - strlen(from));
  } else if (begins_with(line, len, ALGORITHM) && algorithm_of(line, len, &number) &&
             (!to_plain || number >= P11S_WRAP_ALGORITHM)) {
    number = to_plain ? number - P11S_WRAP_ALGORITHM : number + P11S_WRAP_ALGORITHM;
    p11s_buf_addf(out, ALGORITHM " %lu", number);
  } else {
    p11s_buf_add(out, line, len);
  }
}

static void convert(const char *content, size_t len, bool to_plain, struct p11s_buf *out)
{
  const char *at = content, *end = content + len;

  while (at < end) {
    const char *nl = memchr(at, '\n', (size_t)(end - at));
    size_t n = (size_t)((nl == NULL ? end : nl) - at);

    add_line(at, n, to_plain, out);
    at += n;
    if (nl != NULL) {
      p11s_buf_add(out, "\n", 1);
      at++;
    }
  }
}

void p11s_keyref_lmdb_from_plain(const char *content, size_t len, struct p11s_buf *out)
{
  convert(content, len, false, out);
}

/* Whether one of the lines names the engine in the stored form. */
static bool is_stored(const char *content, size_t len)
{
  const char *at = content, *end = content + len;

  while (at != NULL && at < end) {
    if (begins_with(at, (size_t)(end - at), STORED))
      return true;
    at = memchr(at, '\n', (size_t)(end - at));
    at = at == NULL ? NULL : at + 1;
  }
  return false;
}

bool p11s_keyref_lmdb_to_plain(const char *content, size_t len, struct p11s_buf *out)
{
  if (!is_stored(content, len))
    return false;
  convert(content, len, true, out);
  return true;
}

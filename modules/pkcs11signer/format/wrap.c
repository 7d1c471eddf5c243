/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "format/wrap.h"

#include "base/text.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

static void add_wrapped(unsigned algorithm, const struct p11s_buf *payload, struct p11s_buf *out)
{
  p11s_buf_addf(out,
                "Private-key-format: v1.2\nAlgorithm: %u\n%s: ", P11S_WRAP_ALGORITHM + algorithm,
                P11S_WRAP_NAME);
  p11s_buf_add_base64(out, p11s_buf_text(payload), payload->len);
  out->failed |= payload->failed;
  p11s_buf_addstr(out, "\n");
}

/* Payload: four lines "zone", "id", "identity in hex or -", then the reference or the message. */
void p11s_wrap_key(const char *zone, unsigned id, const unsigned char *identity,
                   const struct p11s_keyref *ref, struct p11s_buf *out)
{
  struct p11s_buf payload = P11S_BUF_INIT;

  p11s_buf_addf(&payload, "%s\n%u\n", zone, id);
  p11s_buf_add_hex(&payload, identity, P11S_KEY_IDENTITY_LEN);
  p11s_buf_addstr(&payload, "\n");
  p11s_keyref_format(ref, false, &payload);
  add_wrapped(ref->algorithm, &payload, out);
  p11s_buf_clear(&payload);
}

void p11s_wrap_broken(const char *zone, unsigned id, const char *message, struct p11s_buf *out)
{
  struct p11s_buf payload = P11S_BUF_INIT;

  p11s_buf_addf(&payload, "%s\n%u\n-\n%s", zone, id, message);
  add_wrapped(0, &payload, out);
  p11s_buf_clear(&payload);
}

/* Copies up to the newline, NUL-terminated, and moves *at behind it. */
static char *take_line(const char **at, const char *end)
{
  const char *nl = memchr(*at, '\n', (size_t)(end - *at));
  char *line;

  if (nl == NULL)
    return NULL;
  line = strndup(*at, (size_t)(nl - *at));
  *at = nl + 1;
  return line;
}

static bool parse_id(const char *text, unsigned *ret_id)
{
  unsigned long id;
  char *end;

  if (text[0] < '0' || text[0] > '9')
    return false;
  errno = 0;
  id = strtoul(text, &end, 10);
  if (errno != 0 || *end != '\0' || id > UINT_MAX)
    return false;
  *ret_id = (unsigned)id;
  return true;
}

enum p11s_err p11s_wrap_parse(const void *value, size_t len, struct p11s_wrapped *ret,
                              struct p11s_error *e)
{
  const char *at = value, *end;
  struct p11s_wrapped w = {0};
  char *id = NULL, *hex = NULL, *rest = NULL;
  bool ok;

  if (len == 0 || memchr(value, '\0', len) != NULL)
    return p11s_error_set(e, P11S_ERR_SYNTAX, "not a wrapped key reference");
  end = at + len;
  w.zone = take_line(&at, end);
  id = take_line(&at, end);
  hex = take_line(&at, end);
  ok = w.zone != NULL && w.zone[0] != '\0' && id != NULL && parse_id(id, &w.id) && hex != NULL;
  if (ok) {
    rest = strndup(at, (size_t)(end - at));
    if (strcmp(hex, "-") == 0)
      w.message = rest;
    else
      w.reference = rest;
    ok = rest != NULL && (w.message != NULL || p11s_hex_parse(hex, w.identity, sizeof w.identity));
  }
  free(id);
  free(hex);
  if (!ok) {
    p11s_wrapped_clear(&w);
    return p11s_error_set(e, P11S_ERR_SYNTAX, "not a wrapped key reference");
  }
  *ret = w;
  return P11S_OK;
}

void p11s_wrapped_clear(struct p11s_wrapped *w)
{
  free(w->zone);
  free(w->reference);
  free(w->message);
  memset(w, 0, sizeof *w);
}

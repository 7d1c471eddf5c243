/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "format/keyref.h"

#include "base/secret_source.h"

#include <openssl/evp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAX_CONTENT ((size_t)64 * 1024)
#define MAX_ALGORITHM 255

enum field {
  FIELD_FORMAT,
  FIELD_ALGORITHM,
  FIELD_ENGINE,
  FIELD_SLOT,
  FIELD_PIN,
  FIELD_LABEL,
  FIELD_PUB_LABEL,
  FIELD_PUBLIC_KEY,
  FIELD_UNKNOWN, /* also the number of known ones */
};

static const char *const field_names[FIELD_UNKNOWN] = {
    "Private-key-format", "Algorithm", "Engine", "Slot", "PIN", "Label", "PubLabel", "PublicKey",
};

/* A part of the text; not NUL-terminated. */
struct slice {
  const char *at;
  size_t len;
};

struct parser {
  struct p11s_keyref *ref;
  struct p11s_buf extra;
  unsigned seen; /* bit per field */
  unsigned line; /* number of the line being read */
  struct p11s_error *e;
};

static bool is_blank(char c)
{
  return c == ' ' || c == '\t' || c == '\r';
}

static bool is_digit(char c)
{
  return c >= '0' && c <= '9';
}

static bool is_control(char c)
{
  unsigned char u = (unsigned char)c;

  return u == 0x7f || (u < 0x20 && u != '\t' && u != '\r' && u != '\n');
}

static struct slice trim(struct slice s)
{
  while (s.len > 0 && is_blank(s.at[0])) {
    s.at++;
    s.len--;
  }
  while (s.len > 0 && is_blank(s.at[s.len - 1]))
    s.len--;
  return s;
}

/* Takes the next line, trimmed, off *rest; false at the end. */
static bool next_line(struct slice *rest, struct slice *ret_line)
{
  const char *end;
  struct slice line = *rest;

  if (rest->len == 0)
    return false;
  end = memchr(rest->at, '\n', rest->len);
  if (end == NULL) {
    rest->at += rest->len;
    rest->len = 0;
  } else {
    line.len = (size_t)(end - line.at);
    rest->at += line.len + 1;
    rest->len -= line.len + 1;
  }
  *ret_line = trim(line);
  return true;
}

/* Splits "Name: value"; false when there is no colon or no name. */
static bool split_line(struct slice line, struct slice *ret_name, struct slice *ret_value)
{
  const char *colon = line.len == 0 ? NULL : memchr(line.at, ':', line.len);
  struct slice name;
  struct slice value;

  if (colon == NULL)
    return false;
  name.at = line.at;
  name.len = (size_t)(colon - line.at);
  value.at = colon + 1;
  value.len = line.len - name.len - 1;
  *ret_name = trim(name);
  *ret_value = trim(value);
  return ret_name->len > 0;
}

static bool slice_is(struct slice s, const char *text)
{
  return s.len == strlen(text) && strncasecmp(s.at, text, s.len) == 0;
}

static enum field find_field(struct slice name)
{
  unsigned i;

  for (i = 0; i < FIELD_UNKNOWN; i++)
    if (slice_is(name, field_names[i]))
      break;
  return (enum field)i;
}

/* The number at the start of s, at most MAX_ALGORITHM; *ret_digits is how many digits it has. */
static bool leading_number(struct slice s, unsigned *ret_number, size_t *ret_digits)
{
  unsigned number = 0;
  size_t i;

  for (i = 0; i < s.len && is_digit(s.at[i]); i++) {
    number = number * 10 + (unsigned)(s.at[i] - '0');
    if (number > MAX_ALGORITHM)
      return false;
  }
  if (i == 0)
    return false;
  *ret_number = number;
  *ret_digits = i;
  return true;
}

/* A number alone, or as BIND writes it: "8 (RSASHA256)". */
static bool parse_algorithm(struct slice value, unsigned *ret_algorithm)
{
  unsigned number;
  size_t digits;
  struct slice rest;

  if (!leading_number(value, &number, &digits))
    return false;
  rest.at = value.at + digits;
  rest.len = value.len - digits;
  if (rest.len > 0 &&
      (!is_blank(rest.at[0]) || rest.at[rest.len - 1] != ')' || trim(rest).at[0] != '('))
    return false;
  *ret_algorithm = number;
  return true;
}

bool p11s_keyref_is_ours(const char *content, size_t len)
{
  struct slice rest = {content, len};
  struct slice line;
  struct slice name;
  struct slice value;
  bool has_algorithm = false;
  bool has_key = false;
  unsigned number;
  size_t digits;

  while (next_line(&rest, &line)) {
    if (!split_line(line, &name, &value))
      continue;
    if (slice_is(name, field_names[FIELD_ENGINE]))
      return true;
    if (slice_is(name, field_names[FIELD_ALGORITHM]))
      has_algorithm = has_algorithm || leading_number(value, &number, &digits);
    else if (slice_is(name, "Modulus") || slice_is(name, "PrivateKey"))
      has_key = true;
  }
  return !has_algorithm || !has_key;
}

static enum p11s_err bad_line(const struct parser *p, enum field field, const char *what)
{
  return p11s_error_set(p->e, P11S_ERR_SYNTAX, "key reference, line %u (%s): %s", p->line,
                        field_names[field], what);
}

static enum p11s_err no_memory(struct p11s_error *e)
{
  return p11s_error_set(e, P11S_ERR_NOMEM, "out of memory");
}

static bool is_base64(char c)
{
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || is_digit(c) || c == '+' || c == '/';
}

/* Only what an encoder would write: whole groups, padding at the end, no blanks. */
static bool base64_well_formed(struct slice value)
{
  size_t pad = 0;
  size_t i;

  if (value.len == 0 || value.len % 4 != 0)
    return false;
  while (pad < 2 && value.at[value.len - 1 - pad] == '=')
    pad++;
  for (i = 0; i < value.len - pad; i++)
    if (!is_base64(value.at[i]))
      return false;
  return true;
}

static enum p11s_err parse_public_key(struct parser *p, struct slice value)
{
  static const char complaint[] = "not base64";
  const unsigned char *text = (const unsigned char *)value.at;
  unsigned char *data = NULL;
  unsigned char *back = NULL;
  enum p11s_err err = P11S_OK;
  size_t len;

  if (value.len == 0)
    return P11S_OK;
  if (!base64_well_formed(value))
    return bad_line(p, FIELD_PUBLIC_KEY, complaint);
  len = value.len / 4 * 3;
  data = malloc(len);
  back = malloc(value.len + 1);
  if (data == NULL || back == NULL) {
    err = no_memory(p->e);
    goto out;
  }
  if (EVP_DecodeBlock(data, text, (int)value.len) != (int)len) {
    err = bad_line(p, FIELD_PUBLIC_KEY, complaint);
    goto out;
  }
  /* libcrypto counts the padding as zero bytes */
  len -= value.at[value.len - 1] == '=';
  len -= value.at[value.len - 2] == '=';
  /* encoding it again shows bits set behind the last byte */
  (void)EVP_EncodeBlock(back, data, (int)len);
  if (memcmp(back, text, value.len) != 0) {
    err = bad_line(p, FIELD_PUBLIC_KEY, complaint);
    goto out;
  }
  p->ref->public_key = data;
  p->ref->public_key_len = len;
  data = NULL;
out:
  free(data);
  free(back);
  return err;
}

static enum p11s_err parse_string(struct parser *p, enum field field, struct slice value, char **to)
{
  if (value.len == 0 && field == FIELD_PUB_LABEL)
    return P11S_OK;
  if (value.len == 0)
    return bad_line(p, field, "empty");
  *to = strndup(value.at, value.len);
  return *to == NULL ? no_memory(p->e) : P11S_OK;
}

static enum p11s_err parse_field(struct parser *p, enum field field, struct slice value)
{
  switch (field) {
  case FIELD_FORMAT:
    if (value.len < 3 || strncasecmp(value.at, "v1.", 3) != 0)
      return bad_line(p, field, "expected v1.2");
    return P11S_OK;
  case FIELD_ALGORITHM:
    if (!parse_algorithm(value, &p->ref->algorithm))
      return bad_line(p, field, "expected a DNSSEC algorithm number, 0 to 255");
    return P11S_OK;
  case FIELD_ENGINE:
    return parse_string(p, field, value, &p->ref->engine);
  case FIELD_SLOT:
    return parse_string(p, field, value, &p->ref->slot);
  case FIELD_LABEL:
    return parse_string(p, field, value, &p->ref->label);
  case FIELD_PUB_LABEL:
    return parse_string(p, field, value, &p->ref->pub_label);
  case FIELD_PIN:
    if (value.len == 0)
      return P11S_OK;
    p->ref->pin = p11s_pin_new(value.at, value.len);
    return p->ref->pin == NULL ? no_memory(p->e) : P11S_OK;
  case FIELD_PUBLIC_KEY:
    return parse_public_key(p, value);
  case FIELD_UNKNOWN:
    break;
  }
  return P11S_OK;
}

static enum p11s_err parse_line(struct parser *p, struct slice line)
{
  struct slice name;
  struct slice value;
  enum field field;

  /* never shows the line: it may be a PIN line with a slip in it */
  if (!split_line(line, &name, &value))
    return p11s_error_set(p->e, P11S_ERR_SYNTAX, "key reference, line %u: expected \"Name: value\"",
                          p->line);
  field = find_field(name);
  if (field == FIELD_UNKNOWN) {
    p11s_buf_add(&p->extra, line.at, line.len);
    p11s_buf_add(&p->extra, "\n", 1);
    return P11S_OK;
  }
  if ((p->seen & (1u << field)) != 0)
    return bad_line(p, field, "there is another line of this name above");
  p->seen |= 1u << field;
  return parse_field(p, field, value);
}

/* What can be said before the first line is read. */
static enum p11s_err check_content(const char *content, size_t len, struct p11s_error *e)
{
  size_t i;

  if (len == 0)
    return p11s_error_set(e, P11S_ERR_SYNTAX, "the key reference is empty");
  if (len > MAX_CONTENT)
    return p11s_error_set(e, P11S_ERR_SYNTAX,
                          "the key reference has %zu bytes, at most %zu are allowed", len,
                          MAX_CONTENT);
  for (i = 0; i < len; i++)
    if (is_control(content[i]))
      return p11s_error_set(e, P11S_ERR_SYNTAX,
                            "the key reference is not text: byte %zu is a control character",
                            i + 1);
  return P11S_OK;
}

static enum p11s_err check_complete(const struct parser *p)
{
  static const enum field needed[] = {FIELD_ALGORITHM, FIELD_ENGINE, FIELD_SLOT, FIELD_LABEL};
  size_t i;

  for (i = 0; i < sizeof needed / sizeof needed[0]; i++)
    if ((p->seen & (1u << needed[i])) == 0)
      return p11s_error_set(p->e, P11S_ERR_SYNTAX, "the key reference has no %s line",
                            field_names[needed[i]]);
  return P11S_OK;
}

enum p11s_err p11s_keyref_parse(const char *content, size_t len, struct p11s_keyref **ret_ref,
                                struct p11s_error *e)
{
  struct parser p = {NULL, P11S_BUF_INIT, 0, 0, e};
  struct slice rest = {content, len};
  struct slice line;
  enum p11s_err err = check_content(content, len, e);

  if (err != P11S_OK)
    return err;
  p.ref = calloc(1, sizeof *p.ref);
  if (p.ref == NULL)
    return no_memory(e);
  while (err == P11S_OK && next_line(&rest, &line)) {
    p.line++;
    if (line.len > 0)
      err = parse_line(&p, line);
  }
  if (err == P11S_OK)
    err = check_complete(&p);
  if (err == P11S_OK)
    err = p11s_keyref_check(p.ref, e);
  if (err == P11S_OK && p.extra.failed)
    err = no_memory(e);
  if (err != P11S_OK)
    goto out;
  p.ref->extra = p.extra.data;
  p.extra = (struct p11s_buf)P11S_BUF_INIT;
  *ret_ref = p.ref;
  p.ref = NULL;
out:
  p11s_buf_wipe(&p.extra);
  p11s_keyref_free(p.ref);
  return err;
}

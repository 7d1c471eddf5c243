/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "format/keyref.h"

#include "base/secret_source.h"

#include <openssl/evp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAX_CONTENT ((size_t)64 * 1024)

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

/* A part of the text. */
struct part {
  const char *at;
  size_t len;
};

struct parser {
  struct p11s_keyref *ref;
  struct p11s_buf extra;
  unsigned seen;    /* bit per field */
  struct part line; /* being read */
  unsigned number;  /* of the line */
  struct p11s_error *e;
};

static bool is_blank(char c)
{
  return c == ' ' || c == '\t' || c == '\r';
}

static bool is_control(char c)
{
  unsigned char u = (unsigned char)c;

  return u == 0x7f || (u < 0x20 && u != '\t' && u != '\r' && u != '\n');
}

static struct part trim(struct part s)
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
static bool next_line(struct part *rest, struct part *ret_line)
{
  const char *end;
  size_t len;

  if (rest->len == 0)
    return false;
  end = memchr(rest->at, '\n', rest->len);
  len = end != NULL ? (size_t)(end - rest->at) : rest->len;
  *ret_line = trim((struct part){rest->at, len});
  len += end != NULL;
  *rest = (struct part){rest->at + len, rest->len - len};
  return true;
}

/* Splits "Name: value"; false when there is no colon or no name. */
static bool split_line(struct part line, struct part *ret_name, struct part *ret_value)
{
  const char *colon = line.len == 0 ? NULL : memchr(line.at, ':', line.len);
  size_t len;

  if (colon == NULL)
    return false;
  len = (size_t)(colon - line.at);
  *ret_name = trim((struct part){line.at, len});
  *ret_value = trim((struct part){colon + 1, line.len - len - 1});
  return ret_name->len > 0;
}

static bool part_is(struct part s, const char *text)
{
  return s.len == strlen(text) && strncasecmp(s.at, text, s.len) == 0;
}

static enum field find_field(struct part name)
{
  unsigned i = 0;

  while (i < FIELD_UNKNOWN && !part_is(name, field_names[i]))
    i++;
  return (enum field)i;
}

/* Takes the number at the start of *s off it; false when there is none up to 255. */
static bool take_number(struct part *s, unsigned *ret_number)
{
  unsigned number = 0;
  size_t i;

  for (i = 0; i < s->len && s->at[i] >= '0' && s->at[i] <= '9' && number <= P11S_ALGORITHM_MAX; i++)
    number = number * 10 + (unsigned)(s->at[i] - '0');
  *s = (struct part){s->at + i, s->len - i};
  *ret_number = number;
  return i > 0 && number <= P11S_ALGORITHM_MAX;
}

/* A number alone, or as BIND writes it: "8 (RSASHA256)". */
static bool parse_algorithm(struct part value, unsigned *ret_algorithm)
{
  return take_number(&value, ret_algorithm) &&
         (value.len == 0 ||
          (is_blank(value.at[0]) && value.at[value.len - 1] == ')' && trim(value).at[0] == '('));
}

bool p11s_keyref_is_ours(const char *content, size_t len)
{
  struct part rest = {content, len}, line, name, value;
  bool has_algorithm = false, has_key = false;
  unsigned number;

  while (next_line(&rest, &line)) {
    if (!split_line(line, &name, &value))
      continue;
    if (part_is(name, field_names[FIELD_ENGINE]))
      return true;
    if (part_is(name, field_names[FIELD_ALGORITHM]))
      has_algorithm = has_algorithm || take_number(&value, &number);
    else if (part_is(name, "Modulus") || part_is(name, "PrivateKey"))
      has_key = true;
  }
  return !has_algorithm || !has_key;
}

static enum p11s_err bad_line(const struct parser *p, enum field field, const char *what)
{
  return p11s_error_set(p->e, P11S_ERR_SYNTAX, "key reference, line %u (%s): %s", p->number,
                        field_names[field], what);
}

/* What libcrypto makes of it must be written the same way: whole groups, padding at the end, no
   blanks, no bits set behind the last byte. */
static enum p11s_err parse_public_key(struct parser *p, struct part value)
{
  struct p11s_buf back = P11S_BUF_INIT;
  enum p11s_err err = P11S_OK;
  unsigned char *data;
  int len;

  if (value.len == 0)
    return P11S_OK;
  data = malloc(value.len / 4 * 3 + 3);
  if (data == NULL)
    return p11s_error_no_memory(p->e);
  len = EVP_DecodeBlock(data, (const unsigned char *)value.at, (int)value.len);
  /* libcrypto counts the padding as zero bytes */
  for (size_t i = 1; i <= 2 && i < value.len && value.at[value.len - i] == '='; i++)
    len--;
  if (len > 0)
    p11s_buf_add_base64(&back, data, (size_t)len);
  if (back.failed)
    err = p11s_error_no_memory(p->e);
  else if (back.len != value.len || memcmp(back.data, value.at, value.len) != 0)
    err = bad_line(p, FIELD_PUBLIC_KEY, "not base64");
  p11s_buf_clear(&back);
  if (err == P11S_OK) {
    p->ref->public_key = data;
    p->ref->public_key_len = (size_t)len;
  } else {
    free(data);
  }
  return err;
}

static enum p11s_err parse_string(struct parser *p, enum field field, struct part value, char **to)
{
  if (value.len == 0)
    return bad_line(p, field, "empty");
  *to = strndup(value.at, value.len);
  return *to == NULL ? p11s_error_no_memory(p->e) : P11S_OK;
}

static enum p11s_err parse_field(struct parser *p, enum field field, struct part value)
{
  struct p11s_keyref *ref = p->ref;

  switch (field) {
  case FIELD_FORMAT:
    if (value.len < 3 || strncasecmp(value.at, "v1.", 3) != 0)
      return bad_line(p, field, "expected v1.2");
    break;
  case FIELD_ALGORITHM:
    if (!parse_algorithm(value, &ref->algorithm))
      return bad_line(p, field, "expected a DNSSEC algorithm number, 0 to 255");
    break;
  case FIELD_ENGINE:
    return parse_string(p, field, value, &ref->engine);
  case FIELD_SLOT:
    return parse_string(p, field, value, &ref->slot);
  case FIELD_LABEL:
    return parse_string(p, field, value, &ref->label);
  case FIELD_PUB_LABEL:
    return value.len > 0 ? parse_string(p, field, value, &ref->pub_label) : P11S_OK;
  case FIELD_PIN:
    ref->pin = value.len > 0 ? p11s_pin_new(value.at, value.len) : NULL;
    return value.len > 0 && ref->pin == NULL ? p11s_error_no_memory(p->e) : P11S_OK;
  case FIELD_PUBLIC_KEY:
    return parse_public_key(p, value);
  case FIELD_UNKNOWN:
    p11s_buf_add(&p->extra, p->line.at, p->line.len);
    p11s_buf_addstr(&p->extra, "\n");
    break;
  }
  return P11S_OK;
}

static enum p11s_err parse_line(struct parser *p)
{
  struct part name, value;
  enum field field;

  /* never shows the line: it may be a PIN line with a slip in it */
  if (!split_line(p->line, &name, &value))
    return p11s_error_set(p->e, P11S_ERR_SYNTAX, "key reference, line %u: expected \"Name: value\"",
                          p->number);
  field = find_field(name);
  if (field != FIELD_UNKNOWN && (p->seen & (1u << field)) != 0)
    return bad_line(p, field, "there is another line of this name above");
  p->seen |= 1u << field;
  return parse_field(p, field, value);
}

/* What can be said before the first line is read. */
static enum p11s_err check_content(const char *content, size_t len, struct p11s_error *e)
{
  if (len == 0)
    return p11s_error_set(e, P11S_ERR_SYNTAX, "the key reference is empty");
  if (len > MAX_CONTENT)
    return p11s_error_set(e, P11S_ERR_SYNTAX,
                          "the key reference has %zu bytes, at most %zu are allowed", len,
                          MAX_CONTENT);
  for (size_t i = 0; i < len; i++)
    if (is_control(content[i]))
      return p11s_error_set(e, P11S_ERR_SYNTAX,
                            "the key reference is not text: byte %zu is a control character",
                            i + 1);
  return P11S_OK;
}

static enum p11s_err check_complete(const struct parser *p)
{
  static const enum field needed[] = {FIELD_ALGORITHM, FIELD_ENGINE, FIELD_SLOT, FIELD_LABEL};

  for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++)
    if ((p->seen & (1u << needed[i])) == 0)
      return p11s_error_set(p->e, P11S_ERR_SYNTAX, "the key reference has no %s line",
                            field_names[needed[i]]);
  return P11S_OK;
}

enum p11s_err p11s_keyref_parse(const char *content, size_t len, struct p11s_keyref **ret_ref,
                                struct p11s_error *e)
{
  struct parser p = {.ref = NULL, .extra = P11S_BUF_INIT, .e = e};
  struct part rest = {content, len};
  enum p11s_err err = check_content(content, len, e);

  if (err != P11S_OK)
    return err;
  p.ref = calloc(1, sizeof *p.ref);
  if (p.ref == NULL)
    return p11s_error_no_memory(e);
  while (err == P11S_OK && next_line(&rest, &p.line)) {
    p.number++;
    if (p.line.len > 0)
      err = parse_line(&p);
  }
  if (err == P11S_OK)
    err = check_complete(&p);
  if (err == P11S_OK)
    err = p11s_keyref_check(p.ref, e);
  if (err == P11S_OK && p.extra.failed)
    err = p11s_error_no_memory(e);
  if (err != P11S_OK) {
    p11s_buf_wipe(&p.extra);
    p11s_keyref_free(p.ref);
    return err;
  }
  p.ref->extra = p.extra.data;
  *ret_ref = p.ref;
  return P11S_OK;
}

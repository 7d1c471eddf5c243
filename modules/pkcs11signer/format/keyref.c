/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "format/keyref.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* What the parser would refuse, or trim off: control characters and blanks around. */
static bool survives_parsing(const char *text, size_t len)
{
  static const char blanks[] = {' ', '\t', '\r'};
  size_t i;

  for (i = 0; i < len; i++) {
    unsigned char c = (unsigned char)text[i];
    if (c == 0x7f || (c < 0x20 && c != '\t' && c != '\r'))
      return false;
  }
  return len == 0 || (memchr(blanks, text[0], sizeof blanks) == NULL &&
                      memchr(blanks, text[len - 1], sizeof blanks) == NULL);
}

static enum p11s_err check_value(const char *name, const char *value, size_t len, bool required,
                                 struct p11s_error *e)
{
  if (required && len == 0)
    return p11s_error_set(e, P11S_ERR_SYNTAX, "key reference: %s is empty", name);
  /* does not show the value: it may be the PIN */
  if (!survives_parsing(value, len))
    return p11s_error_set(e, P11S_ERR_SYNTAX,
                          "key reference: %s has a control character in it or blanks around it",
                          name);
  return P11S_OK;
}

static enum p11s_err check_string(const char *name, const char *value, bool required,
                                  struct p11s_error *e)
{
  const char *text = value == NULL ? "" : value;

  return check_value(name, text, strlen(text), required, e);
}

/* What stands in these lines is shown in messages and exports, so no PIN may hide in a URI there.
 */
static enum p11s_err check_name(const char *name, const char *value, bool required,
                                struct p11s_error *e)
{
  if (value != NULL && strncasecmp(value, "pkcs11:", 7) == 0 && strcasestr(value, "pin-") != NULL)
    return p11s_error_set(e, P11S_ERR_SYNTAX,
                          "key reference: the URI in the %s line holds a PIN or PIN source, which "
                          "belongs into the PIN line",
                          name);
  return check_string(name, value, required, e);
}

enum p11s_err p11s_keyref_check(const struct p11s_keyref *ref, struct p11s_error *e)
{
  enum p11s_err err = P11S_OK;

  if (ref->algorithm > P11S_ALGORITHM_MAX)
    err = p11s_error_set(e, P11S_ERR_SYNTAX, "key reference: algorithm %u is above %d",
                         ref->algorithm, P11S_ALGORITHM_MAX);
  if (err == P11S_OK)
    err = check_string("Engine", ref->engine, true, e);
  if (err == P11S_OK)
    err = check_name("Slot", ref->slot, true, e);
  if (err == P11S_OK)
    err = check_value("PIN", (const char *)p11s_secret_data(ref->pin), p11s_secret_len(ref->pin),
                      false, e);
  if (err == P11S_OK)
    err = check_name("Label", ref->label, true, e);
  if (err == P11S_OK)
    err = check_name("PubLabel", ref->pub_label, false, e);
  return err;
}

static void add_line(struct p11s_buf *out, const char *name, const char *value)
{
  p11s_buf_addf(out, "%s: ", name);
  p11s_buf_addstr(out, value);
  p11s_buf_add(out, "\n", 1);
}

void p11s_keyref_format(const struct p11s_keyref *ref, bool with_pin, struct p11s_buf *out)
{
  if (p11s_keyref_check(ref, NULL) != P11S_OK) {
    out->failed = true;
    return;
  }
  p11s_buf_addf(out, "Private-key-format: v1.2\nAlgorithm: %u\n", ref->algorithm);
  add_line(out, "Engine", ref->engine);
  add_line(out, "Slot", ref->slot);
  p11s_buf_addstr(out, "PIN: ");
  if (with_pin)
    p11s_buf_add(out, p11s_secret_data(ref->pin), p11s_secret_len(ref->pin));
  p11s_buf_add(out, "\n", 1);
  add_line(out, "Label", ref->label);
  if (ref->pub_label != NULL && ref->pub_label[0] != '\0')
    add_line(out, "PubLabel", ref->pub_label);
  if (ref->public_key_len > 0) {
    p11s_buf_addstr(out, "PublicKey: ");
    p11s_buf_add_base64(out, ref->public_key, ref->public_key_len);
    p11s_buf_addstr(out, "\n");
  }
  if (ref->extra != NULL)
    p11s_buf_addstr(out, ref->extra);
}

void p11s_keyref_add_whereabouts(const struct p11s_keyref *ref, struct p11s_buf *out)
{
  p11s_buf_addf(out, "%u", ref->algorithm);
  p11s_buf_add(out, "", 1);
  p11s_buf_add_text(out, ref->engine);
  p11s_buf_add_text(out, ref->slot);
  p11s_buf_add_text(out, ref->label);
  p11s_buf_addstr(out, ref->pub_label != NULL ? ref->pub_label : ref->label);
}

bool p11s_keyref_pin_public(struct p11s_keyref *ref, const unsigned char *key, size_t len)
{
  unsigned char *copy = malloc(len > 0 ? len : 1);

  if (copy == NULL)
    return false;
  if (len > 0)
    memcpy(copy, key, len);
  free(ref->public_key);
  ref->public_key = copy;
  ref->public_key_len = len;
  return true;
}

void p11s_keyref_free(struct p11s_keyref *ref)
{
  if (ref == NULL)
    return;
  free(ref->engine);
  free(ref->slot);
  free(ref->label);
  free(ref->pub_label);
  p11s_secret_release(ref->pin);
  free(ref->public_key);
  /* a mistyped name may have put a PIN there */
  if (ref->extra != NULL)
    p11s_wipe(ref->extra, strlen(ref->extra));
  free(ref->extra);
  free(ref);
}

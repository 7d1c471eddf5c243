/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pkcs11/uri.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#define SCHEME "pkcs11:"
#define SCHEME_LEN (sizeof SCHEME - 1)

bool p11s_uri_is(const char *text)
{
  return strncasecmp(text, SCHEME, SCHEME_LEN) == 0;
}

/* RFC 7512 has pin-value and pin-source, older programs pinfile. */
static bool speaks_of_pin(const char *name, size_t len)
{
  for (size_t i = 0; i + 3 <= len; i++)
    if (strncasecmp(name + i, "pin", 3) == 0)
      return true;
  return false;
}

/* p11-kit drops blanks, stops at an empty attribute, and decodes no names: none of that may be used
   to get something past this check. */
static enum p11s_err check_attributes(const char *text, struct p11s_error *e)
{
  const char *at = text + SCHEME_LEN;

  for (const char *c = text; *c != 0; c++)
    if (isspace((unsigned char)*c) || iscntrl((unsigned char)*c))
      return p11s_error_set(e, P11S_ERR_SYNTAX,
                            "pkcs11: URI with a blank in it: write %%20 for a blank");
  for (;;) {
    size_t len = strcspn(at, ";?&");
    size_t name_len = strcspn(at, "=;?&");

    if (speaks_of_pin(at, name_len))
      return p11s_error_set(e, P11S_ERR_SYNTAX,
                            "pkcs11: URI with a PIN in it: give the PIN, or its source, in the "
                            "PIN field");
    if (name_len == 0 || name_len == len || memchr(at, '%', name_len) != NULL)
      return p11s_error_set(e, P11S_ERR_SYNTAX,
                            "pkcs11: URI that is not of the form pkcs11:name=value;name=value");
    at += len;
    if (*at == 0)
      return P11S_OK;
    at++;
  }
}

enum p11s_err p11s_uri_parse(const char *text, P11KitUri **ret_uri, struct p11s_error *e)
{
  enum p11s_err result;
  P11KitUri *uri;
  int parsed;

  if (!p11s_uri_is(text))
    return p11s_error_set(e, P11S_ERR_SYNTAX, "not a pkcs11: URI: '%s'", text);
  result = check_attributes(text, e);
  if (result != P11S_OK)
    return result;
  uri = p11_kit_uri_new();
  if (uri == NULL)
    return p11s_error_no_memory(e);
  parsed = p11_kit_uri_parse(text, P11_KIT_URI_FOR_OBJECT_ON_TOKEN | P11_KIT_URI_FOR_SLOT, uri);
  if (parsed != P11_KIT_URI_OK)
    result = p11s_error_set(e, P11S_ERR_SYNTAX, "URI '%s': %s", text, p11_kit_uri_message(parsed));
  else if (p11_kit_uri_any_unrecognized(uri))
    result = p11s_error_set(e, P11S_ERR_SYNTAX,
                            "URI '%s': an attribute is unknown here, or too long; known are token, "
                            "serial, manufacturer, model, slot-id, slot-description, "
                            "slot-manufacturer, object, id and type",
                            text);
  if (result != P11S_OK) {
    p11_kit_uri_free(uri);
    return result;
  }
  *ret_uri = uri;
  return P11S_OK;
}

void p11s_uri_add_value(struct p11s_buf *out, const void *value, size_t len)
{
  p11s_buf_add_percent(out, value, len, "-._~");
}

bool p11s_uri_names_token(P11KitUri *uri)
{
  const CK_TOKEN_INFO *token = p11_kit_uri_get_token_info(uri);
  const CK_SLOT_INFO *slot = p11_kit_uri_get_slot_info(uri);

  return token->label[0] != 0 || token->serialNumber[0] != 0 || token->manufacturerID[0] != 0 ||
         token->model[0] != 0 || slot->slotDescription[0] != 0 || slot->manufacturerID[0] != 0 ||
         p11_kit_uri_get_slot_id(uri) != (CK_SLOT_ID)-1;
}

static void take_attribute(struct p11s_object_name *name, CK_ATTRIBUTE_TYPE type)
{
  const CK_ATTRIBUTE *attr = p11_kit_uri_get_attribute(name->uri, type);

  if (attr != NULL && attr->ulValueLen > 0)
    name->attrs[name->count++] = *attr;
}

static bool is_of_class(P11KitUri *uri, CK_OBJECT_CLASS class)
{
  const CK_ATTRIBUTE *attr = p11_kit_uri_get_attribute(uri, CKA_CLASS);

  return attr == NULL ||
         (attr->ulValueLen == sizeof class && memcmp(attr->pValue, &class, sizeof class) == 0);
}

enum p11s_err p11s_object_name_parse(const char *text, CK_OBJECT_CLASS class,
                                     struct p11s_object_name *ret, struct p11s_error *e)
{
  struct p11s_object_name name = {.uri = NULL, .count = 0};
  enum p11s_err result = P11S_OK;

  if (text[0] == 0)
    return p11s_error_set(e, P11S_ERR_SYNTAX, "the key's label is empty");
  if (!p11s_uri_is(text)) {
    /* PKCS#11 templates are not const, though a search only reads them. */
    name.attrs[name.count++] = (CK_ATTRIBUTE){CKA_LABEL, (void *)text, strlen(text)};
    *ret = name;
    return P11S_OK;
  }
  result = p11s_uri_parse(text, &name.uri, e);
  if (result != P11S_OK)
    return result;
  take_attribute(&name, CKA_LABEL);
  take_attribute(&name, CKA_ID);
  if (name.count == 0)
    result =
        p11s_error_set(e, P11S_ERR_SYNTAX, "URI '%s' names no key: it needs object= or id=", text);
  else if (!is_of_class(name.uri, class))
    result = p11s_error_set(e, P11S_ERR_SYNTAX, "URI '%s' is not one of a %s key", text,
                            class == CKO_PRIVATE_KEY ? "private" : "public");
  if (result != P11S_OK) {
    p11s_object_name_clear(&name);
    return result;
  }
  *ret = name;
  return P11S_OK;
}

void p11s_object_name_clear(struct p11s_object_name *name)
{
  if (name->uri != NULL)
    p11_kit_uri_free(name->uri);
  *name = (struct p11s_object_name){.uri = NULL, .count = 0};
}

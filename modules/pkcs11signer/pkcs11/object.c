/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finding the private key (pkcs11/object.h). */
#include "pkcs11/object.h"

#include "pkcs11/attribute.h"
#include "base/text.h"
#include "base/buf.h"
#include "pkcs11/object_internal.h"
#include "pkcs11/rv.h"

#include <string.h>

#define NAMED_MAX 10

/* Whether the object really has what the search asked for; what the token does not give is
   believed, unless the name is strict. */
static enum p11s_err answers_to(struct p11s_session *session, CK_OBJECT_HANDLE object,
                                const struct p11s_object_name *name, bool *ret_does,
                                struct p11s_error *e)
{
  *ret_does = true;
  for (CK_ULONG i = 0; i < name->count && *ret_does; i++) {
    const CK_ATTRIBUTE *want = &name->attrs[i];
    struct p11s_bytes have;
    enum p11s_err result = p11s_attribute_read(session, object, want->type, &have, e);

    if (result != P11S_OK)
      return result;
    *ret_does =
        have.data == NULL ? !name->strict : p11s_bytes_equal(&have, want->pValue, want->ulValueLen);
    p11s_bytes_clear(&have);
  }
  return P11S_OK;
}

enum p11s_err p11s_objects_named(struct p11s_session *session, CK_OBJECT_CLASS class,
                                 const struct p11s_object_name *name, struct p11s_handles *ret,
                                 struct p11s_error *e)
{
  CK_ATTRIBUTE template[3] = {{CKA_CLASS, &class, sizeof class}};
  enum p11s_err result;
  size_t kept = 0;

  memcpy(template + 1, name->attrs, name->count * sizeof name->attrs[0]);
  result = p11s_objects_search(session, template, 1 + name->count, ret, e);
  for (size_t i = 0; result == P11S_OK && i < ret->count; i++) {
    bool does;

    result = answers_to(session, ret->list[i], name, &does, e);
    if (result == P11S_OK && does)
      ret->list[kept++] = ret->list[i];
  }
  if (result != P11S_OK)
    p11s_handles_clear(ret);
  else
    ret->count = kept;
  return result;
}

/* Whether the object's label is that one, but for what some tokens pad it with: a NUL, blanks. */
static enum p11s_err is_labelled(struct p11s_session *session, CK_OBJECT_HANDLE object,
                                 const CK_ATTRIBUTE *label, bool *ret_is, struct p11s_error *e)
{
  struct p11s_bytes have;
  enum p11s_err result = p11s_attribute_read(session, object, CKA_LABEL, &have, e);

  if (result != P11S_OK)
    return result;
  if (have.data != NULL) {
    have.len = strnlen((const char *)have.data, have.len);
    while (have.len > label->ulValueLen && have.data[have.len - 1] == ' ')
      have.len--;
  }
  *ret_is = p11s_bytes_equal(&have, label->pValue, label->ulValueLen);
  p11s_bytes_clear(&have);
  return P11S_OK;
}

/* The private keys whose label a listing shows as that of the name. */
static enum p11s_err find_padded(struct p11s_session *session, const struct p11s_object_name *name,
                                 struct p11s_handles *ret, struct p11s_error *e)
{
  struct p11s_object_name others = *name;
  const CK_ATTRIBUTE *label = NULL;
  enum p11s_err result;
  size_t kept = 0;

  others.uri = NULL;
  others.count = 0;
  for (CK_ULONG i = 0; i < name->count; i++)
    if (name->attrs[i].type == CKA_LABEL)
      label = &name->attrs[i];
    else
      others.attrs[others.count++] = name->attrs[i];
  if (label == NULL)
    return P11S_OK;
  result = p11s_objects_named(session, CKO_PRIVATE_KEY, &others, ret, e);
  for (size_t i = 0; result == P11S_OK && i < ret->count; i++) {
    bool is = false;

    result = is_labelled(session, ret->list[i], label, &is, e);
    if (result == P11S_OK && is)
      ret->list[kept++] = ret->list[i];
  }
  ret->count = kept;
  return result;
}

/* Appends "'label'", or the id when there is no label. */
static void add_name(struct p11s_session *session, CK_OBJECT_HANDLE object, struct p11s_buf *out)
{
  struct p11s_bytes value;
  char id[65];

  if (p11s_attribute_read(session, object, CKA_LABEL, &value, NULL) == P11S_OK && value.len > 0) {
    p11s_buf_addf(out, "'%s'", (const char *)value.data);
  } else {
    p11s_bytes_clear(&value);
    (void)p11s_attribute_read(session, object, CKA_ID, &value, NULL);
    p11s_hex_format(id, sizeof id, value.data, value.len);
    p11s_buf_addf(out, "one without label, id %s", id[0] != 0 ? id : "empty");
  }
  p11s_bytes_clear(&value);
}

static enum p11s_err no_key(struct p11s_session *session, const char *label, struct p11s_error *e)
{
  const struct p11s_object_name any = {.count = 0};
  struct p11s_buf there = P11S_BUF_INIT;
  struct p11s_handles all;
  enum p11s_err result = p11s_objects_named(session, CKO_PRIVATE_KEY, &any, &all, e);

  if (result != P11S_OK)
    return result;
  for (size_t i = 0; i < all.count && i < NAMED_MAX; i++) {
    p11s_buf_addstr(&there, i > 0 ? ", " : "");
    add_name(session, all.list[i], &there);
  }
  if (all.count > NAMED_MAX)
    p11s_buf_addf(&there, " and %zu more", all.count - NAMED_MAX);
  (void)p11s_error_set(e, P11S_ERR_NO_KEY, "the token has no private key '%s'; it has: %s", label,
                       all.count > 0 ? p11s_buf_text(&there) : "none");
  p11s_buf_clear(&there);
  p11s_handles_clear(&all);
  return P11S_ERR_NO_KEY;
}

const char *p11s_key_type_name(CK_KEY_TYPE type)
{
  switch (type) {
  case CKK_RSA:
    return "RSA";
  case CKK_EC:
    return "EC";
  case CKK_EC_EDWARDS:
    return "Edwards curve";
  case CKK_DSA:
    return "DSA";
  default:
    return "another";
  }
}

/* Leaves out those of another type. A token that does not say the type is found out by the public
   key. */
static enum p11s_err keep_of_type(struct p11s_session *session, const struct p11s_algorithm *alg,
                                  const char *label, struct p11s_handles *found,
                                  struct p11s_error *e)
{
  CK_ULONG type, other = 0;
  size_t kept = 0;
  bool given;

  for (size_t i = 0; i < found->count; i++) {
    enum p11s_err result =
        p11s_attribute_read_ulong(session, found->list[i], CKA_KEY_TYPE, &given, &type, e);

    if (result != P11S_OK)
      return result;
    if (!given || type == alg->key_type)
      found->list[kept++] = found->list[i];
    else
      other = type;
  }
  found->count = kept;
  if (kept > 0)
    return P11S_OK;
  return p11s_error_set(e, P11S_ERR_KEY_TYPE,
                        "private key '%s' is of type %s, algorithm %u (%s) needs %s", label,
                        p11s_key_type_name(other), alg->number, alg->mnemonic, alg->kind);
}

enum p11s_err p11s_object_find_privates(struct p11s_session *session,
                                        const struct p11s_algorithm *alg, const char *label,
                                        struct p11s_handles *ret, struct p11s_error *e)
{
  struct p11s_object_name name;
  struct p11s_handles found = {NULL, 0};
  enum p11s_err result = p11s_object_name_parse(label, CKO_PRIVATE_KEY, &name, e);

  if (result != P11S_OK)
    return result;
  result = p11s_objects_named(session, CKO_PRIVATE_KEY, &name, &found, e);
  if (result == P11S_OK && found.count == 0) {
    p11s_handles_clear(&found);
    result = find_padded(session, &name, &found, e);
  }
  if (result == P11S_OK && found.count == 0)
    result = no_key(session, label, e);
  else if (result == P11S_OK)
    result = keep_of_type(session, alg, label, &found, e);
  if (result == P11S_OK)
    *ret = found;
  else
    p11s_handles_clear(&found);
  p11s_object_name_clear(&name);
  return result;
}

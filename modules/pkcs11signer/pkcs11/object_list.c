/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Listing the keys on a token (pkcs11/object.h). */
#include "pkcs11/object.h"

#include "pkcs11/attribute.h"
#include "base/text.h"
#include "pkcs11/object_internal.h"
#include "pkcs11/module.h"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct rows {
  struct p11s_object_info *list;
  size_t count;
};

static int modulus_bits(const struct p11s_bytes *modulus)
{
  BIGNUM *number = BN_bin2bn(modulus->data, (int)modulus->len, NULL);
  int bits = number != NULL ? BN_num_bits(number) : 0;

  BN_free(number);
  return bits;
}

/* CKA_EC_PARAMS: an OID, or (PKCS#11 v3.0) the curve's name as a PrintableString. */
static void curve_name(const struct p11s_bytes *params, char *to, size_t size)
{
  const unsigned char *at = params->data;
  ASN1_OBJECT *oid;
  const char *name = NULL;
  int nid = NID_undef;

  ERR_set_mark();
  if (p11s_bytes_equal(params,
                       "\x13\x0c"
                       "edwards25519",
                       14))
    nid = NID_ED25519;
  else if (p11s_bytes_equal(params,
                            "\x13\x0a"
                            "edwards448",
                            12))
    nid = NID_ED448;
  else if (params->len > 0 && (oid = d2i_ASN1_OBJECT(NULL, &at, (long)params->len)) != NULL) {
    nid = OBJ_obj2nid(oid);
    ASN1_OBJECT_free(oid);
  }
  ERR_pop_to_mark();
  if (nid == NID_ED25519)
    name = "Ed25519";
  else if (nid == NID_ED448)
    name = "Ed448";
  else if (nid != NID_undef && (name = EC_curve_nid2nist(nid)) == NULL)
    name = OBJ_nid2sn(nid);
  (void)snprintf(to, size, "%s", name != NULL ? name : "EC");
}

static enum p11s_err describe_type(struct p11s_session *session, CK_OBJECT_HANDLE object,
                                   struct p11s_object_info *info, struct p11s_error *e)
{
  struct p11s_bytes value = {NULL, 0};
  CK_ULONG type = CKK_VENDOR_DEFINED;
  bool given;
  enum p11s_err result = p11s_attribute_read_ulong(session, object, CKA_KEY_TYPE, &given, &type, e);

  if (result != P11S_OK)
    return result;
  if (!given) {
    (void)snprintf(info->type, sizeof info->type, "?");
  } else if (type == CKK_RSA) {
    result = p11s_attribute_read(session, object, CKA_MODULUS, &value, e);
    (void)snprintf(info->type, sizeof info->type, value.len > 0 ? "RSA-%d" : "RSA",
                   modulus_bits(&value));
  } else if (type == CKK_EC || type == CKK_EC_EDWARDS) {
    result = p11s_attribute_read(session, object, CKA_EC_PARAMS, &value, e);
    curve_name(&value, info->type, sizeof info->type);
  } else {
    (void)snprintf(info->type, sizeof info->type, "0x%lx", type);
  }
  p11s_bytes_clear(&value);
  return result;
}

static enum p11s_err describe(struct p11s_session *session, CK_OBJECT_HANDLE object,
                              struct p11s_object_info *info, struct p11s_error *e)
{
  struct p11s_bytes value = {NULL, 0};
  enum p11s_err result = p11s_attribute_read(session, object, CKA_LABEL, &value, e);

  if (result != P11S_OK)
    return result;
  p11s_padded_copy(info->label, sizeof info->label,
                   value.data != NULL ? value.data : (const unsigned char *)"", value.len);
  p11s_bytes_clear(&value);
  result = p11s_attribute_read(session, object, CKA_ID, &value, e);
  if (result != P11S_OK)
    return result;
  p11s_hex_format(info->id, sizeof info->id, value.data, value.len);
  p11s_bytes_clear(&value);
  return describe_type(session, object, info, e);
}

static enum p11s_err add_objects(struct p11s_session *session, CK_OBJECT_CLASS class,
                                 const struct p11s_handles *found, struct rows *rows,
                                 struct p11s_error *e)
{
  struct p11s_object_info *grown =
      reallocarray(rows->list, rows->count + found->count + 1, sizeof *grown);
  enum p11s_err result = P11S_OK;

  if (grown == NULL)
    return p11s_error_no_memory(e);
  rows->list = grown;
  for (size_t i = 0; result == P11S_OK && i < found->count; i++) {
    struct p11s_object_info *info = &grown[rows->count];

    memset(info, 0, sizeof *info);
    info->has_private = class == CKO_PRIVATE_KEY;
    info->has_public = class == CKO_PUBLIC_KEY;
    result = describe(session, found->list[i], info, e);
    if (result == P11S_OK)
      rows->count++;
  }
  return result;
}

static enum p11s_err add_class(struct p11s_session *session, CK_OBJECT_CLASS class,
                               struct rows *rows, struct p11s_error *e)
{
  const struct p11s_object_name any = {.count = 0};
  struct p11s_handles found;
  enum p11s_err result = p11s_objects_named(session, class, &any, &found, e);

  if (result == P11S_OK) {
    result = add_objects(session, class, &found, rows, e);
    p11s_handles_clear(&found);
  }
  return result;
}

/* By label, then id; the private key before the public one. */
static int compare(const void *a, const void *b)
{
  const struct p11s_object_info *x = a, *y = b;
  int order = strcmp(x->label, y->label);

  if (order == 0)
    order = strcmp(x->id, y->id);
  return order != 0 ? order : (int)y->has_private - (int)x->has_private;
}

static bool is_pair(const struct p11s_object_info *a, const struct p11s_object_info *b)
{
  return a->has_private && !a->has_public && b->has_public && !b->has_private &&
         strcmp(a->label, b->label) == 0 && strcmp(a->id, b->id) == 0;
}

static void report(struct rows *rows, void (*fn)(const struct p11s_object_info *info, void *arg),
                   void *arg)
{
  if (rows->count > 1)
    qsort(rows->list, rows->count, sizeof *rows->list, compare);
  for (size_t i = 0; i < rows->count; i++) {
    struct p11s_object_info *info = &rows->list[i];

    if (i + 1 < rows->count && is_pair(info, &rows->list[i + 1])) {
      i++;
      info->has_public = true;
      /* The public key may tell the size where the private one does not. */
      if (strlen(rows->list[i].type) > strlen(info->type))
        memcpy(info->type, rows->list[i].type, sizeof info->type);
    }
    fn(info, arg);
  }
}

enum p11s_err p11s_object_each(struct p11s_session *session,
                               void (*fn)(const struct p11s_object_info *info, void *arg),
                               void *arg, struct p11s_error *e)
{
  struct rows rows = {NULL, 0};
  enum p11s_err result = add_class(session, CKO_PRIVATE_KEY, &rows, e);

  if (result == P11S_OK)
    result = add_class(session, CKO_PUBLIC_KEY, &rows, e);
  if (result == P11S_OK)
    report(&rows, fn, arg);
  free(rows.list);
  return result;
}

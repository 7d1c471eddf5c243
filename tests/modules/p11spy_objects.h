/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Part of p11spy.c: objects as other tokens have them. */
#pragma once

#include "p11spy_token.h"

#define VALUE_MAX 512

/* DER of a P-256 key's SubjectPublicKeyInfo (RFC 5480) up to the point. */
static const CK_BYTE p256_info[] = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
                                    0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
                                    0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00};

static CK_OBJECT_CLASS class_of(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object)
{
  CK_OBJECT_CLASS class = CKO_VENDOR_DEFINED;
  CK_ATTRIBUTE attr = {CKA_CLASS, &class, sizeof(class)};

  return module->C_GetAttributeValue(session, object, &attr, 1) ? CKO_VENDOR_DEFINED : class;
}

/* As C_FindObjects, without those that a rule hides. */
static CK_RV find_shown(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE_PTR objects, CK_ULONG room,
                        CK_ULONG_PTR n)
{
  unsigned long hidden;
  CK_ULONG found;
  CK_RV rv;

  do {
    rv = module->C_FindObjects(session, objects, room, n);
    if (rv || !rule("C_FindObjects", "hide", &hidden))
      return rv;
    found = *n;
    *n = 0;
    for (CK_ULONG i = 0; i < found; i++)
      if (class_of(session, objects[i]) != hidden)
        objects[(*n)++] = objects[i];
  } while (found > 0 && *n == 0);
  return CKR_OK;
}

/* The length; 0 when there is none. */
static CK_ULONG read_value(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
                           CK_ATTRIBUTE_TYPE type, CK_BYTE *to)
{
  CK_ATTRIBUTE attr = {type, to, VALUE_MAX};

  return module->C_GetAttributeValue(session, object, &attr, 1) ? 0 : attr.ulValueLen;
}

/* The public key of the private key's CKA_ID, or 0. No search may be under way. */
static CK_OBJECT_HANDLE public_half(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE private_key)
{
  CK_OBJECT_CLASS class = CKO_PUBLIC_KEY;
  CK_BYTE id[VALUE_MAX];
  CK_ATTRIBUTE template[] = {{CKA_CLASS, &class, sizeof(class)}, {CKA_ID, id, 0}};
  CK_OBJECT_HANDLE found = 0;
  CK_ULONG n = 0;

  template[1].ulValueLen = read_value(session, private_key, CKA_ID, id);
  if (module->C_FindObjectsInit(session, template, 2))
    return 0;
  if (module->C_FindObjects(session, &found, 1, &n) || n == 0)
    found = 0;
  module->C_FindObjectsFinal(session);
  return found;
}

/* The point without its DER OCTET STRING. */
static CK_ULONG raw_point(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_BYTE *to)
{
  CK_BYTE value[VALUE_MAX];
  CK_ULONG size = read_value(session, object, CKA_EC_POINT, value);

  if (size < 2 || value[0] != 4 || value[1] != size - 2)
    abort();
  memcpy(to, value + 2, size - 2);
  return size - 2;
}

/* An attribute of the private key's public half. */
static CK_ULONG lent_value(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
                           CK_ATTRIBUTE_TYPE type, CK_BYTE *to)
{
  CK_OBJECT_HANDLE half = public_half(session, object);

  if (!half || type != CKA_PUBLIC_KEY_INFO)
    return half ? read_value(session, half, type, to) : 0;
  memcpy(to, p256_info, sizeof(p256_info));
  return sizeof(p256_info) + raw_point(session, half, to + sizeof(p256_info));
}

/* The value that a rule gives an attribute; its length, 0: no rule concerns it. */
static CK_ULONG changed_value(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
                              CK_ATTRIBUTE_TYPE type, CK_BYTE *to)
{
  unsigned long lent;

  if (type == CKA_EC_POINT && rule("C_GetAttributeValue", "raw-point", NULL) &&
      class_of(session, object) == CKO_PUBLIC_KEY)
    return raw_point(session, object, to);
  if (rule("C_GetAttributeValue", "lend", &lent) && type == lent &&
      class_of(session, object) == CKO_PRIVATE_KEY)
    return lent_value(session, object, type, to);
  return 0;
}

/* As C_GetAttributeValue; what a rule changes is asked for alone. */
static CK_RV get_attributes(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
                            CK_ATTRIBUTE_PTR attrs, CK_ULONG n)
{
  CK_BYTE value[VALUE_MAX];
  CK_ULONG size = n == 1 ? changed_value(session, object, attrs->type, value) : 0;

  if (size == 0)
    return module->C_GetAttributeValue(session, object, attrs, n);
  if (attrs->pValue && attrs->ulValueLen < size) {
    attrs->ulValueLen = CK_UNAVAILABLE_INFORMATION;
    return CKR_BUFFER_TOO_SMALL;
  }
  if (attrs->pValue)
    memcpy(attrs->pValue, value, size);
  attrs->ulValueLen = size;
  return CKR_OK;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pkcs11/attribute.h"

#include "pkcs11/rv.h"
#include "pkcs11/session_internal.h"

#include <stdlib.h>
#include <string.h>

#define BATCH 64

static CK_RV get(struct p11s_session *session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *attr)
{
  return session->module->C_GetAttributeValue(session->handle, object, attr, 1);
}

/* Whether the token merely does not give this attribute, rather than being in trouble. */
static bool is_absent(CK_RV rv)
{
  return rv == CKR_ATTRIBUTE_TYPE_INVALID || rv == CKR_ATTRIBUTE_SENSITIVE ||
         rv == CKR_ATTRIBUTE_VALUE_INVALID || rv == CKR_FUNCTION_NOT_SUPPORTED;
}

enum p11s_err p11s_attribute_read(struct p11s_session *session, CK_OBJECT_HANDLE object,
                                  CK_ATTRIBUTE_TYPE type, struct p11s_bytes *ret,
                                  struct p11s_error *e)
{
  CK_ATTRIBUTE attr = {type, NULL, 0};
  CK_RV rv = get(session, object, &attr);
  CK_ULONG size = attr.ulValueLen;
  unsigned char *data = NULL;

  *ret = (struct p11s_bytes){NULL, 0};
  /* CK_UNAVAILABLE_INFORMATION is the largest CK_ULONG. */
  if (is_absent(rv) || (rv == CKR_OK && size > P11S_ATTRIBUTE_MAX))
    return P11S_OK;
  if (rv == CKR_OK) {
    attr.pValue = data = calloc(1, size + 1);
    if (data == NULL)
      return p11s_error_no_memory(e);
    rv = get(session, object, &attr);
  }
  if (rv == CKR_OK && attr.ulValueLen <= size) {
    data[attr.ulValueLen] = 0;
    *ret = (struct p11s_bytes){data, attr.ulValueLen};
    return P11S_OK;
  }
  free(data);
  return rv == CKR_OK || is_absent(rv) ? P11S_OK : p11s_rv_error(e, rv, "C_GetAttributeValue");
}

/* A value of one length only. */
static enum p11s_err read_fixed(struct p11s_session *session, CK_OBJECT_HANDLE object,
                                CK_ATTRIBUTE attr, bool *ret_given, struct p11s_error *e)
{
  CK_ULONG size = attr.ulValueLen;
  CK_RV rv = get(session, object, &attr);

  *ret_given = rv == CKR_OK && attr.ulValueLen == size;
  if (rv == CKR_OK || is_absent(rv) || rv == CKR_BUFFER_TOO_SMALL)
    return P11S_OK;
  return p11s_rv_error(e, rv, "C_GetAttributeValue");
}

enum p11s_err p11s_attribute_read_ulong(struct p11s_session *session, CK_OBJECT_HANDLE object,
                                        CK_ATTRIBUTE_TYPE type, bool *ret_given,
                                        CK_ULONG *ret_value, struct p11s_error *e)
{
  CK_ULONG value = 0;
  CK_ATTRIBUTE attr = {type, &value, sizeof value};
  enum p11s_err result = read_fixed(session, object, attr, ret_given, e);

  *ret_given = *ret_given && value != CK_UNAVAILABLE_INFORMATION;
  if (*ret_given)
    *ret_value = value;
  return result;
}

enum p11s_err p11s_attribute_read_bool(struct p11s_session *session, CK_OBJECT_HANDLE object,
                                       CK_ATTRIBUTE_TYPE type, bool *ret, struct p11s_error *e)
{
  CK_BBOOL value = CK_FALSE;
  CK_ATTRIBUTE attr = {type, &value, sizeof value};
  enum p11s_err result = read_fixed(session, object, attr, ret, e);

  *ret = *ret && value != CK_FALSE;
  return result;
}

void p11s_bytes_clear(struct p11s_bytes *b)
{
  free(b->data);
  *b = (struct p11s_bytes){NULL, 0};
}

bool p11s_bytes_equal(const struct p11s_bytes *a, const void *data, size_t len)
{
  return a->data != NULL && a->len == len && (len == 0 || memcmp(a->data, data, len) == 0);
}

static enum p11s_err append(struct p11s_handles *all, size_t *size, const CK_OBJECT_HANDLE *some,
                            size_t n, struct p11s_error *e)
{
  CK_OBJECT_HANDLE *grown;

  if (n > P11S_OBJECTS_MAX - all->count) {
    return p11s_error_set(e, P11S_ERR_TOKEN, "C_FindObjects: more than %d objects",
                          P11S_OBJECTS_MAX);
  }
  if (all->count + n > *size) {
    *size = *size * 2 + BATCH;
    grown = reallocarray(all->list, *size, sizeof *grown);
    if (grown == NULL) {
      (void)p11s_error_no_memory(e);
      return P11S_ERR_NOMEM;
    }
    all->list = grown;
  }
  memcpy(all->list + all->count, some, n * sizeof *some);
  all->count += n;
  return P11S_OK;
}

static enum p11s_err collect(struct p11s_session *session, struct p11s_handles *all,
                             struct p11s_error *e)
{
  CK_OBJECT_HANDLE batch[BATCH];
  enum p11s_err result;
  size_t size = 0;

  for (;;) {
    CK_ULONG n = 0;
    CK_RV rv = session->module->C_FindObjects(session->handle, batch, BATCH, &n);

    if (rv != CKR_OK)
      return p11s_rv_error(e, rv, "C_FindObjects");
    if (n == 0)
      return P11S_OK;
    if (n > BATCH) {
      return p11s_error_set(e, P11S_ERR_TOKEN, "C_FindObjects: %lu objects where %d were asked for",
                            n, BATCH);
    }
    result = append(all, &size, batch, n, e);
    if (result != P11S_OK)
      return result;
  }
}

enum p11s_err p11s_objects_search(struct p11s_session *session, CK_ATTRIBUTE *template, CK_ULONG n,
                                  struct p11s_handles *ret, struct p11s_error *e)
{
  struct p11s_handles all = {NULL, 0};
  enum p11s_err result;
  CK_RV rv = session->module->C_FindObjectsInit(session->handle, template, n);

  *ret = all;
  if (rv != CKR_OK)
    return p11s_rv_error(e, rv, "C_FindObjectsInit");
  result = collect(session, &all, e);
  /* Also after an error: else the session could do nothing but go on searching. */
  (void)session->module->C_FindObjectsFinal(session->handle);
  if (result != P11S_OK) {
    p11s_handles_clear(&all);
    return result;
  }
  *ret = all;
  return P11S_OK;
}

void p11s_handles_clear(struct p11s_handles *h)
{
  free(h->list);
  *h = (struct p11s_handles){NULL, 0};
}

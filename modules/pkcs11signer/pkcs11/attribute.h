/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/err.h"

#include <p11-kit/pkcs11.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * Reading objects without trusting the token: lengths are bounded and checked
 * again after the second call, and nothing is read from a failed one. No locks.
 */
#define P11S_ATTRIBUTE_MAX 65536
#define P11S_OBJECTS_MAX 100000

struct p11s_session;

struct p11s_bytes {
  unsigned char *data; /* NUL-terminated behind len; NULL when the attribute is not there */
  size_t len;
};

/* P11S_OK with ret->data NULL when the token does not give the attribute (absent, sensitive, or of
   unbelievable length); else the caller frees ret->data. P11S_ERR_NOMEM, P11S_ERR_TOKEN. */
enum p11s_err p11s_attribute_read(struct p11s_session *session, CK_OBJECT_HANDLE object,
                                  CK_ATTRIBUTE_TYPE type, struct p11s_bytes *ret,
                                  struct p11s_error *e);
/* *ret_given is false when the token does not give it, or not as a CK_ULONG. */
enum p11s_err p11s_attribute_read_ulong(struct p11s_session *session, CK_OBJECT_HANDLE object,
                                        CK_ATTRIBUTE_TYPE type, bool *ret_given,
                                        CK_ULONG *ret_value, struct p11s_error *e);

/* *ret is false when the token does not give it, or not as a CK_BBOOL, and on failure. */
enum p11s_err p11s_attribute_read_bool(struct p11s_session *session, CK_OBJECT_HANDLE object,
                                       CK_ATTRIBUTE_TYPE type, bool *ret, struct p11s_error *e);

void p11s_bytes_clear(struct p11s_bytes *b);
bool p11s_bytes_equal(const struct p11s_bytes *a, const void *data, size_t len);

struct p11s_handles {
  CK_OBJECT_HANDLE *list;
  size_t count;
};
/* All objects that match the template, at most P11S_OBJECTS_MAX. The search is ended in any case.
   P11S_ERR_NOMEM, P11S_ERR_TOKEN. The caller clears *ret. */
enum p11s_err p11s_objects_search(struct p11s_session *session, CK_ATTRIBUTE *template, CK_ULONG n,
                                  struct p11s_handles *ret, struct p11s_error *e);
void p11s_handles_clear(struct p11s_handles *h);

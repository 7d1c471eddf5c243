/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/buf.h"
#include "base/err.h"

#include <p11-kit/p11-kit.h>
#include <p11-kit/pkcs11.h>
#include <p11-kit/uri.h>
#include <stdbool.h>

/*
 * pkcs11: URIs (RFC 7512) as a slot or a key may be named with. A URI that
 * holds anything like a PIN is refused before p11-kit parses it, and then not
 * shown in the error either. No locks.
 */
bool p11s_uri_is(const char *text);

/* Token, slot and object attributes; all others are refused. P11S_ERR_SYNTAX, P11S_ERR_NOMEM.
   Free with p11_kit_uri_free(). */
enum p11s_err p11s_uri_parse(const char *text, P11KitUri **ret_uri, struct p11s_error *e);

/* Appends a value as it stands in a URI: all but letters, digits and -._~ as %HH. */
void p11s_uri_add_value(struct p11s_buf *out, const void *value, size_t len);

/* Whether it says anything about token or slot. */
bool p11s_uri_names_token(P11KitUri *uri);

/* A key's name, a label or a URI, as search attributes. */
struct p11s_object_name {
  P11KitUri *uri;
  CK_ATTRIBUTE attrs[2]; /* CKA_LABEL, CKA_ID: borrowed from uri or the text */
  CK_ULONG count;
  bool strict; /* an object that does not give the attributes has another name */
};
/* class: what a URI's `type` may be. The text must outlive *ret; p11s_object_name_clear() it. */
enum p11s_err p11s_object_name_parse(const char *text, CK_OBJECT_CLASS class,
                                     struct p11s_object_name *ret, struct p11s_error *e);
void p11s_object_name_clear(struct p11s_object_name *name);

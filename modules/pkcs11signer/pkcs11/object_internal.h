/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "pkcs11/attribute.h"
#include "pkcs11/uri.h"

/* What pkcs11/object.c, pkcs11/object_public.c and pkcs11/object_list.c share, and pkcs11/keygen.c
 * and sign/key_work.c need. */

/* The objects of a class that have the name, each asked again whether it really has. The caller
   clears *ret. */
enum p11s_err p11s_objects_named(struct p11s_session *session, CK_OBJECT_CLASS class,
                                 const struct p11s_object_name *name, struct p11s_handles *ret,
                                 struct p11s_error *e);

/* "RSA", "EC", "Edwards curve", …; "another" */
const char *p11s_key_type_name(CK_KEY_TYPE type);

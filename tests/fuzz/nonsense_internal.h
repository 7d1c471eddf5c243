/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "lie.h"

/* The part of nonsense.h's module that is about objects and keys. */

/* Made once per process. */
void nonsense_objects_setup(void);
/* Only the healthy pair, and no search under way. The lock is held. */
void nonsense_objects_reset_locked(void);

CK_RV nonsense_get_attribute(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE handle,
                             CK_ATTRIBUTE *attrs, CK_ULONG n);
CK_RV nonsense_set_attribute(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE handle,
                             CK_ATTRIBUTE *attrs, CK_ULONG n);
CK_RV nonsense_find_init(CK_SESSION_HANDLE session, CK_ATTRIBUTE *template, CK_ULONG n);
CK_RV nonsense_find(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *list, CK_ULONG room, CK_ULONG *n);
CK_RV nonsense_find_final(CK_SESSION_HANDLE session);
CK_RV nonsense_sign_init(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key);
CK_RV nonsense_sign(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG len, CK_BYTE *signature,
                    CK_ULONG *signature_len);
CK_RV nonsense_generate(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_ATTRIBUTE *pub,
                        CK_ULONG n_pub, CK_ATTRIBUTE *priv, CK_ULONG n_priv,
                        CK_OBJECT_HANDLE *ret_pub, CK_OBJECT_HANDLE *ret_priv);
CK_RV nonsense_destroy(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE handle);

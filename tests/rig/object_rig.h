/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "rig/pair_rig.h"
#include "pkcs11/object.h"

#include <p11-kit/pkcs11.h>

/*
 * A token of SoftHSM, a session that may write, and key pairs on it whose attributes are what a
 * test says. Every function fails the test when it cannot do its work.
 */

/* Group fixtures. */
int object_setup(void **state);
int object_teardown(void **state);
/* Before a test: nothing is on the token. */
int object_empty(void **state);

extern CK_FUNCTION_LIST *object_module;
extern CK_SESSION_HANDLE object_session;

void object_set(CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type, const void *value, size_t len);
void object_set_id(const struct test_pair *pair, const char *id);
/* A pair with this label and, when not NULL, id. The public key is the caller's; key NULL: not
   wanted. */
struct test_pair object_pair(unsigned number, const char *label, const char *id,
                             struct p11s_pubkey **key);
void object_destroy(CK_OBJECT_HANDLE object);

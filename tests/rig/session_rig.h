/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "pkcs11/session_internal.h"
#include "rig/softhsm.h"

/*
 * A SoftHSM with a token "token" whose PIN is USER_PIN, and one "no pin", and sessions on them.
 * Every function fails the test when it cannot do its work.
 */

/* Group fixtures. */
int session_rig_setup(void **state);
int session_rig_teardown(void **state);
/* Of "token". */
extern CK_SLOT_ID session_rig_slot;

struct p11s_session *session_rig_open(CK_FUNCTION_LIST *module, const char *spec, bool rw);
/* On "token". */
struct p11s_session *session_rig_opened(bool rw);
/* As p11s_session_login(), with CKU_USER; called may be NULL. */
enum p11s_err session_rig_login(struct p11s_session *s, const char *pin, bool *called,
                                struct p11s_error *e);

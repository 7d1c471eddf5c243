/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/err.h"
#include "pin/guard.h"
#include "pkcs11/session.h"

#include <stdbool.h>

/*
 * Logging a session in, or in for one signature, under the guard's rules: every login of the module
 * goes this way. Calls PKCS#11, may block on the token and on other processes' logins to it.
 *
 * A PIN that is refused, or not tried, is logged once with what to do, until the token takes a PIN.
 * *ret_tried: C_Login was called. Errors: those of
 * p11s_pin_guard_permit() and p11s_session_login().
 */
struct p11s_login_how {
  CK_USER_TYPE user; /* as in p11s_session_login() */
  bool unasked;      /* as in p11s_pin_guard_enter() */
};
enum p11s_err p11s_login(struct p11s_pin_guard *g, struct p11s_session *session,
                         struct p11s_login_how how, const struct p11s_secret *pin, bool *ret_tried,
                         struct p11s_error *e);

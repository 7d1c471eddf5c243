/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/err.h"
#include "token/job.h"
#include "pkcs11/session.h"

/*
 * Keys that want a login for each signature (CKA_ALWAYS_AUTHENTICATE; ISO 7816 calls it user
 * consent): C_SignInit, C_Login(CKU_CONTEXT_SPECIFIC), C_Sign. In a worker.
 *
 * The PIN is the job's. From a source it is read at each signature, and gone when C_Login has
 * returned; a literal one is kept in the key's secret as always. Each login goes through the guard
 * (pin/login.h), which counts and remembers it as any other: a PIN that was refused is not tried
 * again.
 *
 * Cards take the login to be for the next command, whoever gives it: so from begin to end no other
 * worker is at such a signature on the same token.
 */
struct p11s_always_auth {
  const struct p11s_work *work;
  struct p11s_secret *pin; /* NULL after the login */
};

/* Before C_SignInit, so that what can be known without the token leaves no signature begun.
   P11S_ERR_NO_PIN, P11S_ERR_PIN_REFUSED (was refused before, or is not the one that the token is
   logged in with), P11S_ERR_TIMEOUT. */
enum p11s_err p11s_always_auth_begin(const struct p11s_work *work, struct p11s_always_auth *ret,
                                     struct p11s_error *e);
/* A p11s_sign_login; arg is the consent. Once. Errors: those of p11s_login(). */
enum p11s_err p11s_always_auth_login(struct p11s_session *session, void *arg, struct p11s_error *e);
/* After each begin that succeeded. */
void p11s_always_auth_end(struct p11s_always_auth *consent);

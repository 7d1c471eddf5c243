/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef P11S_PKCS11_RV_H
#define P11S_PKCS11_RV_H

#include "base/err.h"

#include <p11-kit/pkcs11.h>
#include <stdbool.h>

/*
 * PKCS#11 return values: their names, what they mean for a session, and which
 * one a thread met last, so that the worker above can tell a lost session from
 * a refusal without every function handing it through. No locks.
 */

/* "CKR_PIN_INCORRECT", or "CKR 0x80000001". Static or thread-local storage. */
const char *p11s_rv_name(CK_RV rv);

/* Whether rv means that session, login or handle are gone and a fresh session may do better. */
bool p11s_rv_is_lost(CK_RV rv);

/* Whether rv, of C_FindObjectsInit, means that the token has no such objects to look for. */
bool p11s_rv_is_unknown_template(CK_RV rv);

/* Whether rv, of C_SignInit or C_Sign, may mean that the token does not take the mechanism,
   although it lists it. */
bool p11s_rv_is_refused_mechanism(CK_RV rv);

/* P11S_ERR_TOKEN with the text "C_Sign: CKR_DEVICE_ERROR"; remembers rv. */
enum p11s_err p11s_rv_error(struct p11s_error *e, CK_RV rv, const char *call);
/* Remembers rv as this thread's last; CKR_OK when an error is not a return value's. */
void p11s_rv_note(CK_RV rv);
CK_RV p11s_rv_last(void);

#endif

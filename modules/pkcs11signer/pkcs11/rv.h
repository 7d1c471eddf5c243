/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/err.h"

#include <p11-kit/pkcs11.h>
#include <stdbool.h>

/*
 * PKCS#11 return values: their names, and what they mean for a session. An error that a call gave
 * holds the call's CK_RV, by which the worker above tells a lost session from a refusal. No locks.
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

/* P11S_ERR_TOKEN with rv and the text "C_Sign: CKR_DEVICE_ERROR". */
enum p11s_err p11s_rv_error(struct p11s_error *e, CK_RV rv, const char *call);
/* Puts rv into an error that has just been set; returns the code. */
enum p11s_err p11s_rv_put(struct p11s_error *e, CK_RV rv, enum p11s_err code);

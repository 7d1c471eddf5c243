/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "format/algorithm.h"
#include "base/buf.h"
#include "base/err.h"
#include "pkcs11/rv.h"
#include "base/secret.h"
#include "pkcs11/slot.h"

#include <p11-kit/pkcs11.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * One PKCS#11 session on one token: open, log in, sign, close. Used by one
 * thread at a time; no locks. Calls PKCS#11: only from workers and
 * administrative commands.
 *
 * An error of a call to the token holds its CK_RV (pkcs11/rv.h), as those of pkcs11/object.h and
 * pkcs11/keygen.h do, so that the worker can tell a lost session from a refusal.
 */
struct p11s_session;

/* What a session is for, which says which kind is asked for. Some tokens refuse read-only sessions
   and give read/write ones. */
enum p11s_session_use {
  P11S_SESSION_READ,          /* a read-only one; a read/write one where that is refused */
  P11S_SESSION_READ_RW_FIRST, /* the other way round: the token has refused a read-only one before
                               */
  P11S_SESSION_WRITE,         /* a read/write one: keys are made or removed */
};

/* Finds the token (pkcs11/slot.h) and opens a session on it.
   P11S_ERR_NO_TOKEN: it is not there, or not initialized; P11S_ERR_TOKEN (write-protected, no
   session left); P11S_ERR_NOMEM; those of p11s_slot_find(). */
enum p11s_err p11s_session_open(CK_FUNCTION_LIST *module, const char *slot_spec,
                                enum p11s_session_use use, struct p11s_session **ret_session,
                                struct p11s_error *e);
/* Closes; NULL is allowed. */
void p11s_session_close(struct p11s_session *s);
/* Without C_CloseSession: the library was finalized since, and the handle may be another's now. */
void p11s_session_forget(struct p11s_session *s);

const struct p11s_slot_info *p11s_session_slot(const struct p11s_session *s);
CK_FUNCTION_LIST *p11s_session_module(const struct p11s_session *s);
/* The token's mechanisms: asked once per session, then remembered. NULL on failure. */
const struct p11s_mechanisms *p11s_session_mechanisms(struct p11s_session *s, struct p11s_error *e);

/* Whether it is a read/write session. */
bool p11s_session_is_rw(const struct p11s_session *s);

/* Appends the beginning of a command line for a shell: pkcs11-tool with the module and the token.
 */
void p11s_session_add_tool(const struct p11s_session *s, struct p11s_buf *out);

/* Logs out all sessions that this process has with the token. */
void p11s_session_log_out(struct p11s_session *s);
/* Whether the application is logged in (C_GetSessionInfo). */
bool p11s_session_has_user(const struct p11s_session *s);
/* Whether the token wants no login, or the application is logged in already (C_GetSessionInfo). */
bool p11s_session_logged_in(struct p11s_session *s);

/* What the token says about its PIN (CK_TOKEN_INFO.flags, read freshly into the session's slot),
   before any try is spent on it. P11S_ERR_PIN_LOCKED when it is locked or on its final try: that
   one is left to people. P11S_ERR_NO_PIN when it is typed at the reader. */
enum p11s_err p11s_session_check_pin(struct p11s_session *s, struct p11s_error *e);
/* The same by slot->flags alone: no session, no call to the token. */
enum p11s_err p11s_session_judge_flags(CK_FUNCTION_LIST *module, const struct p11s_slot_info *slot,
                                       struct p11s_error *e);
/* The last of these alone, from what the token said before: to be asked before a PIN is looked for.
   C_Login without a PIN, which would wait for somebody at the keypad, is never called. */
enum p11s_err p11s_session_no_pin_to_give(const struct p11s_session *s, struct p11s_error *e);

struct p11s_login_call {
  bool made; /* the token got the PIN */
  CK_RV rv;  /* and answered so */
};
/* C_Login once with the PIN, behind p11s_session_check_pin(); user is CKU_USER, or
   CKU_CONTEXT_SPECIFIC for the one signature that C_SignInit has begun (PKCS#11 v2.40 section 5.6).
   CKR_USER_ALREADY_LOGGED_IN is success, but says nothing about this PIN. *ret_call is set whatever
   the result. P11S_ERR_PIN_REFUSED for CKR_PIN_INCORRECT, CKR_PIN_LEN_RANGE, CKR_PIN_INVALID. To be
   called by p11s_login() (pin/login.h), which knows the PINs that were refused before. */
enum p11s_err p11s_session_login(struct p11s_session *s, CK_USER_TYPE user,
                                 const struct p11s_secret *pin, struct p11s_login_call *ret_call,
                                 struct p11s_error *e);

/* Reads CK_TOKEN_INFO.flags again into the session's slot; they stay when the token does not say.
 */
void p11s_session_reread_flags(struct p11s_session *s);

/* How a signature is to be asked for, chosen once per key from the token's mechanisms. */
struct p11s_sign_plan {
  CK_MECHANISM_TYPE mechanism; /* alg->raw, or alg->hashing where the token lacks raw */
  bool whole_message;          /* the token gets the message, not the digest */
  bool consent;                /* CKA_ALWAYS_AUTHENTICATE: a login for each signature */
  bool has_other;              /* token and key allow both: if one is refused, try the other */
  bool in_parts;               /* a whole message goes by C_SignUpdate, not in one C_Sign */
};
/* The same with the other of the algorithm's two mechanisms. */
struct p11s_sign_plan p11s_sign_plan_other(const struct p11s_sign_plan *plan,
                                           const struct p11s_algorithm *alg);
/* The login for one signature, between C_SignInit and C_Sign: token/always_auth.h has it. */
struct p11s_sign_login {
  enum p11s_err (*fn)(struct p11s_session *s, void *arg, struct p11s_error *e);
  void *arg;
};
/* P11S_ERR_MECHANISM names the DNSSEC algorithms that the token does offer. Whether the key wants a
   login for each signature is not known here: consent is false. */
enum p11s_err p11s_session_plan(struct p11s_session *s, const struct p11s_algorithm *alg,
                                struct p11s_sign_plan *ret_plan, struct p11s_error *e);
/* For one key: its CKA_ALLOWED_MECHANISMS may leave only the hashing mechanism of the two. What
   else they say is for C_SignInit to tell: not every token means them. P11S_ERR_TOKEN,
   P11S_ERR_NOMEM. */
enum p11s_err p11s_session_plan_for_key(struct p11s_session *s, const struct p11s_algorithm *alg,
                                        CK_OBJECT_HANDLE key, struct p11s_sign_plan *plan,
                                        struct p11s_error *e);

struct p11s_sign_order {
  const struct p11s_algorithm *alg;
  const struct p11s_sign_plan *plan;
  CK_OBJECT_HANDLE key;
  const struct p11s_sign_login *login; /* NULL: none */
  const unsigned char *input; /* the message when plan->whole_message, else alg->digest_len bytes */
  size_t input_len;
  unsigned char *signature; /* out: in RRSIG form (RSA: left-padded to the modulus' length) */
  size_t len;               /* the room for it; out: its length */
};
/*
 * C_SignInit, login, C_Sign or, in parts, C_SignUpdate and C_SignFinal. For RSA the DigestInfo of
 * RFC 8017 section 9.2 is put before a digest. A mechanism that is refused is named in the error.
 * P11S_ERR_TOO_LONG for a whole message that the token refuses with CKR_DATA_LEN_RANGE,
 * P11S_ERR_TOKEN on any other failure, or what login says.
 */
enum p11s_err p11s_session_sign(struct p11s_session *s, struct p11s_sign_order *order,
                                struct p11s_error *e);

/* Whether a signature was begun and neither made nor refused. PKCS#11 v2.40 has no call that gives
   it up: the session can only be closed. */
bool p11s_session_is_spoilt(const struct p11s_session *s);

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pin/login.h"

#include "base/log.h"
#include "pkcs11/rv.h"
#include "base/counters.h"

#define FEW_TRIES (CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY | CKF_USER_PIN_LOCKED)

/* Whether C_Login with this result has not looked at the PIN. All others may be how some token says
   that it is wrong. */
static bool spares_the_pin(CK_RV rv)
{
  switch (rv) {
  case CKR_ARGUMENTS_BAD:
  case CKR_CRYPTOKI_NOT_INITIALIZED:
  case CKR_DEVICE_MEMORY:
  case CKR_DEVICE_REMOVED:
  case CKR_FUNCTION_NOT_SUPPORTED:
  case CKR_HOST_MEMORY:
  case CKR_KEY_HANDLE_INVALID:
  case CKR_OBJECT_HANDLE_INVALID:
  case CKR_OPERATION_ACTIVE:
  case CKR_OPERATION_NOT_INITIALIZED:
  case CKR_PIN_EXPIRED:
  case CKR_SESSION_CLOSED:
  case CKR_SESSION_COUNT:
  case CKR_SESSION_HANDLE_INVALID:
  case CKR_SESSION_READ_ONLY_EXISTS:
  case CKR_SLOT_ID_INVALID:
  case CKR_TOKEN_NOT_PRESENT:
  case CKR_TOKEN_NOT_RECOGNIZED:
  case CKR_USER_ANOTHER_ALREADY_LOGGED_IN:
  case CKR_USER_NOT_LOGGED_IN:
  case CKR_USER_PIN_NOT_INITIALIZED:
  case CKR_USER_TOO_MANY_TYPES:
  case CKR_USER_TYPE_INVALID:
    return true;
  default:
    return false;
  }
}

static enum p11s_pin_outcome outcome_of(enum p11s_err result, CK_RV rv)
{
  if (result == P11S_OK)
    return rv == CKR_OK ? P11S_PIN_ACCEPTED : P11S_PIN_NO_VERDICT; /* others were quicker */
  /* A token may lock without a flag that tells: then this PIN is not to be tried either. */
  if (result == P11S_ERR_PIN_REFUSED || rv == CKR_PIN_LOCKED)
    return P11S_PIN_REFUSED;
  return spares_the_pin(rv) ? P11S_PIN_NO_VERDICT : P11S_PIN_UNCLEAR;
}

/* The token may still tell what it did not say. Whatever *e has is replaced when nothing is to be
   tried any more. */
static enum p11s_err clear_up(struct p11s_pin_guard *g, struct p11s_pin_try *attempt,
                              const struct p11s_slot_info *slot, CK_FLAGS before,
                              enum p11s_pin_outcome *outcome, struct p11s_error *e)
{
  if ((slot->flags & ~before & FEW_TRIES) != 0) {
    *outcome = P11S_PIN_REFUSED;
    return p11s_error_set(e, P11S_ERR_PIN_REFUSED,
                          "token '%s' (serial %s): C_Login: %s, and it says that a wrong PIN was "
                          "given: it is not tried again; correct it, mind that tokens lock after a "
                          "few wrong ones",
                          slot->label, slot->serial, p11s_rv_name(e->rv));
  }
  if (p11s_pin_guard_was_unclear(attempt))
    return p11s_pin_guard_unclear_error(g, slot, e);
  return P11S_ERR_TOKEN;
}

static enum p11s_err try_login(struct p11s_pin_guard *g, struct p11s_session *session,
                               struct p11s_login_how how, const struct p11s_secret *pin,
                               bool *ret_tried, struct p11s_error *e)
{
  const struct p11s_slot_info *slot = p11s_session_slot(session);
  enum p11s_pin_outcome outcome = P11S_PIN_NO_VERDICT;
  struct p11s_pin_try *attempt = NULL;
  enum p11s_err result = p11s_pin_guard_enter(g, slot, pin, how.unasked, &attempt, e);

  if (result != P11S_OK)
    return result;
  result = p11s_session_check_pin(session, e);
  if (result == P11S_OK)
    result = p11s_pin_guard_permit(attempt, e);
  if (result == P11S_OK) {
    CK_FLAGS before = slot->flags;
    struct p11s_login_call call;

    result = p11s_session_login(session, how.user, pin, &call, e);
    *ret_tried = call.made;
    if (call.made) {
      p11s_counter_count(P11S_STAT_LOGINS);
      outcome = outcome_of(result, call.rv);
      /* The tries that are left; not behind each signature while nothing changes. */
      if (how.user == CKU_USER || result != P11S_OK || (before & FEW_TRIES) != 0)
        p11s_session_reread_flags(session);
    }
    if (outcome == P11S_PIN_UNCLEAR)
      result = clear_up(g, attempt, slot, before, &outcome, e);
  }
  if (outcome == P11S_PIN_REFUSED)
    p11s_counter_count(P11S_STAT_LOGINS_REFUSED);
  p11s_pin_guard_leave(attempt, outcome);
  return result;
}

enum p11s_err p11s_login(struct p11s_pin_guard *g, struct p11s_session *session,
                         struct p11s_login_how how, const struct p11s_secret *pin, bool *ret_tried,
                         struct p11s_error *e)
{
  const struct p11s_slot_info *slot = p11s_session_slot(session);
  struct p11s_error error = {0};
  enum p11s_err result;

  *ret_tried = false;
  if (p11s_secret_len(pin) == 0)
    return p11s_error_set(e, P11S_ERR_NO_PIN, "token '%s' (serial %s) needs a PIN", slot->label,
                          slot->serial);
  if (p11s_pin_guard_refused(g, slot, pin))
    result = p11s_pin_guard_refused_error(g, slot, &error);
  else
    result = try_login(g, session, how, pin, ret_tried, &error);
  if (result == P11S_OK)
    return result;
  if ((result == P11S_ERR_PIN_REFUSED || result == P11S_ERR_PIN_LOCKED) &&
      p11s_pin_guard_is_news(g, slot, pin, result))
    p11s_log_event(P11S_LOG_ERROR, "%s", error.text);
  if (e != NULL)
    *e = error;
  return result;
}

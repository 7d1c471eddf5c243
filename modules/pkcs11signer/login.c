/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "login.h"

#include "log.h"
#include "rv.h"
#include "stats.h"

/* Behind C_Login. */
static enum p11s_pin_outcome outcome_of(enum p11s_err result)
{
  CK_RV rv = p11s_rv_last();

  if (result == P11S_OK)
    return rv == CKR_OK ? P11S_PIN_ACCEPTED : P11S_PIN_NO_VERDICT; /* others were quicker */
  /* A token may lock without a flag that tells: then this PIN is not to be tried either. */
  if (result == P11S_ERR_PIN_REFUSED || rv == CKR_PIN_LOCKED)
    return P11S_PIN_REFUSED;
  return P11S_PIN_NO_VERDICT;
}

static enum p11s_err try_login(struct p11s_pinguard *g, struct p11s_session *session,
                               CK_USER_TYPE user, const struct p11s_secret *pin, bool *ret_tried,
                               struct p11s_error *e)
{
  const struct p11s_slot_info *slot = p11s_session_slot(session);
  enum p11s_pin_outcome outcome = P11S_PIN_NO_VERDICT;
  struct p11s_pin_try *attempt = NULL;
  enum p11s_err result = p11s_pinguard_enter(g, slot, pin, &attempt, e);

  if (result != P11S_OK)
    return result;
  result = p11s_session_check_pin(session, e);
  if (result == P11S_OK)
    result = p11s_pinguard_permit(attempt, e);
  if (result == P11S_OK) {
    *ret_tried = true;
    p11s_stats_count(P11S_STAT_LOGINS);
    result = p11s_session_login(session, user, pin, e);
    outcome = outcome_of(result);
  }
  if (outcome == P11S_PIN_REFUSED)
    p11s_stats_count(P11S_STAT_LOGINS_REFUSED);
  p11s_pinguard_leave(attempt, outcome);
  return result;
}

enum p11s_err p11s_login(struct p11s_pinguard *g, struct p11s_session *session, CK_USER_TYPE user,
                         const struct p11s_secret *pin, bool *ret_tried, struct p11s_error *e)
{
  const struct p11s_slot_info *slot = p11s_session_slot(session);
  struct p11s_error error = {P11S_OK, ""};
  enum p11s_err result;

  *ret_tried = false;
  if (p11s_secret_len(pin) == 0)
    return p11s_error_set(e, P11S_ERR_NO_PIN, "token '%s' (serial %s) needs a PIN", slot->label,
                          slot->serial);
  if (p11s_pinguard_refused(g, slot, pin))
    result = p11s_pinguard_refused_error(slot, &error);
  else
    result = try_login(g, session, user, pin, ret_tried, &error);
  if (result == P11S_OK)
    return result;
  if ((result == P11S_ERR_PIN_REFUSED || result == P11S_ERR_PIN_LOCKED) &&
      p11s_pinguard_is_news(g, slot, pin, result))
    p11s_log_event(P11S_LOG_ERROR, "%s", error.text);
  if (e != NULL)
    *e = error;
  return result;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which PIN a token is logged in with, and when a login is tried (token_internal.h, job.h). */
#include "lock.h"
#include "login.h"
#include "pin.h"
#include "token_internal.h"

#define LOGIN_WAIT_MS 30000

/* One login at a time: the others find the token logged in, or the PIN refused. */
static enum p11s_err login_gate_enter(struct p11s_token *token, struct p11s_error *e)
{
  uint64_t deadline = p11s_now_ms() + LOGIN_WAIT_MS;
  enum p11s_err result = P11S_OK;

  pthread_mutex_lock(&token->lock);
  while (token->login_busy && p11s_cond_wait_until(&token->change, &token->lock, deadline))
    ;
  if (token->login_busy)
    result =
        p11s_error_set(e, P11S_ERR_TIMEOUT, "token '%s': another login does not end", token->slot);
  else
    token->login_busy = true;
  pthread_mutex_unlock(&token->lock);
  return result;
}

static void login_gate_leave(struct p11s_token *token)
{
  pthread_mutex_lock(&token->lock);
  token->login_busy = false;
  pthread_cond_broadcast(&token->change);
  pthread_mutex_unlock(&token->lock);
}

static enum p11s_err login_with(struct p11s_token *token, struct p11s_session *session,
                                const struct p11s_secret *pin, struct p11s_error *e)
{
  bool tried;
  enum p11s_err result = p11s_login(token->config.guard, session, pin, &tried, e);

  if (tried) {
    pthread_mutex_lock(&token->lock);
    token->stats.logins++;
    pthread_mutex_unlock(&token->lock);
  }
  return result;
}

enum p11s_err p11s_work_prove_pin(const struct p11s_work *work, struct p11s_error *e)
{
  const struct p11s_slot_info *slot = p11s_session_slot(work->session);
  struct p11s_token *token = work->token;
  struct p11s_secret *pin = NULL;
  enum p11s_pin_proof proof;
  enum p11s_err result;

  if ((slot->flags & CKF_LOGIN_REQUIRED) == 0)
    return P11S_OK;
  result = p11s_pin_get(work->pin, token->config.pin_source, slot->label, &pin, e);
  if (result != P11S_OK)
    return result;
  proof = p11s_pinguard_proof(token->config.guard, slot->serial, pin);
  p11s_secret_release(pin);
  if (proof != P11S_PIN_OTHER)
    return P11S_OK;
  return p11s_error_set(
      e, P11S_ERR_PIN_REFUSED,
      "token '%s' (serial %s) is logged in, but not with this PIN: correct it; if the "
      "PIN was changed on the token, log in once with the new one, e.g. by "
      "pdnsutil backend-cmd pkcs11signer check",
      slot->label, slot->serial);
}

enum p11s_err p11s_token_log_in(struct p11s_token *token, struct p11s_session *session,
                                struct p11s_secret *given, struct p11s_error *e)
{
  struct p11s_secret *pin = NULL;
  enum p11s_err result;

  if (p11s_session_logged_in(session))
    return P11S_OK;
  result = login_gate_enter(token, e);
  if (result != P11S_OK)
    return result;
  if (!p11s_session_logged_in(session)) {
    result =
        p11s_pin_get(given, token->config.pin_source, p11s_session_slot(session)->label, &pin, e);
    if (result == P11S_OK)
      result = login_with(token, session, pin, e);
    p11s_secret_release(pin);
  }
  login_gate_leave(token);
  return result;
}

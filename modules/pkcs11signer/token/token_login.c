/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which PIN a token is logged in with, and when a login is tried (token/token_internal.h,
   token/job.h, token/always_auth.h). */
#include "token/always_auth.h"
#include "base/lock.h"
#include "base/paste.h"
#include "pin/login.h"
#include "pkcs11/attribute.h"
#include "base/secret_source.h"
#include "token/token_internal.h"

#define LOGIN_WAIT_MS 30000

/* One at a time, by a flag of the token's. */
static enum p11s_err enter(struct p11s_token *token, bool *busy, struct p11s_error *e)
{
  uint64_t deadline = p11s_now_ms() + LOGIN_WAIT_MS;
  enum p11s_err result = P11S_OK;

  p11s_lock(&token->lock);
  while (*busy && p11s_cond_wait_until(&token->change, &token->lock, deadline))
    ;
  if (*busy)
    result =
        p11s_error_set(e, P11S_ERR_TIMEOUT, "token '%s': another login does not end", token->slot);
  else if (busy == &token->login_busy)
    token->login_tries++;
  if (result == P11S_OK)
    *busy = true;
  p11s_unlock(&token->lock);
  return result;
}

static void leave(struct p11s_token *token, bool *busy)
{
  p11s_lock(&token->lock);
  *busy = false;
  pthread_cond_broadcast(&token->change);
  p11s_unlock(&token->lock);
}

static enum p11s_err login_with(struct p11s_token *token, struct p11s_session *session,
                                struct p11s_login_how how, const struct p11s_secret *pin,
                                struct p11s_error *e)
{
  bool tried;
  enum p11s_err result = p11s_login(token->config.guard, session, how, pin, &tried, e);

  if (tried) {
    p11s_lock(&token->lock);
    token->stats.logins++;
    p11s_unlock(&token->lock);
  }
  return result;
}

static bool says_nothing(enum p11s_err result)
{
  return result == P11S_ERR_TIMEOUT || result == P11S_ERR_NOMEM || result == P11S_ERR_STOPPED;
}

/* What the outcome of a login says about the token. given: the reference's PIN, or NULL. The former
   one is the caller's to release when the lock is not held any more. */
static struct p11s_secret *note_login_locked(struct p11s_token *token, struct p11s_secret *given,
                                             enum p11s_err result, const struct p11s_error *why)
{
  struct p11s_secret *former = token->no_login_pin;

  if (says_nothing(result))
    return NULL;
  if (result == P11S_OK) {
    token->no_login.text[0] = '\0';
    token->no_login_pin = NULL;
    return former;
  }
  if (token->no_login.text[0] == '\0')
    token->no_login_ms = p11s_now_ms();
  token->no_login = *why;
  token->no_login_pin = p11s_secret_acquire(given);
  return former;
}

static void note_login(struct p11s_token *token, const struct p11s_session *session,
                       struct p11s_secret *given, enum p11s_err result,
                       const struct p11s_error *why)
{
  struct p11s_secret *former;

  p11s_lock(&token->lock);
  token->found.flags = p11s_session_slot(session)->flags;
  former = note_login_locked(token, given, result, why);
  p11s_unlock(&token->lock);
  p11s_secret_release(former);
}

static enum p11s_err prove(const struct p11s_work *work, const struct p11s_secret *pin,
                           struct p11s_error *e)
{
  const struct p11s_slot_info *slot = p11s_session_slot(work->session);

  struct p11s_buf command = P11S_BUF_INIT;

  if (p11s_pin_guard_proof(work->token->config.guard, slot, pin) != P11S_PIN_OTHER)
    return P11S_OK;
  p11s_paste(&command, "pkcs11signer", "check", NULL);
  (void)p11s_error_set(
      e, P11S_ERR_PIN_REFUSED,
      "token '%s' (serial %s) is logged in, but not with this PIN: correct it; if the "
      "PIN was changed on the token, log in once with the new one, e.g. by %s",
      slot->label, slot->serial, p11s_buf_text(&command));
  p11s_buf_clear(&command);
  return P11S_ERR_PIN_REFUSED;
}

static bool wants_login(const struct p11s_work *work)
{
  return (p11s_session_slot(work->session)->flags & CKF_LOGIN_REQUIRED) != 0;
}

static enum p11s_err prove_own(const struct p11s_work *work, struct p11s_error *e)
{
  struct p11s_secret *pin = NULL;
  enum p11s_err result = p11s_pin_get(work->pin, work->token->config.pin_source,
                                      p11s_session_slot(work->session)->label, &pin, e);

  if (result == P11S_OK)
    result = prove(work, pin, e);
  p11s_secret_release(pin);
  return result;
}

enum p11s_err p11s_work_prove_pin(const struct p11s_work *work, struct p11s_error *e)
{
  return wants_login(work) ? prove_own(work, e) : P11S_OK;
}

bool p11s_work_may_hide_keys(const struct p11s_work *work)
{
  return !wants_login(work) && !p11s_session_has_user(work->session);
}

void p11s_work_note_hidden(const struct p11s_work *work)
{
  atomic_store(&work->token->hides_keys, true);
}

enum p11s_err p11s_work_prove_hidden(const struct p11s_work *work, CK_OBJECT_HANDLE key,
                                     struct p11s_error *e)
{
  bool hidden = false;

  if (atomic_load(&work->token->hides_keys))
    (void)p11s_attribute_read_bool(work->session, key, CKA_PRIVATE, &hidden, NULL);
  return hidden ? prove_own(work, e) : P11S_OK;
}

static enum p11s_err log_in(struct p11s_token *token, struct p11s_session *session,
                            struct p11s_secret *given, bool unasked, struct p11s_error *e)
{
  struct p11s_secret *pin = NULL;
  enum p11s_err result = p11s_session_no_pin_to_give(session, e);

  if (result == P11S_OK)
    result =
        p11s_pin_get(given, token->config.pin_source, p11s_session_slot(session)->label, &pin, e);
  if (result == P11S_OK)
    result = login_with(token, session, (struct p11s_login_how){CKU_USER, unasked}, pin, e);
  p11s_secret_release(pin);
  return result;
}

enum p11s_err p11s_token_log_in(struct p11s_token *token, struct p11s_session *session,
                                struct p11s_secret *given, bool unasked, struct p11s_error *e)
{
  struct p11s_error error = {0};
  enum p11s_err result = P11S_OK;
  bool entered = false;

  if (!p11s_session_logged_in(session)) {
    result = enter(token, &token->login_busy, &error);
    entered = result == P11S_OK;
  }
  /* The others find the token logged in then, or the PIN refused. */
  if (entered && !p11s_session_logged_in(session))
    result = log_in(token, session, given, unasked, &error);
  note_login(token, session, given, result, &error);
  if (entered)
    leave(token, &token->login_busy);
  if (result != P11S_OK && e != NULL)
    *e = error;
  return result;
}

/* What a login would meet before C_Login. before: why the last one failed, with this PIN. */
static enum p11s_err foresee_login(struct p11s_token *token, CK_FUNCTION_LIST *module,
                                   const struct p11s_slot_info *info, enum p11s_err before,
                                   struct p11s_secret *given, struct p11s_error *e)
{
  struct p11s_secret *pin = NULL;
  enum p11s_err result = p11s_session_judge_flags(module, info, e);

  if (result == P11S_OK)
    result = p11s_pin_get(given, token->config.pin_source, info->label, &pin, e);
  if (result == P11S_OK)
    result = p11s_pin_guard_foresee(token->config.guard, info, pin, e);
  p11s_secret_release(pin);
  /* What C_Login itself has failed with is found out by the next one alone. */
  if (result == P11S_OK && before != P11S_ERR_PIN_LOCKED && before != P11S_ERR_PIN_REFUSED &&
      before != P11S_ERR_NO_PIN)
    return P11S_ERR_TIMEOUT;
  return result;
}

bool p11s_token_review_login(struct p11s_token *token, CK_FUNCTION_LIST *module,
                             const struct p11s_slot_info *info)
{
  struct p11s_error error = {0};
  struct p11s_secret *given, *former = NULL;
  enum p11s_err before, result;
  uint64_t tries;

  p11s_lock(&token->lock);
  before = token->no_login.text[0] == '\0' ? P11S_OK : token->no_login.code;
  given = p11s_secret_acquire(token->no_login_pin);
  tries = token->login_tries;
  p11s_unlock(&token->lock);
  result = before == P11S_OK ? P11S_OK : foresee_login(token, module, info, before, given, &error);
  p11s_lock(&token->lock);
  if (before != P11S_OK && !token->login_busy && token->login_tries == tries)
    former = note_login_locked(token, given, result, &error);
  p11s_unlock(&token->lock);
  p11s_secret_release(former);
  p11s_secret_release(given);
  return !says_nothing(result);
}

enum p11s_err p11s_work_log_in(const struct p11s_work *work, struct p11s_error *e)
{
  struct p11s_error said = {0};
  struct p11s_token *token = work->token;
  enum p11s_err result = enter(token, &token->login_busy, &said);

  if (result == P11S_OK) {
    if (!p11s_session_has_user(work->session))
      result = log_in(token, work->session, work->pin, work->unasked, &said);
    leave(token, &token->login_busy);
  }
  if (result == P11S_OK || result == P11S_ERR_NO_PIN || e == NULL)
    return result;
  p11s_error_prefix(&said, "%s; it may show more after a login", e->text);
  *e = said;
  return result;
}

enum p11s_err p11s_always_auth_begin(const struct p11s_work *work, struct p11s_always_auth *ret,
                                     struct p11s_error *e)
{
  const struct p11s_slot_info *slot = p11s_session_slot(work->session);
  struct p11s_token *token = work->token;
  struct p11s_secret *pin = NULL;
  enum p11s_err result = p11s_session_no_pin_to_give(work->session, e);

  if (result == P11S_OK)
    result = p11s_pin_get(work->pin, token->config.pin_source, slot->label, &pin, e);
  if (result == P11S_OK && wants_login(work))
    result = prove(work, pin, e);
  if (result == P11S_OK && p11s_pin_guard_refused(token->config.guard, slot, pin))
    result = p11s_pin_guard_refused_error(token->config.guard, slot, e);
  if (result == P11S_OK)
    result = enter(token, &token->consent_busy, e);
  if (result == P11S_OK) {
    *ret = (struct p11s_always_auth){work, pin};
    return P11S_OK;
  }
  p11s_secret_release(pin);
  if (e != NULL && result != P11S_ERR_TIMEOUT)
    p11s_error_prefix(e, "the key wants a login for each signature (CKA_ALWAYS_AUTHENTICATE)");
  return result;
}

enum p11s_err p11s_always_auth_login(struct p11s_session *session, void *arg, struct p11s_error *e)
{
  struct p11s_always_auth *consent = arg;
  struct p11s_token *token = consent->work->token;
  const struct p11s_login_how how = {CKU_CONTEXT_SPECIFIC, false};
  struct p11s_error error = {0};
  enum p11s_err result = login_with(token, session, how, consent->pin, &error);

  note_login(token, session, consent->work->pin, result, &error);
  if (result != P11S_OK && e != NULL)
    *e = error;
  p11s_secret_release(consent->pin);
  consent->pin = NULL;
  return result;
}

void p11s_always_auth_end(struct p11s_always_auth *consent)
{
  p11s_secret_release(consent->pin);
  leave(consent->work->token, &consent->work->token->consent_busy);
}

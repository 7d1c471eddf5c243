/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Looking at a token that nobody asks, and for one that is away (token/token_internal.h). */
#include "base/lock.h"
#include "base/owner.h"
#include "pkcs11/module.h"
#include "pkcs11/rv.h"
#include "token/token_internal.h"

/* A call to a library that hangs may hang as well. */
static bool may_look_locked(const struct p11s_token *token)
{
  return token->state == P11S_TOKEN_READY && !token->stuck &&
         (token->config.stuck_ms == 0 ||
          p11s_token_busy_locked(token, token->config.stuck_ms) == 0);
}

bool p11s_token_probe_due_locked(struct p11s_token *token, struct p11s_worker *w,
                                 uint64_t *ret_wake_ms)
{
  if ((token->state != P11S_TOKEN_AWAY && !may_look_locked(token)) ||
      (token->prober != NULL && token->prober != w))
    return false;
  token->prober = w;
  if (p11s_now_ms() >= token->probe_ms)
    return true;
  if (token->probe_ms < *ret_wake_ms)
    *ret_wake_ms = token->probe_ms;
  return false;
}

void p11s_token_note_found(struct p11s_token *token, const struct p11s_slot_info *info)
{
  p11s_lock(&token->lock);
  token->found = *info;
  p11s_unlock(&token->lock);
}

void p11s_worker_probe(struct p11s_worker *w)
{
  struct p11s_error error = {0};
  struct p11s_session *session = NULL;
  struct p11s_secret *pin;
  enum p11s_err result;

  p11s_lock(&w->token->lock);
  pin = p11s_secret_acquire(w->token->probe_pin);
  w->unasked = !w->token->asked;
  p11s_unlock(&w->token->lock);
  p11s_worker_drop_session(w);
  result = p11s_worker_new_session(w, false, pin, &session, &error);
  p11s_worker_look_after_module(w, result, &error);
  if (result != P11S_OK && p11s_worker_recover(w, &error, NULL))
    result = p11s_worker_new_session(w, false, pin, &session, &error);
  p11s_owner_explain(&error);
  p11s_token_note_outcome(w->token, result, &error, NULL, pin);
  p11s_secret_release(pin);
}

static enum p11s_err find(struct p11s_worker *w, CK_FUNCTION_LIST **ret_module,
                          struct p11s_slot_info *ret_info, struct p11s_error *e)
{
  enum p11s_err result = p11s_module_get(w->token->engine, ret_module, e);

  if (result == P11S_OK)
    result = p11s_slot_find(*ret_module, w->token->slot, ret_info, e);
  p11s_worker_look_after_module(w, result, e);
  return result;
}

/* Without a session there is nobody logged in by this worker, and a login may cost a try. */
static void look_without_session(struct p11s_worker *w)
{
  struct p11s_error error = {0};
  CK_FUNCTION_LIST *module = NULL;
  struct p11s_slot_info info;
  struct p11s_secret *pin;
  enum p11s_err result;

  result = find(w, &module, &info, &error);
  if (result != P11S_OK && p11s_worker_recover(w, &error, NULL))
    result = find(w, &module, &info, &error);
  if (result == P11S_OK) {
    p11s_token_note_found(w->token, &info);
    if (!p11s_token_review_login(w->token, module, &info))
      return;
  }
  p11s_lock(&w->token->lock);
  pin = p11s_secret_acquire(w->token->no_login_pin);
  p11s_unlock(&w->token->lock);
  p11s_owner_explain(&error);
  p11s_token_note_outcome(w->token, result, &error, NULL, pin);
  p11s_secret_release(pin);
}

void p11s_worker_look(struct p11s_worker *w)
{
  struct p11s_slot_info info;

  p11s_lock(&w->token->lock);
  w->token->probe_ms = p11s_now_ms() + P11S_LOOK_EVERY_MS;
  p11s_unlock(&w->token->lock);
  if (w->session == NULL) {
    look_without_session(w);
  } else if (!p11s_worker_session_is_good(w, &info)) {
    p11s_worker_probe(w);
  } else {
    p11s_token_note_found(w->token, &info);
    if (p11s_token_review_login(w->token, p11s_session_module(w->session), &info))
      p11s_token_note_outcome(w->token, P11S_OK, NULL, &w->series, NULL);
  }
  if (p11s_token_note_end(w->token, w, false, false))
    p11s_worker_drop_session(w);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The sessions of a token's workers: how many there are, and which are of use
 * (token/token_internal.h).
 */
#include "base/lock.h"
#include "pkcs11/module.h"
#include "pkcs11/quirk.h"
#include "pkcs11/restart.h"
#include "pkcs11/rv.h"
#include "base/counters.h"
#include "token/token_internal.h"

void p11s_worker_drop_session(struct p11s_worker *w)
{
  struct p11s_token *token = w->token;

  if (w->session == NULL)
    return;
  if (w->life == p11s_module_life(token->engine))
    p11s_session_close(w->session);
  else
    p11s_session_forget(w->session);
  w->session = NULL;
  p11s_lock(&token->lock);
  token->with_session--;
  /* Closing the last session logs out, which takes private handles with it. */
  token->epoch++;
  p11s_unlock(&token->lock);
}

static void note_token_locked(struct p11s_token *token, const struct p11s_slot_info *slot,
                              unsigned quirks)
{
  token->found = *slot;
  /* Until the first session is there, there is one worker: no second one was quicker. */
  token->most = (quirks & P11S_QUIRK_ONE_THREAD) != 0 ? 1 : token->config.sessions;
  if (slot->max_sessions != 0 && slot->max_sessions < token->most)
    token->most = (unsigned)slot->max_sessions;
  if (!token->limit_known || token->limit > token->most)
    token->limit = token->most;
  token->limit_known = true;
}

static enum p11s_err open_session(struct p11s_worker *w, bool rw, struct p11s_session **ret,
                                  uint64_t *ret_life, struct p11s_error *e)
{
  struct p11s_token *token = w->token;
  CK_FUNCTION_LIST *module;
  enum p11s_err result = p11s_module_get(token->engine, &module, e);
  enum p11s_session_use use = rw                             ? P11S_SESSION_WRITE
                              : atomic_load(&token->rw_only) ? P11S_SESSION_READ_RW_FIRST
                                                             : P11S_SESSION_READ;
  unsigned quirks;

  /* Before there is a session: should the library be finalized now, it is of an earlier life. */
  *ret_life = p11s_module_life(token->engine);
  if (result == P11S_OK)
    result = p11s_session_open(module, token->slot, use, ret, e);
  if (!rw) /* a token that gives none may be another one when it is back */
    atomic_store(&token->rw_only, result == P11S_OK && p11s_session_is_rw(*ret));
  if (result == P11S_OK) {
    p11s_counter_count(P11S_STAT_SESSIONS);
    quirks = p11s_quirks(module);
    p11s_lock(&token->lock);
    token->stats.sessions++;
    if (token->life != *ret_life)
      token->epoch++;
    token->life = *ret_life;
    note_token_locked(token, p11s_session_slot(*ret), quirks);
    w->start_more_locked(token);
    p11s_unlock(&token->lock);
  }
  return result;
}

static void count_session(struct p11s_token *token, int more)
{
  p11s_lock(&token->lock);
  token->with_session += (unsigned)more;
  p11s_unlock(&token->lock);
}

/* Opens and logs in a session, read/write for one job alone, or else for the worker to keep. */
enum p11s_err p11s_worker_new_session(struct p11s_worker *w, bool rw, struct p11s_secret *pin,
                                      struct p11s_session **ret, struct p11s_error *e)
{
  struct p11s_token *token = w->token;
  struct p11s_session *session = NULL;
  enum p11s_err result;
  uint64_t series, life;

  p11s_lock(&token->lock);
  series = token->series;
  p11s_unlock(&token->lock);
  /* Counted beforehand: another worker may find no session left before this one is logged in. */
  if (!rw)
    count_session(token, 1);
  result = open_session(w, rw, &session, &life, e);
  if (result == P11S_OK)
    result = p11s_token_log_in(token, session, pin, w->unasked, e);
  if (result != P11S_OK) {
    p11s_session_close(session);
    if (!rw)
      count_session(token, -1);
    return result;
  }
  p11s_lock(&token->lock);
  pin = p11s_token_set_probe_pin_locked(token, pin);
  p11s_unlock(&token->lock);
  p11s_secret_release(pin);
  if (!rw) {
    w->session = session;
    w->series = series;
    w->life = life;
    w->opened_ms = p11s_now_ms();
  }
  *ret = session;
  return P11S_OK;
}

/* The token has been away since the worker's session was opened, or its library was initialized
   anew: what it holds is stale. */
static void drop_stale_session(struct p11s_worker *w)
{
  bool stale;

  p11s_lock(&w->token->lock);
  stale = w->session != NULL && w->series != w->token->series;
  p11s_unlock(&w->token->lock);
  stale = stale || (w->session != NULL && w->life != p11s_module_life(w->token->engine));
  if (stale)
    p11s_worker_drop_session(w);
}

/* A session that fits the job. */
enum p11s_err p11s_worker_session_for(struct p11s_worker *w, const struct p11s_job *job,
                                      struct p11s_session **ret, struct p11s_error *e)
{
  drop_stale_session(w);
  if (job->ops->rw || w->session == NULL)
    return p11s_worker_new_session(w, job->ops->rw, job->pin, ret, e);
  *ret = w->session;
  return P11S_OK;
}

void p11s_worker_look_after_module(const struct p11s_worker *w, enum p11s_err result,
                                   const struct p11s_error *error)
{
  if (result != P11S_OK && error->rv == CKR_CRYPTOKI_NOT_INITIALIZED)
    p11s_module_lost(w->token->engine);
}

/* For all keys that are not found together: other keys of the card must wait meanwhile. */
#define KEYS_MS 30000
/* Nothing of the card can be used. */
#define NOTHING_MS 5000

/* Asks for the module anew: one that was lost has a new life then, and old sessions are not closed,
   but forgotten. */
static unsigned quirks_of(const struct p11s_worker *w)
{
  struct p11s_error error = {0};
  CK_FUNCTION_LIST *module = NULL;

  return p11s_module_get(w->token->engine, &module, &error) == P11S_OK ? p11s_quirks(module) : 0;
}

/* P11S_QUIRK_LOG_OUT. Only the first who notices: the others find a new login. */
static void log_out_once(struct p11s_worker *w, uint64_t epoch)
{
  bool first;

  if (w->session == NULL || (quirks_of(w) & P11S_QUIRK_LOG_OUT) == 0)
    return;
  p11s_lock(&w->token->lock);
  first = w->token->epoch == epoch;
  if (first)
    w->token->epoch++;
  p11s_unlock(&w->token->lock);
  if (first)
    p11s_session_log_out(w->session);
}

/* That there are too many sessions says nothing about the card. */
static bool is_lost(const struct p11s_error *error)
{
  return p11s_rv_is_lost(error->rv) && error->rv != CKR_SESSION_COUNT;
}

bool p11s_worker_recover(struct p11s_worker *w, const struct p11s_error *error,
                         const uint64_t *epoch)
{
  const char *engine = w->token->engine;

  switch (error->code) {
  case P11S_ERR_NO_KEY:
  case P11S_ERR_KEY_MISMATCH:
  case P11S_ERR_SIGNATURE:
    /* It may know another key there than the one that is on the card now, or none. */
    return p11s_module_reread(engine, w->exclusive, KEYS_MS);
  case P11S_ERR_NO_TOKEN:
    /* OpenSC 0.27 sees none for ever after pcscd has been restarted. Nobody has one to lose. */
    return error->rv == CKR_TOKEN_NOT_PRESENT &&
           p11s_module_reread(engine, w->exclusive, NOTHING_MS);
  case P11S_ERR_NO_SLOTS:
    return p11s_module_restart(engine, w->exclusive, NOTHING_MS);
  case P11S_ERR_TOKEN:
    if (!is_lost(error))
      return false;
    if (epoch == NULL)
      return p11s_module_reread(engine, w->exclusive, NOTHING_MS);
    log_out_once(w, *epoch);
    return false;
  default:
    return false;
  }
}

bool p11s_worker_recover_again(struct p11s_worker *w, const struct p11s_error *error)
{
  /* OpenSC says no more than that of a key that another program has deleted. */
  return error->code == P11S_ERR_TOKEN && is_lost(error) &&
         p11s_module_reread(w->token->engine, w->exclusive, KEYS_MS);
}

bool p11s_worker_session_is_good(struct p11s_worker *w, struct p11s_slot_info *ret_info)
{
  const struct p11s_slot_info *slot = p11s_session_slot(w->session);

  /* C_GetSlotInfo makes OpenSC look at the reader; a session's own state it takes from memory. */
  return p11s_slot_look(p11s_session_module(w->session), slot->id, ret_info) &&
         p11s_slot_compare(ret_info, slot) == 0 && p11s_session_logged_in(w->session);
}

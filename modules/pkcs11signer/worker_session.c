/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The sessions of a token's workers: how many there are, and which are of use (token_internal.h).
 */
#include "lock.h"
#include "p11mod.h"
#include "rv.h"
#include "stats.h"
#include "token_internal.h"

#include <string.h>

void p11s_worker_drop_session(struct p11s_worker *w)
{
  struct p11s_token *token = w->token;

  if (w->session == NULL)
    return;
  p11s_session_close(w->session);
  w->session = NULL;
  pthread_mutex_lock(&token->lock);
  token->with_session--;
  /* Closing the last session logs out, which takes private handles with it. */
  token->epoch++;
  pthread_mutex_unlock(&token->lock);
}

static void note_token_locked(struct p11s_token *token, const struct p11s_slot_info *slot)
{
  token->flags = slot->flags;
  token->most = token->config.sessions;
  if (slot->max_sessions != 0 && slot->max_sessions < token->most)
    token->most = (unsigned)slot->max_sessions;
  if (!token->limit_known || token->limit > token->most)
    token->limit = token->most;
  token->limit_known = true;
}

/* For what was queued while the limit was not known. */
static void start_more_locked(struct p11s_token *token)
{
  size_t waiting = p11s_queue_length(token->queue);

  while (waiting > token->idle && p11s_token_has_room_locked(token) && !token->stopping &&
         p11s_worker_start_locked(token))
    waiting--;
}

static enum p11s_err open_session(struct p11s_token *token, bool rw, struct p11s_session **ret,
                                  struct p11s_error *e)
{
  CK_FUNCTION_LIST *module;
  enum p11s_err result = p11s_p11mod_get(token->engine, &module, e);

  if (result == P11S_OK)
    result = p11s_session_open(module, token->slot, rw, ret, e);
  if (result == P11S_OK) {
    p11s_stats_count(P11S_STAT_SESSIONS);
    pthread_mutex_lock(&token->lock);
    token->stats.sessions++;
    note_token_locked(token, p11s_session_slot(*ret));
    start_more_locked(token);
    pthread_mutex_unlock(&token->lock);
  }
  return result;
}

static void count_session(struct p11s_token *token, int more)
{
  pthread_mutex_lock(&token->lock);
  token->with_session += (unsigned)more;
  pthread_mutex_unlock(&token->lock);
}

/* Opens and logs in a session, read/write for one job alone, or else for the worker to keep. */
enum p11s_err p11s_worker_new_session(struct p11s_worker *w, bool rw, struct p11s_secret *pin,
                                      struct p11s_session **ret, struct p11s_error *e)
{
  struct p11s_token *token = w->token;
  struct p11s_session *session = NULL;
  enum p11s_err result;
  uint64_t generation;

  pthread_mutex_lock(&token->lock);
  generation = token->generation;
  pthread_mutex_unlock(&token->lock);
  /* Counted beforehand: another worker may find no session left before this one is logged in. */
  if (!rw)
    count_session(token, 1);
  result = open_session(token, rw, &session, e);
  if (result == P11S_OK)
    result = p11s_token_log_in(token, session, pin, e);
  if (result != P11S_OK) {
    CK_RV rv = p11s_rv_last();

    p11s_session_close(session);
    p11s_rv_note(rv);
    if (!rw)
      count_session(token, -1);
    return result;
  }
  pthread_mutex_lock(&token->lock);
  pin = p11s_token_set_probe_pin_locked(token, pin);
  pthread_mutex_unlock(&token->lock);
  p11s_secret_release(pin);
  if (!rw) {
    w->session = session;
    w->generation = generation;
  }
  *ret = session;
  return P11S_OK;
}

/* The token has been away since the worker's session was opened: what it holds is stale. */
static void drop_stale_session(struct p11s_worker *w)
{
  bool stale;

  pthread_mutex_lock(&w->token->lock);
  stale = w->session != NULL && w->generation != w->token->generation;
  pthread_mutex_unlock(&w->token->lock);
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

bool p11s_worker_session_is_good(struct p11s_worker *w)
{
  CK_SLOT_INFO slot;

  memset(&slot, 0, sizeof slot);
  /* C_GetSlotInfo makes OpenSC look at the reader; a session's own state it takes from memory. */
  return p11s_session_module(w->session)->C_GetSlotInfo(p11s_session_slot(w->session)->id, &slot) ==
             CKR_OK &&
         (slot.flags & CKF_TOKEN_PRESENT) != 0 && p11s_session_logged_in(w->session);
}

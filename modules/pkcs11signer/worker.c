/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The threads behind a token: they alone call PKCS#11 for PowerDNS (token.h). */
#include "lock.h"
#include "log.h"
#include "p11mod.h"
#include "rv.h"
#include "stats.h"
#include "token_internal.h"

#include <openssl/crypto.h>
#include <signal.h>
#include <stdlib.h>

#define IDLE_MS 60000

struct worker {
  struct p11s_token *token;
  struct p11s_session *session; /* NULL until needed, and after it was lost */
  bool counted_out;             /* no longer among token->workers */
};

static void drop_session(struct worker *w)
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

static void note_session_limit_locked(struct p11s_token *token, const struct p11s_slot_info *slot)
{
  if (!token->limit_known)
    token->limit = token->config.sessions;
  token->limit_known = true;
  if (slot->max_sessions != 0 && slot->max_sessions < token->limit)
    token->limit = (unsigned)slot->max_sessions;
}

/* For what was queued while the limit was not known. */
static void start_more_locked(struct p11s_token *token)
{
  size_t waiting = p11s_queue_length(token->queue);

  while (waiting > token->idle && token->workers < token->limit && !token->stopping &&
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
    note_session_limit_locked(token, p11s_session_slot(*ret));
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

/* A session that fits the job: the worker's own, or one for this job alone when it must write. */
static enum p11s_err session_for(struct worker *w, const struct p11s_job *job,
                                 struct p11s_session **ret, struct p11s_error *e)
{
  struct p11s_token *token = w->token;
  struct p11s_session *session = NULL;
  enum p11s_err result;

  if (!job->ops->rw && w->session != NULL) {
    *ret = w->session;
    return P11S_OK;
  }
  /* Counted beforehand: another worker may find no session left before this one is logged in. */
  if (!job->ops->rw)
    count_session(token, 1);
  result = open_session(token, job->ops->rw, &session, e);
  if (result == P11S_OK)
    result = p11s_token_log_in(token, session, job->pin, e);
  if (result != P11S_OK) {
    p11s_session_close(session);
    if (!job->ops->rw)
      count_session(token, -1);
    return result;
  }
  if (!job->ops->rw)
    w->session = session;
  *ret = session;
  return P11S_OK;
}

static void count_out_locked(struct worker *w)
{
  w->token->workers--;
  w->counted_out = true;
}

/* Whether a fresh session may do better: the old one is gone, or its signature was faulty. */
static bool worth_another_try(enum p11s_err result)
{
  return result == P11S_ERR_SIGNATURE ||
         (result == P11S_ERR_TOKEN && p11s_rv_is_lost(p11s_rv_last()));
}

static enum p11s_err try_job(struct worker *w, struct p11s_job *job, struct p11s_error *e)
{
  struct p11s_work work = {NULL, w->token, job->pin, 0};
  enum p11s_err result;

  p11s_rv_note(CKR_OK);
  result = session_for(w, job, &work.session, e);
  if (result != P11S_OK)
    return result;
  pthread_mutex_lock(&w->token->lock);
  work.epoch = w->token->epoch;
  pthread_mutex_unlock(&w->token->lock);
  result = job->ops->run(job, &work, e);
  if (job->ops->rw) {
    CK_RV rv = p11s_rv_last();

    p11s_session_close(work.session);
    p11s_rv_note(rv);
  }
  return result;
}

/* The token has no more sessions, but others of its workers hold some: they do the job, and no
   further worker is started. The worker's reference goes to the queue: counted out, it may touch
   nothing that the signer owns. */
static bool hand_back(struct worker *w, struct p11s_job *job)
{
  struct p11s_token *token = w->token;
  bool handed = false;

  if (p11s_rv_last() != CKR_SESSION_COUNT || w->session != NULL || job->ops->rw)
    return false;
  pthread_mutex_lock(&token->lock);
  if (token->with_session > 0 && !token->stopping && p11s_queue_push(token->queue, job)) {
    token->limit = token->with_session;
    pthread_cond_signal(&token->work);
    count_out_locked(w);
    handed = true;
  }
  pthread_mutex_unlock(&token->lock);
  return handed;
}

/* Takes over the worker's reference. */
static void run_job(struct worker *w, struct p11s_job *job)
{
  struct p11s_error error = {P11S_OK, ""};
  enum p11s_err result = try_job(w, job, &error);

  if (result != P11S_OK && worth_another_try(result)) {
    if (hand_back(w, job))
      return;
    p11s_log_debug("token '%s': %s; trying once more on a fresh session", w->token->slot,
                   error.text);
    p11s_stats_count(P11S_STAT_RETRIES);
    drop_session(w);
    error.code = P11S_OK;
    result = try_job(w, job, &error);
    if (result != P11S_OK && worth_another_try(result)) {
      if (hand_back(w, job))
        return;
      drop_session(w);
    }
  }
  if (result == P11S_OK)
    error.code = P11S_OK; /* what a function got over on its way is no result */
  pthread_mutex_lock(&w->token->lock);
  w->token->stats.jobs++;
  pthread_mutex_unlock(&w->token->lock);
  p11s_job_finish(job, &error);
  p11s_job_release(job);
}

/* The next job, or NULL when the worker is to end. */
static struct p11s_job *next_job(struct worker *w)
{
  struct p11s_token *token = w->token;
  uint64_t deadline = p11s_now_ms() + IDLE_MS;
  struct p11s_job *job = NULL;
  bool in_time = true;

  pthread_mutex_lock(&token->lock);
  while (!token->stopping && (job = p11s_queue_pop(token->queue)) == NULL &&
         (in_time || w->session != NULL)) {
    if (!in_time)
      deadline = p11s_now_ms() + IDLE_MS;
    token->idle++;
    in_time = p11s_cond_wait_until(&token->work, &token->lock, deadline);
    token->idle--;
  }
  /* Under the same lock as the last look at the queue, so that no job counts on this worker. */
  if (job == NULL && w->session == NULL)
    count_out_locked(w);
  pthread_mutex_unlock(&token->lock);
  return job;
}

static void *worker_main(void *arg)
{
  struct p11s_token *token = arg;
  struct worker w = {token, NULL, false};
  struct p11s_job *job;
  pthread_t before;
  bool join_before;

  (void)pthread_setname_np(pthread_self(), "p11s/worker");
  while (!w.counted_out && (job = next_job(&w)) != NULL)
    run_job(&w, job);
  drop_session(&w);
  OPENSSL_thread_stop(); /* for a stop that does not wait long enough to join this thread */
  pthread_mutex_lock(&token->lock);
  if (!w.counted_out)
    count_out_locked(&w);
  join_before = token->have_ended;
  before = token->ended;
  token->have_ended = true;
  token->ended = pthread_self();
  token->alive--;
  pthread_cond_broadcast(&token->change);
  pthread_mutex_unlock(&token->lock);
  /* So whoever joins the last one knows that all have ended: exit() takes OpenSSL and the PKCS#11
     library away from under a thread that is still ending. */
  if (join_before)
    (void)pthread_join(before, NULL);
  return NULL;
}

bool p11s_worker_start_locked(struct p11s_token *token)
{
  sigset_t all, before;
  pthread_t thread;
  bool started;

  sigfillset(&all);
  (void)pthread_sigmask(SIG_SETMASK, &all, &before);
  started = pthread_create(&thread, NULL, worker_main, token) == 0;
  (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (started) {
    token->workers++;
    token->alive++;
  }
  return started;
}

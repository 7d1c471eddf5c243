/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The threads behind a token: they alone call PKCS#11 for PowerDNS (token/token.h). */
#include "base/lock.h"
#include "base/log.h"
#include "base/owner.h"
#include "pkcs11/exclusive.h"
#include "pkcs11/rv.h"
#include "base/counters.h"
#include "base/thread.h"
#include "token/token_internal.h"

#include <openssl/crypto.h>
#include <stdlib.h>

#define IDLE_MS 60000

static void count_out_locked(struct p11s_worker *w)
{
  w->token->workers--;
  w->counted_out = true;
}

/* How far a try has got. */
struct attempt {
  bool had_session;
  bool fresh;      /* it was opened for this try */
  uint64_t series; /* the token's, when the job began on it, as are */
  uint64_t epoch;
  bool login_busy;
  uint64_t login_tries;
};

/* The login that was there may be made good by another worker before this one looks. */
static bool was_logged_out(const struct p11s_worker *w, const struct attempt *attempt)
{
  struct p11s_token *token = w->token;
  bool others;

  if (w->session == NULL || !p11s_session_logged_in(w->session))
    return w->session != NULL;
  p11s_lock(&token->lock);
  others = attempt->login_busy || token->login_tries != attempt->login_tries;
  p11s_unlock(&token->lock);
  return others;
}

/* Whether a fresh session may do better: the old one is gone, or its signature was faulty. A key
   that was not to be found on a session that was not logged in any more had gone with the login. */
static bool worth_another_try(const struct p11s_worker *w, const struct attempt *attempt,
                              const struct p11s_error *error)
{
  switch (error->code) {
  case P11S_ERR_SIGNATURE:
  case P11S_ERR_NO_TOKEN:
  case P11S_ERR_NO_SLOTS:
    return true;
  case P11S_ERR_NO_KEY:
    return attempt->had_session && !attempt->fresh && was_logged_out(w, attempt);
  case P11S_ERR_TOKEN:
  case P11S_ERR_NO_MODULE:
    return p11s_rv_is_lost(error->rv);
  default:
    return false;
  }
}

static enum p11s_err try_job(struct p11s_worker *w, struct p11s_job *job, struct attempt *attempt,
                             struct p11s_error *e)
{
  struct p11s_work work = {NULL, w->token, job->pin, 0, job->ops->unasked};
  enum p11s_err result;

  *attempt = (struct attempt){.fresh = w->session == NULL || job->ops->rw};
  w->unasked = job->ops->unasked;
  result = p11s_worker_session_for(w, job, &work.session, e);
  if (result != P11S_OK) {
    p11s_worker_look_after_module(w, result, e);
    return result;
  }
  attempt->had_session = true;
  p11s_lock(&w->token->lock);
  work.epoch = w->token->epoch;
  attempt->series = w->token->series;
  attempt->epoch = work.epoch;
  attempt->login_busy = w->token->login_busy;
  attempt->login_tries = w->token->login_tries;
  p11s_unlock(&w->token->lock);
  result = job->ops->run(job, &work, e);
  p11s_worker_look_after_module(w, result, e);
  if (job->ops->rw)
    p11s_session_close(work.session);
  return result;
}

/* The token has no more sessions, but others of its workers hold some: they do the job, and no
   further worker is started. The worker's reference goes to the queue: counted out, it may touch
   nothing that the signer owns. */
static bool hand_back(struct p11s_worker *w, struct p11s_job *job, const struct p11s_error *error)
{
  struct p11s_token *token = w->token;
  bool handed = false;

  if (error->rv != CKR_SESSION_COUNT || w->session != NULL || job->ops->rw)
    return false;
  p11s_lock(&token->lock);
  if (token->with_session > 0 && !token->stopping && p11s_queue_push(token->queue, job)) {
    token->limit = token->with_session;
    token->limited_ms = p11s_now_ms();
    pthread_cond_signal(&token->work);
    count_out_locked(w);
    handed = true;
  }
  p11s_unlock(&token->lock);
  return handed;
}

static enum p11s_err try_afresh(struct p11s_worker *w, struct p11s_job *job,
                                struct attempt *attempt, struct p11s_error *error)
{
  p11s_log_debug("token '%s': %s; trying once more on a fresh session", w->token->slot,
                 error->text);
  p11s_counter_count(P11S_STAT_RETRIES);
  p11s_worker_drop_session(w);
  error->code = P11S_OK;
  return try_job(w, job, attempt, error);
}

enum verdict { ENDED, AGAIN, HANDED_BACK };

static enum verdict judge_first(struct p11s_worker *w, struct p11s_job *job,
                                const struct attempt *attempt, struct p11s_error *error)
{
  if (p11s_worker_recover(w, error, attempt->had_session ? &attempt->epoch : NULL))
    return AGAIN;
  if (!worth_another_try(w, attempt, error))
    return ENDED;
  return hand_back(w, job, error) ? HANDED_BACK : AGAIN;
}

/* A session on which the last try failed is of no use to the next job. */
static enum verdict judge_last(struct p11s_worker *w, struct p11s_job *job,
                               const struct attempt *attempt, const struct p11s_error *error)
{
  if (!worth_another_try(w, attempt, error))
    return ENDED;
  if (hand_back(w, job, error))
    return HANDED_BACK;
  p11s_worker_drop_session(w);
  return ENDED;
}

/* false: the job was handed back. */
static bool try_twice(struct p11s_worker *w, struct p11s_job *job, struct attempt *attempt,
                      struct p11s_error *error)
{
  enum verdict verdict = ENDED;
  enum p11s_err result = try_job(w, job, attempt, error);

  if (result != P11S_OK)
    verdict = judge_first(w, job, attempt, error);
  if (verdict == AGAIN) {
    result = try_afresh(w, job, attempt, error);
    if (result != P11S_OK && attempt->had_session && p11s_worker_recover_again(w, error))
      result = try_afresh(w, job, attempt, error);
    if (result != P11S_OK)
      verdict = judge_last(w, job, attempt, error);
  }
  if (result == P11S_OK)
    error->code = P11S_OK; /* what a function got over on its way is no result */
  return verdict != HANDED_BACK;
}

/* What opening a session and logging in took is no measure of later signatures. */
static void note_rate(struct p11s_worker *w, const struct p11s_job *job,
                      const struct attempt *attempt, const struct p11s_error *error,
                      uint64_t begun_us)
{
  uint64_t took = p11s_now_us() - begun_us;

  if (!job->signs || attempt->fresh || error->code != P11S_OK)
    return;
  p11s_lock(&w->token->lock);
  p11s_speed_add(&w->token->stats.rate, w->sharing, took);
  p11s_unlock(&w->token->lock);
}

/* Takes over the worker's reference. */
static void run_job(struct p11s_worker *w, struct p11s_job *job)
{
  struct p11s_error error = {0};
  struct attempt attempt = {0};
  uint64_t begun_us = p11s_now_us();
  bool ended = try_twice(w, job, &attempt, &error);
  bool spoilt = w->session != NULL && p11s_session_is_spoilt(w->session);
  bool hung = p11s_token_note_end(w->token, w, ended, w->session != NULL && !spoilt);
  bool keeps = !job->ops->rw;

  if (ended) {
    p11s_owner_explain(&error);
    note_rate(w, job, &attempt, &error, begun_us);
    p11s_token_note_outcome(w->token, error.code, &error,
                            attempt.had_session ? &attempt.series : NULL, job->pin);
    p11s_job_finish(job, &error);
    p11s_job_release(job);
  }
  if (keeps && (hung || spoilt))
    p11s_worker_drop_session(w);
}

enum step { STEP_END, STEP_JOB, STEP_PROBE, STEP_LOOK, STEP_TIDY };

/* What the worker is to do next. After a minute without work a session is looked after: a lost
   token is better noticed before somebody needs it, and a connection kept alive; a worker without
   one ends. One worker looks at the token sooner, and stays. */
static enum step next_step_locked(struct p11s_worker *w, struct p11s_job **ret_job)
{
  struct p11s_token *token = w->token;
  uint64_t deadline = p11s_now_ms() + IDLE_MS, wake;
  bool in_time = true;

  token->idle -= w->comes_back;
  w->comes_back = false;
  while (!token->stopping) {
    if (w->session != NULL && w->series != token->series)
      return STEP_TIDY;
    *ret_job = p11s_queue_pop(token->queue);
    if (*ret_job != NULL)
      return STEP_JOB;
    if (token->retired || (!in_time && w->session == NULL && token->prober != w))
      return STEP_END;
    if (!in_time && w->session != NULL)
      return STEP_LOOK;
    if (!in_time)
      deadline = p11s_now_ms() + IDLE_MS;
    wake = deadline;
    if (p11s_token_probe_due_locked(token, w, &wake))
      return token->state == P11S_TOKEN_AWAY ? STEP_PROBE : STEP_LOOK;
    token->idle++;
    in_time = p11s_cond_wait_until(&token->work, &token->lock, wake) || wake != deadline;
    token->idle--;
  }
  return STEP_END;
}

static enum step next_step(struct p11s_worker *w, struct p11s_job **ret_job)
{
  struct p11s_token *token = w->token;
  enum step step;

  p11s_lock(&token->lock);
  step = next_step_locked(w, ret_job);
  if (step == STEP_JOB || step == STEP_LOOK) {
    p11s_token_note_begin_locked(token, w);
    w->sharing = p11s_token_busy_locked(token, 0);
    if (token->prober == w)
      token->prober = NULL; /* should this call hang, another may take over */
  }
  /* Under the same lock as the last look at the queue, so that no job counts on this worker. */
  if (step == STEP_END)
    count_out_locked(w);
  p11s_unlock(&token->lock);
  return step;
}

static void work(struct p11s_worker *w)
{
  struct p11s_job *job = NULL;

  while (!w->counted_out) {
    enum step step = next_step(w, &job);

    p11s_exclusive_enter(w->exclusive);
    switch (step) {
    case STEP_JOB:
      run_job(w, job);
      break;
    case STEP_PROBE:
      p11s_worker_probe(w);
      break;
    case STEP_LOOK:
      p11s_worker_look(w);
      break;
    case STEP_TIDY:
      p11s_worker_drop_session(w);
      break;
    case STEP_END:
      break;
    }
    p11s_exclusive_leave(w->exclusive);
  }
}

static void start_more_locked(struct p11s_token *token)
{
  size_t waiting = p11s_queue_length(token->queue);

  while (waiting > token->idle && p11s_token_has_room_locked(token) && !token->stopping &&
         p11s_worker_start_locked(token))
    waiting--;
}

static void *worker_main(void *arg)
{
  struct p11s_token *token = arg;
  struct p11s_worker w = {.token = token,
                          .exclusive = p11s_exclusive_get(token->engine),
                          .start_more_locked = start_more_locked};
  pthread_t before;
  bool join_before;

  (void)pthread_setname_np(pthread_self(), "p11s/worker");
  (void)p11s_owner_act(true);
  p11s_lock(&token->lock);
  LIST_INSERT_HEAD(&token->list, &w, in_list);
  p11s_unlock(&token->lock);
  work(&w);
  p11s_exclusive_enter(w.exclusive);
  p11s_worker_drop_session(&w);
  p11s_exclusive_leave(w.exclusive);
  OPENSSL_thread_stop(); /* for a stop that does not wait long enough to join this thread */
  p11s_lock(&token->lock);
  LIST_REMOVE(&w, in_list);
  if (token->prober == &w)
    token->prober = NULL;
  join_before = token->have_ended;
  before = token->ended;
  token->have_ended = true;
  token->ended = pthread_self();
  token->alive--;
  pthread_cond_broadcast(&token->change);
  p11s_unlock(&token->lock);
  /* So whoever joins the last one knows that all have ended: exit() takes OpenSSL and the PKCS#11
     library away from under a thread that is still ending. */
  if (join_before)
    (void)pthread_join(before, NULL);
  return NULL;
}

bool p11s_worker_start_locked(struct p11s_token *token)
{
  pthread_t thread;
  bool started = p11s_thread_start(&thread, worker_main, token);

  if (started) {
    token->workers++;
    token->alive++;
  }
  return started;
}

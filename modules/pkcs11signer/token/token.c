/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "token/token.h"

#include "base/lock.h"
#include "pkcs11/module.h"
#include "token/token_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct p11s_token *p11s_token_new(const char *engine, const char *slot,
                                  const struct p11s_token_config *config)
{
  struct p11s_token *token = calloc(1, sizeof *token);

  if (token == NULL)
    return NULL;
  token->config = *config;
  if (config->crowd != NULL)
    p11s_admission_add_token(config->crowd, true);
  token->limit = token->most = 1;
  token->idle_from_us = p11s_now_us();
  p11s_mutex_init(&token->lock, P11S_RANK_TOKEN);
  p11s_cond_init(&token->work);
  p11s_cond_init(&token->change);
  token->engine = strdup(engine);
  token->slot = strdup(slot);
  token->queue = p11s_queue_new();
  if (token->engine == NULL || token->slot == NULL || token->queue == NULL) {
    p11s_token_free(token);
    return NULL;
  }
  return token;
}

void p11s_token_free(struct p11s_token *token)
{
  if (token == NULL)
    return;
  /* A worker still out there uses the token: leaking it is the lesser evil. */
  if (token->queue != NULL && !p11s_token_stop(token, p11s_now_ms() + 2000))
    return;
  if (token->config.crowd != NULL)
    p11s_admission_add_token(token->config.crowd, false);
  p11s_queue_free(token->queue);
  p11s_secret_release(token->probe_pin);
  p11s_secret_release(token->no_login_pin);
  pthread_cond_destroy(&token->work);
  pthread_cond_destroy(&token->change);
  p11s_mutex_destroy(&token->lock);
  free(token->engine);
  free(token->slot);
  free(token);
}

const char *p11s_token_engine(const struct p11s_token *token)
{
  return token->engine;
}

const char *p11s_token_slot(const struct p11s_token *token)
{
  return token->slot;
}

static enum p11s_err queue_locked(struct p11s_token *token, struct p11s_job *job,
                                  struct p11s_error *e)
{
  if (token->stopping)
    return p11s_error_set(e, P11S_ERR_STOPPED, "the server is going down");
  atomic_store(&token->retired, false);
  token->asked = token->asked || !job->ops->unasked;
  if (token->state == P11S_TOKEN_AWAY)
    return p11s_error_set(e, token->trouble.code, "%s", token->trouble.text);
  /* Idle workers not yet there have jobs waiting for them: count those off. */
  if (p11s_queue_length(token->queue) >= token->idle && p11s_token_has_room_locked(token) &&
      !p11s_worker_start_locked(token) && token->workers == 0)
    return p11s_error_set(e, P11S_ERR_NOMEM, "no thread could be started for token '%s'",
                          token->slot);
  if (!p11s_queue_push(token->queue, job))
    return p11s_error_no_memory(e);
  (void)p11s_job_acquire(job);
  return P11S_OK;
}

/* A job that was taken out of the queue. NULL is allowed. */
static void drop(struct p11s_job *job)
{
  static const struct p11s_error dropped = {
      .code = P11S_ERR_BUSY,
      .text = "nobody waited for this signature any more, and too many were like that"};

  if (job == NULL)
    return;
  p11s_job_finish(job, &dropped);
  p11s_job_release(job);
}

static enum p11s_err submit(struct p11s_token *token, struct p11s_job *job, bool waits,
                            struct p11s_error *e)
{
  struct p11s_job *excess = NULL;
  enum p11s_err result;
  bool wake;

  p11s_lock(&token->lock);
  if (waits)
    job->waiters++;
  result = queue_locked(token, job, e);
  if (result == P11S_OK)
    excess = p11s_queue_take_excess(token->queue, job);
  wake = result == P11S_OK && token->idle > 0;
  p11s_unlock(&token->lock);
  if (wake)
    pthread_cond_signal(&token->work);
  drop(excess);
  return result;
}

enum p11s_err p11s_token_submit(struct p11s_token *token, struct p11s_job *job,
                                struct p11s_error *e)
{
  return submit(token, job, false, e);
}

/* Others who wait for it see the error, too. */
static void submit_or_finish(struct p11s_token *token, struct p11s_job *job, bool waits)
{
  struct p11s_error error = {0};

  if (submit(token, job, waits, &error) != P11S_OK)
    p11s_job_finish(job, &error);
}

/* One more waits for a job that others have submitted, */
static void join(struct p11s_token *token, struct p11s_job *job)
{
  p11s_lock(&token->lock);
  job->waiters++;
  job->background = false;
  p11s_queue_move(token->queue, job);
  p11s_unlock(&token->lock);
}

/* or one less. */
static void leave(struct p11s_token *token, struct p11s_job *job)
{
  struct p11s_job *excess;

  p11s_lock(&token->lock);
  job->waiters--;
  p11s_queue_move(token->queue, job);
  excess = p11s_queue_take_excess(token->queue, job);
  p11s_unlock(&token->lock);
  drop(excess);
}

/* The deadline came first: whose fault that seems to be. */
static enum p11s_err not_in_time(const struct p11s_token *token, struct p11s_error *e)
{
  char names[256], own[80];

  if (!p11s_module_waits_for(token->engine, names, sizeof names))
    return p11s_error_set(e, P11S_ERR_TIMEOUT,
                          "token '%s' of PKCS#11 module '%s' did not answer in time", token->slot,
                          token->engine);
  (void)snprintf(own, sizeof own, "'%s'", token->engine);
  return p11s_error_set(e, P11S_ERR_TIMEOUT,
                        "token '%s' did not answer in time: PKCS#11 module %s has not come back "
                        "from being loaded and initialized%s",
                        token->slot, names,
                        strcmp(names, own) == 0
                            ? ""
                            : "; if PowerDNS does not need it, put disable-in: pdns_server "
                              "pdnsutil pkcs11signer into its .module file");
}

/* For who has been counted as a waiter. */
static enum p11s_err wait_for(struct p11s_token *token, struct p11s_job *job, uint64_t deadline_ms,
                              struct p11s_error *e)
{
  enum p11s_err result = p11s_job_wait(job, deadline_ms, e);

  if (result != P11S_ERR_TIMEOUT)
    return result;
  leave(token, job);
  return p11s_job_is_done(job) ? result : not_in_time(token, e);
}

/* Waits for it, and submits it first when it is new. */
static enum p11s_err run(struct p11s_token *token, struct p11s_job *job, bool is_new,
                         uint64_t deadline_ms, struct p11s_error *e)
{
  if (is_new)
    submit_or_finish(token, job, true);
  else
    join(token, job);
  return wait_for(token, job, deadline_ms, e);
}

enum p11s_err p11s_token_run(struct p11s_token *token, struct p11s_job *job, uint64_t deadline_ms,
                             struct p11s_error *e)
{
  return run(token, job, true, deadline_ms, e);
}

static enum p11s_err run_in_crowd(struct p11s_token *token, struct p11s_job *job, bool is_new,
                                  struct p11s_wait wait, uint64_t signature_ms,
                                  struct p11s_error *e)
{
  struct p11s_admission *crowd = token->config.crowd;
  uint64_t now = p11s_now_ms();
  enum p11s_err result;

  if (!p11s_admission_enter(crowd, &token->crowd, job->lane, now, signature_ms, &wait)) {
    if (is_new)
      submit_or_finish(token, job, false);
    return p11s_error_set(e, P11S_ERR_BUSY,
                          "as many queries as may wait for signatures of this token already: this "
                          "one is being made, ask again");
  }
  result = run(token, job, is_new, wait.deadline_ms, e);
  p11s_admission_leave(crowd, &token->crowd, job->lane, now, p11s_now_ms());
  return result;
}

enum p11s_err p11s_token_await(struct p11s_token *token, struct p11s_job *job, bool is_new,
                               struct p11s_wait wait, struct p11s_error *e)
{
  struct p11s_error error = {0};
  uint64_t signature_ms;
  enum p11s_err result;

  if (!is_new && p11s_job_is_done(job))
    return p11s_job_wait(job, wait.deadline_ms, e);
  if (p11s_token_admit(token, wait.query, &signature_ms, &error) != P11S_OK) {
    if (is_new)
      p11s_job_finish(job, &error);
    if (e != NULL)
      *e = error;
    return error.code;
  }
  result = wait.query && token->config.crowd != NULL
               ? run_in_crowd(token, job, is_new, wait, signature_ms, e)
               : run(token, job, is_new, wait.deadline_ms, e);
  if (result == P11S_ERR_TIMEOUT && wait.query)
    p11s_token_note_overdue(token);
  return result;
}

bool p11s_token_is_free(struct p11s_token *token, uint64_t *ret_idle_us)
{
  bool is_free;

  p11s_lock(&token->lock);
  *ret_idle_us = token->idle_us;
  if (token->idle_from_us != 0)
    *ret_idle_us += p11s_now_us() - token->idle_from_us;
  is_free = token->idle_from_us != 0 && p11s_queue_length(token->queue) == 0 && !token->stopping &&
            !token->stuck && token->state != P11S_TOKEN_AWAY;
  p11s_unlock(&token->lock);
  return is_free;
}

bool p11s_token_stop(struct p11s_token *token, uint64_t deadline_ms)
{
  static const struct p11s_error stopped = {.code = P11S_ERR_STOPPED,
                                            .text = "the server is going down"};
  struct p11s_job *job;
  pthread_t last;
  bool all_back, join;

  if (!p11s_mutex_lock_until(&token->lock, deadline_ms))
    return false;
  token->stopping = true;
  pthread_cond_broadcast(&token->work);
  while ((job = p11s_queue_pop(token->queue)) != NULL) {
    p11s_unlock(&token->lock);
    p11s_job_finish(job, &stopped);
    p11s_job_release(job);
    if (!p11s_mutex_lock_until(&token->lock, deadline_ms))
      return false;
  }
  while (token->alive > 0 && p11s_cond_wait_until(&token->change, &token->lock, deadline_ms))
    ;
  all_back = token->alive == 0;
  join = all_back && token->have_ended;
  last = token->ended;
  if (join)
    token->have_ended = false;
  p11s_unlock(&token->lock);
  /* It waits for nothing but those before it, which have as little left to do. */
  if (join)
    (void)pthread_join(last, NULL);
  return all_back;
}

void p11s_token_get_stats(struct p11s_token *token, struct p11s_token_stats *ret)
{
  p11s_lock(&token->lock);
  *ret = token->stats;
  ret->workers = token->workers;
  ret->room = token->limit_known ? token->limit : 0;
  ret->queued = (unsigned)p11s_queue_length(token->queue);
  ret->state = token->stuck ? P11S_TOKEN_STUCK : token->state;
  ret->since_ms = token->stuck ? token->progress_ms : token->since_ms;
  ret->seen_ms = token->stuck ? p11s_now_ms() : token->seen_ms; /* no call has come back so far */
  ret->retired = token->retired;
  ret->found = token->found;
  memcpy(ret->trouble, token->trouble.text, sizeof ret->trouble);
  if (ret->state == P11S_TOKEN_READY && token->no_login.text[0] != '\0') {
    ret->state = P11S_TOKEN_NO_LOGIN;
    ret->since_ms = token->no_login_ms;
    memcpy(ret->trouble, token->no_login.text, sizeof ret->trouble);
  }
  p11s_unlock(&token->lock);
}

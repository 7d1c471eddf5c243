/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The queue of a token and its stop. The jobs are the test's own and wait where it tells them to; a
   worker's sessions are test_worker.c's matter. */
#include "base/lock.h"
#include "rig/rig.h"
#include "token/token.h"
#include "token/token_internal.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define JOBS 16

/* One run of the queue: jobs note their number, and wait for the gate. */
struct plan {
  struct rig_event started;
  struct rig_event gate;
  struct rig_event finished;
  struct rig_event destroyed;
  pthread_mutex_t lock;
  int order[JOBS];
  unsigned count;
};

struct test_job {
  struct p11s_job job;
  struct plan *plan;
  int number;
  bool gated;
};

static enum p11s_err run(struct p11s_job *job, struct p11s_work *work, struct p11s_error *e)
{
  struct test_job *j = (struct test_job *)job;

  (void)work;
  (void)e;
  pthread_mutex_lock(&j->plan->lock);
  if (j->plan->count < JOBS)
    j->plan->order[j->plan->count++] = j->number;
  pthread_mutex_unlock(&j->plan->lock);
  rig_event_note(&j->plan->started);
  if (j->gated)
    rig_event_wait(&j->plan->gate, 1);
  return P11S_OK;
}

static void finished(struct p11s_job *job)
{
  rig_event_note(&((struct test_job *)job)->plan->finished);
}

static void destroy(struct p11s_job *job)
{
  struct test_job *j = (struct test_job *)job;
  struct plan *plan = j->plan;

  p11s_job_fini(job);
  free(j);
  rig_event_note(&plan->destroyed);
}

static const struct p11s_job_ops ops = {run, finished, destroy, false, false};

static struct plan *new_plan(void)
{
  static const struct rig_event fresh = RIG_EVENT_INIT;
  struct plan *plan = calloc(1, sizeof *plan);

  assert_non_null(plan);
  plan->started = plan->gate = plan->finished = plan->destroyed = fresh;
  pthread_mutex_init(&plan->lock, NULL);
  return plan;
}

static struct p11s_job *new_job(struct plan *plan, int number, bool gated)
{
  struct p11s_secret *pin = p11s_secret_new(RIG_PIN, strlen(RIG_PIN));
  struct test_job *j = calloc(1, sizeof *j);

  assert_non_null(j);
  p11s_job_init(&j->job, &ops, pin);
  p11s_secret_release(pin);
  j->plan = plan;
  j->number = number;
  j->gated = gated;
  return &j->job;
}

static struct p11s_token *new_token(const char *engine, unsigned sessions)
{
  struct p11s_token_config config = {.sessions = sessions, .guard = rig_guard()};
  struct p11s_token *token = p11s_token_new(engine, RIG_TOKEN, &config);

  assert_non_null(token);
  return token;
}

/* Submits a job and keeps no reference. */
static enum p11s_err submit(struct p11s_token *token, struct plan *plan, int number, bool gated,
                            struct p11s_error *e)
{
  struct p11s_job *job = new_job(plan, number, gated);
  enum p11s_err result = p11s_token_submit(token, job, e);

  p11s_job_release(job);
  return result;
}

static struct p11s_token_stats stats_of(struct p11s_token *token)
{
  struct p11s_token_stats stats;

  p11s_token_get_stats(token, &stats);
  return stats;
}

/* Until all workers wait for work: one on its way back from a job cannot take the next. */
static void settle(struct p11s_token *token)
{
  bool idle = false;

  while (!idle) {
    p11s_lock(&token->lock);
    idle = token->idle == token->workers;
    p11s_unlock(&token->lock);
    sched_yield();
  }
}

static void free_token(struct p11s_token *token)
{
  assert_true(p11s_token_stop(token, rig_later()));
  p11s_token_free(token);
}

static void keeps_its_names(void **state)
{
  char engine[] = RIG_MODULE;
  struct p11s_token *token = new_token(engine, 1);

  (void)state;
  engine[0] = '?';
  assert_string_equal(p11s_token_engine(token), RIG_MODULE);
  assert_string_equal(p11s_token_slot(token), RIG_TOKEN);
  assert_int_equal(stats_of(token).workers, 0); /* nothing runs before there is work */
  free_token(token);
  p11s_token_free(NULL);
}

static void one_worker_serves_one_caller(void **state)
{
  struct p11s_token *token = new_token(RIG_MODULE, 8);
  struct plan *plan = new_plan();
  struct p11s_error e;

  (void)state;
  for (int i = 0; i < JOBS; i++) {
    struct p11s_job *job = new_job(plan, i, false);

    assert_int_equal(p11s_token_run(token, job, rig_later(), &e), P11S_OK);
    p11s_job_release(job);
    settle(token);
  }
  assert_int_equal(rig_event_count(&plan->destroyed), JOBS);
  assert_int_equal(stats_of(token).jobs, JOBS);
  assert_int_equal(stats_of(token).workers, 1);
  assert_int_equal(stats_of(token).sessions, 1);
  assert_int_equal(rig_fake()->calls("C_Login"), 1);
  free_token(token);
  free(plan);
}

static void workers_come_as_work_does(void **state)
{
  struct p11s_token *token = new_token(RIG_MODULE, 3);
  struct plan *plan = new_plan();

  (void)state;
  for (int i = 0; i < 5; i++)
    assert_int_equal(submit(token, plan, i, true, NULL), P11S_OK);
  rig_event_wait(&plan->started, 3); /* three at once: none has passed the gate */
  assert_int_equal(stats_of(token).workers, 3);
  assert_int_equal(stats_of(token).queued, 2);
  assert_int_equal(rig_event_count(&plan->started), 3);
  rig_event_note(&plan->gate);
  rig_event_wait(&plan->destroyed, 5);
  assert_int_equal(stats_of(token).workers, 3);
  assert_int_equal(stats_of(token).queued, 0);
  assert_int_equal(stats_of(token).jobs, 5);
  free_token(token);
  free(plan);
}

static void first_come_first_served(void **state)
{
  struct p11s_token *token = new_token(RIG_MODULE, 1);
  struct plan *plan = new_plan();

  (void)state;
  for (int i = 0; i < JOBS; i++)
    assert_int_equal(submit(token, plan, i, i == 0, NULL), P11S_OK);
  rig_event_note(&plan->gate);
  rig_event_wait(&plan->destroyed, JOBS);
  for (int i = 0; i < JOBS; i++)
    assert_int_equal(plan->order[i], i);
  free_token(token);
  free(plan);
}

static unsigned waiters_of(struct p11s_token *token, struct p11s_job *job)
{
  unsigned waiters;

  p11s_lock(&token->lock);
  waiters = job->waiters;
  p11s_unlock(&token->lock);
  return waiters;
}

struct asker {
  struct p11s_token *token;
  struct p11s_job *job;
  bool is_new;
};

static void *ask(void *arg)
{
  struct asker *a = arg;

  return (void *)(intptr_t)p11s_token_await(a->token, a->job, a->is_new,
                                            (struct p11s_wait){.deadline_ms = rig_later()}, NULL);
}

/* Who comes is next; what is left is done when nobody waits; the rest, of one zone, is dropped. */
static void who_waits_goes_first(void **state)
{
  struct p11s_token *token = new_token(RIG_MODULE, 1);
  struct plan *plan = new_plan();
  struct p11s_job *left[P11S_QUEUE_LEFT_ZONE + 2], *late = new_job(plan, 77, false);
  struct asker again, first;
  pthread_t threads[2];
  struct p11s_error e;

  (void)state;
  assert_int_equal(submit(token, plan, 0, true, NULL), P11S_OK);
  rig_event_wait(&plan->started, 1);
  for (int i = 0; i < P11S_QUEUE_LEFT_ZONE + 2; i++) {
    left[i] = new_job(plan, i + 1, false);
    left[i]->urgent = false;
    assert_int_equal(p11s_token_run(token, left[i], 0, NULL), P11S_ERR_TIMEOUT);
  }
  assert_int_equal(stats_of(token).queued, P11S_QUEUE_LEFT_ZONE);
  for (int i = 0; i < 2; i++) { /* the oldest */
    assert_int_equal(p11s_job_wait(left[i], 0, &e), P11S_ERR_BUSY);
    assert_non_null(strstr(e.text, "nobody"));
  }
  late->urgent = false;
  first = (struct asker){token, late, true};
  assert_int_equal(pthread_create(&threads[0], NULL, ask, &first), 0);
  while (waiters_of(token, late) == 0)
    sched_yield();
  again = (struct asker){token, left[9], false};
  assert_int_equal(pthread_create(&threads[1], NULL, ask, &again), 0);
  while (waiters_of(token, left[9]) == 0)
    sched_yield();
  rig_event_note(&plan->gate);
  for (int i = 0; i < 2; i++) {
    void *seen;

    assert_int_equal(pthread_join(threads[i], &seen), 0);
    assert_int_equal((intptr_t)seen, P11S_OK);
  }
  rig_event_wait(&plan->finished, P11S_QUEUE_LEFT_ZONE + 4);
  assert_memory_equal(plan->order, ((int[]){0, 77, 10, 3, 4, 5}), 6 * sizeof(int));
  for (int i = 0; i < P11S_QUEUE_LEFT_ZONE + 2; i++)
    p11s_job_release(left[i]);
  p11s_job_release(late);
  free_token(token);
  free(plan);
}

/* What keeps a job from being queued is told to all who wait for it. */
static void *wait_for_job(void *arg)
{
  struct p11s_error e = {0};

  (void)p11s_job_wait(arg, rig_later(), &e);
  p11s_job_release(arg);
  return (void *)(intptr_t)e.code;
}

static void what_cannot_be_queued_is_finished(void **state)
{
  struct p11s_token *token = new_token(RIG_MODULE, 1);
  struct plan *plan = new_plan();
  struct p11s_job *job = new_job(plan, 3, false);
  struct p11s_error e = {0};
  pthread_t other;
  void *seen;

  (void)state;
  assert_true(p11s_token_stop(token, rig_later()));
  assert_int_equal(p11s_token_submit(token, job, &e), P11S_ERR_STOPPED);
  assert_int_equal(e.code, P11S_ERR_STOPPED);
  assert_int_equal(p11s_job_wait(job, 0, NULL), P11S_ERR_TIMEOUT); /* not by submitting */
  assert_int_equal(pthread_create(&other, NULL, wait_for_job, p11s_job_acquire(job)), 0);
  assert_int_equal(p11s_token_run(token, job, rig_later(), &e), P11S_ERR_STOPPED);
  assert_int_equal(pthread_join(other, &seen), 0);
  assert_int_equal((intptr_t)seen, P11S_ERR_STOPPED);
  assert_int_equal(rig_event_count(&plan->finished), 1);
  p11s_job_release(job);
  free_token(token);
  free(plan);
}

static void caller_may_stop_waiting(void **state)
{
  struct p11s_token *token = new_token(RIG_MODULE, 1);
  struct plan *plan = new_plan();
  struct p11s_job *job = new_job(plan, 0, true);
  struct p11s_error e;

  (void)state;
  assert_int_equal(p11s_token_run(token, job, p11s_now_ms(), &e), P11S_ERR_TIMEOUT);
  assert_non_null(strstr(e.text, "PKCS#11 module '" RIG_MODULE "'"));
  p11s_job_release(job);
  rig_event_wait(&plan->started, 1);
  assert_int_equal(rig_event_count(&plan->destroyed), 0);
  rig_event_note(&plan->gate);
  rig_event_wait(&plan->destroyed, 1);
  free_token(token);
  free(plan);
}

static void stop_ends_what_waits(void **state)
{
  struct p11s_token *token = new_token(RIG_MODULE, 1);
  struct plan *plan = new_plan();
  struct p11s_job *running = new_job(plan, 0, true), *waiting = new_job(plan, 1, false);
  struct p11s_job *late = new_job(plan, 2, false);
  struct p11s_error e;
  uint64_t deadline;

  (void)state;
  assert_int_equal(p11s_token_submit(token, running, NULL), P11S_OK);
  rig_event_wait(&plan->started, 1);
  assert_int_equal(p11s_token_submit(token, waiting, NULL), P11S_OK);
  deadline = p11s_now_ms() + 50;
  assert_false(p11s_token_stop(token, deadline));
  assert_true(p11s_now_ms() >= deadline);
  assert_int_equal(p11s_job_wait(waiting, 0, &e), P11S_ERR_STOPPED);
  assert_int_equal(p11s_job_wait(running, 0, &e), P11S_ERR_TIMEOUT);
  assert_int_equal(stats_of(token).workers, 1);
  assert_int_equal(p11s_token_run(token, late, rig_later(), &e), P11S_ERR_STOPPED);
  assert_int_equal(stats_of(token).workers, 1);

  rig_event_note(&plan->gate);
  assert_true(p11s_token_stop(token, rig_later()));
  assert_int_equal(stats_of(token).workers, 0);
  assert_int_equal(p11s_job_wait(running, 0, &e), P11S_OK);
  assert_int_equal(plan->count, 1);
  assert_true(p11s_token_stop(token, 0)); /* nothing is left to wait for */
  p11s_job_release(running);
  p11s_job_release(waiting);
  p11s_job_release(late);
  p11s_token_free(token);
  free(plan);
}

/* An exit handler may have interrupted the very thread that holds the lock. */
static void *stop_in_thread(void *arg)
{
  return (void *)(intptr_t)p11s_token_stop(arg, p11s_now_ms() + 20);
}

static void stop_gives_up_on_a_lock(void **state)
{
  struct p11s_token *token = new_token(RIG_MODULE, 1);
  pthread_t other;
  void *result;

  (void)state;
  p11s_lock(&token->lock);
  assert_int_equal(pthread_create(&other, NULL, stop_in_thread, token), 0);
  assert_int_equal(pthread_join(other, &result), 0);
  p11s_unlock(&token->lock);
  assert_int_equal((intptr_t)result, false);
  free_token(token);
}

static void no_module_no_token(void **state)
{
  struct p11s_token_config config = {.sessions = 2, .guard = rig_guard()};
  struct p11s_token *token = new_token("nosuch", 2);
  struct plan *plan = new_plan();
  struct p11s_job *job = new_job(plan, 0, false);
  struct p11s_error e;

  (void)state;
  assert_int_equal(p11s_token_run(token, job, rig_later(), &e), P11S_ERR_NO_MODULE);
  assert_non_null(strstr(e.text, "nosuch"));
  assert_non_null(strstr(e.text, RIG_MODULE));
  p11s_job_release(job);
  free_token(token);

  token = p11s_token_new(RIG_MODULE, "elsewhere", &config);
  job = new_job(plan, 1, false);
  assert_int_equal(p11s_token_run(token, job, rig_later(), &e), P11S_ERR_NO_TOKEN);
  assert_non_null(strstr(e.text, "elsewhere"));
  assert_int_equal(stats_of(token).sessions, 0);
  assert_int_equal(stats_of(token).jobs, 1);
  p11s_job_release(job);
  free_token(token);
  assert_int_equal(plan->count, 0);
  free(plan);
}

struct crowd {
  struct p11s_token *token;
  struct plan *plan;
};

static void *submit_many(void *arg)
{
  struct crowd *crowd = arg;

  for (int i = 0; i < 100; i++) {
    struct p11s_job *job = new_job(crowd->plan, i, false);

    /* every third caller does not wait */
    (void)p11s_token_run(crowd->token, job, i % 3 == 0 ? 0 : rig_later(), NULL);
    p11s_job_release(job);
  }
  return NULL;
}

/* For the sanitizers: everything at once. */
static void crowd_is_served(void **state)
{
  struct crowd crowd = {new_token(RIG_MODULE, 3), new_plan()};
  pthread_t threads[6];

  (void)state;
  for (int i = 0; i < 6; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, submit_many, &crowd), 0);
  for (int i = 0; i < 6; i++)
    assert_int_equal(pthread_join(threads[i], NULL), 0);
  rig_event_wait(&crowd.plan->destroyed, 600);
  assert_int_equal(stats_of(crowd.token).jobs, 600);
  assert_in_range(stats_of(crowd.token).workers, 1, 3);
  free_token(crowd.token);
  free(crowd.plan);
}

int main(void)
{
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(keeps_its_names, rig_reset),
      cmocka_unit_test_setup(one_worker_serves_one_caller, rig_reset),
      cmocka_unit_test_setup(workers_come_as_work_does, rig_reset),
      cmocka_unit_test_setup(first_come_first_served, rig_reset),
      cmocka_unit_test_setup(who_waits_goes_first, rig_reset),
      cmocka_unit_test_setup(what_cannot_be_queued_is_finished, rig_reset),
      cmocka_unit_test_setup(caller_may_stop_waiting, rig_reset),
      cmocka_unit_test_setup(stop_ends_what_waits, rig_reset),
      cmocka_unit_test_setup(stop_gives_up_on_a_lock, rig_reset),
      cmocka_unit_test_setup(no_module_no_token, rig_reset),
      cmocka_unit_test_setup(crowd_is_served, rig_reset),
  };

  return cmocka_run_group_tests_name("token", tests, rig_setup, rig_teardown);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What workers do around a job, the test's own: sessions, login, another try, their end. */
/*
 * wrap: p11s_now_ms
 */
#include "base/lock.h"
#include "base/log.h"
#include "pkcs11/exclusive.h"
#include "pkcs11/restart.h"
#include "pkcs11/session_internal.h"
#include "rig/rig.h"
#include "token/token.h"
#include "token/token_internal.h"

#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define THREADS 8
#define RUNS_MAX 8

/* Linked in place of p11s_now_ms(): a test may set the core's clock back, or, by a number that
   wraps, forward. */
uint64_t __real_p11s_now_ms(void);
uint64_t __wrap_p11s_now_ms(void);
static atomic_ullong clock_back_ms;

uint64_t __wrap_p11s_now_ms(void)
{
  return __real_p11s_now_ms() - atomic_load(&clock_back_ms);
}

/* Linked in place of p11s_module_restart(): SoftHSM's token would be in another slot afterwards. */
bool __wrap_p11s_module_restart(const char *name, struct p11s_exclusive *exclusive,
                                unsigned interval_ms);
static atomic_uint restarts;

bool __wrap_p11s_module_restart(const char *name, struct p11s_exclusive *exclusive,
                                unsigned interval_ms)
{
  (void)name;
  (void)exclusive;
  (void)interval_ms;
  atomic_fetch_add(&restarts, 1);
  return false;
}

/* -- a job that does what it is told and notes what it was given */

struct test_job {
  struct p11s_job job;
  unsigned failures; /* so many runs fail, with: */
  enum p11s_err result;
  CK_RV rv;
  bool stain; /* leaves an error behind although all is well */
  struct rig_event *started, *exclusive;

  unsigned runs;
  CK_SESSION_HANDLE session[RUNS_MAX];
  CK_STATE state[RUNS_MAX];
  uint64_t epoch[RUNS_MAX];
  char thread[16];
  sigset_t blocked;
};

static enum p11s_err run(struct p11s_job *job, struct p11s_work *work, struct p11s_error *e)
{
  struct test_job *j = (struct test_job *)job;
  CK_SESSION_INFO info = {0};
  CK_RV rv;

  if (j->started != NULL)
    rig_event_note(j->started);
  if (j->exclusive != NULL)
    rig_event_wait(j->exclusive, 1);
  j->session[j->runs] = work->session->handle;
  j->epoch[j->runs] = work->epoch;
  rv = rig_fake()->behind()->C_GetSessionInfo(j->session[j->runs], &info);
  j->state[j->runs] = info.state;
  (void)pthread_getname_np(pthread_self(), j->thread, sizeof j->thread);
  (void)pthread_sigmask(SIG_BLOCK, NULL, &j->blocked);
  if (j->runs++ < j->failures) {
    return p11s_rv_put(e, j->rv != CKR_OK ? j->rv : rv,
                       p11s_error_set(e, j->result, "run %u failed", j->runs));
  }
  if (j->stain)
    (void)p11s_error_set(e, P11S_ERR_NO_KEY, "something was not there, which is no matter");
  return P11S_OK;
}

static void destroy(struct p11s_job *job)
{
  p11s_job_fini(job);
  free(job);
}

static const struct p11s_job_ops ops = {run, NULL, destroy, false, false};
static const struct p11s_job_ops rw_ops = {run, NULL, destroy, true, false};

static struct test_job *new_job(const struct p11s_job_ops *with, const char *pin)
{
  struct p11s_secret *secret = pin != NULL ? p11s_secret_new(pin, strlen(pin)) : NULL;
  struct test_job *j = calloc(1, sizeof *j);

  assert_non_null(j);
  p11s_job_init(&j->job, with, secret);
  p11s_secret_release(secret);
  return j;
}

static enum p11s_err run_on(struct p11s_token *token, struct test_job *j, struct p11s_error *e)
{
  return p11s_token_run(token, &j->job, rig_later(), e);
}

/* A job that just succeeds, or meets what is in its way. */
static enum p11s_err plain(struct p11s_token *token, const char *pin, struct p11s_error *e)
{
  struct test_job *j = new_job(&ops, pin);
  enum p11s_err result = run_on(token, j, e);

  p11s_job_release(&j->job);
  return result;
}

static struct p11s_token *new_token(unsigned sessions)
{
  struct p11s_token_config config = {.sessions = sessions, .guard = rig_guard()};
  struct p11s_token *token = p11s_token_new(RIG_MODULE, RIG_TOKEN, &config);

  assert_non_null(token);
  return token;
}

static void end_token(struct p11s_token *token)
{
  assert_true(p11s_token_stop(token, rig_later()));
  p11s_token_free(token);
}

static void free_token(struct p11s_token *token)
{
  end_token(token);
  /* whatever the test did, no session is left open */
  assert_int_equal(rig_fake()->calls("C_CloseSession"), rig_fake()->calls("C_OpenSession"));
}

static struct p11s_token_stats stats_of(struct p11s_token *token)
{
  struct p11s_token_stats stats;

  p11s_token_get_stats(token, &stats);
  return stats;
}

static void until_workers(struct p11s_token *token, unsigned n)
{
  while (stats_of(token).workers != n)
    sched_yield();
}

/* -- tests */

static void one_session_for_many_jobs(void **state)
{
  struct p11s_token *token = new_token(1);

  (void)state;
  for (int i = 0; i < 20; i++)
    assert_int_equal(plain(token, RIG_PIN, NULL), P11S_OK);
  assert_int_equal(rig_fake()->calls("C_OpenSession"), 1);
  assert_int_equal(rig_fake()->calls("C_Login"), 1);
  assert_int_equal(stats_of(token).sessions, 1);
  assert_int_equal(stats_of(token).logins, 1);
  free_token(token);
}

static void no_read_only_sessions(void **state)
{
  static const CK_RV refusals[] = {CKR_FUNCTION_FAILED, CKR_SESSION_PARALLEL_NOT_SUPPORTED};

  (void)state;
  for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
    struct p11s_token *token = new_token(1);
    struct test_job *j = new_job(&ops, RIG_PIN), *lost = new_job(&ops, RIG_PIN);
    struct p11s_error e;

    rig_fake()->reset();
    rig_fake()->refuse_read_only(refusals[i]);
    if (run_on(token, j, &e) != P11S_OK)
      fail_msg("%s", e.text);
    assert_int_equal(j->state[0], CKS_RW_USER_FUNCTIONS);
    assert_int_equal(rig_fake()->calls("C_OpenSession"), 2);
    lost->failures = 1;
    lost->result = P11S_ERR_TOKEN;
    lost->rv = CKR_DEVICE_ERROR;
    assert_int_equal(run_on(token, lost, NULL), P11S_OK);
    assert_int_equal(rig_fake()->calls("C_OpenSession"), 3); /* remembered */
    p11s_job_release(&lost->job);
    p11s_job_release(&j->job);
    end_token(token);
  }
}

/* What was remembered does not outlive the reason. */
static void read_only_sessions_after_all(void **state)
{
  struct p11s_token *token = new_token(1);
  struct test_job *j = new_job(&ops, RIG_PIN);
  struct p11s_error e;

  (void)state;
  rig_fake()->refuse_read_only(CKR_FUNCTION_FAILED);
  assert_int_equal(plain(token, RIG_PIN, NULL), P11S_OK);
  rig_fake()->reset();
  rig_fake()->token_info(CKF_WRITE_PROTECTED, 0, 0);
  rig_fake()->refuse("C_OpenSession", 1, 1, CKR_TOKEN_WRITE_PROTECTED);
  j->failures = 1;
  j->result = P11S_ERR_TOKEN;
  j->rv = CKR_DEVICE_ERROR;
  if (run_on(token, j, &e) != P11S_OK)
    fail_msg("%s", e.text);
  assert_int_equal(j->state[1], CKS_RO_USER_FUNCTIONS);
  assert_int_equal(rig_fake()->calls("C_OpenSession"), 2);
  p11s_job_release(&j->job);
  end_token(token);
}

/* Whoever got a signature asks for the next one before the worker looks for it. */
static struct p11s_token *asked_again;
static struct test_job *second;
static struct rig_event submitted;

static void submit_second(struct p11s_job *job)
{
  (void)job;
  assert_int_equal(p11s_token_submit(asked_again, &second->job, NULL), P11S_OK);
  rig_event_note(&submitted);
}

static void a_worker_that_comes_back_is_counted_on(void **state)
{
  static const struct p11s_job_ops then_another = {
      .run = run, .finished = submit_second, .destroy = destroy};
  struct p11s_token *token = new_token(8);
  struct test_job *first = new_job(&then_another, RIG_PIN);

  (void)state;
  rig_event_reset(&submitted);
  asked_again = token;
  second = new_job(&ops, RIG_PIN);
  assert_int_equal(run_on(token, first, NULL), P11S_OK);
  rig_event_wait(&submitted, 1);
  assert_int_equal(p11s_job_wait(&second->job, rig_later(), NULL), P11S_OK);
  assert_int_equal(stats_of(token).workers, 1);
  assert_int_equal(rig_fake()->calls("C_OpenSession"), 1);
  p11s_job_release(&first->job);
  p11s_job_release(&second->job);
  free_token(token);
}

static void worker_thread_is_quiet(void **state)
{
  struct p11s_token *token = new_token(1);
  struct test_job *j = new_job(&ops, RIG_PIN);
  sigset_t mine;

  (void)state;
  assert_int_equal(run_on(token, j, NULL), P11S_OK);
  assert_string_equal(j->thread, "p11s/worker");
  assert_true(sigismember(&j->blocked, SIGTERM));
  assert_true(sigismember(&j->blocked, SIGHUP));
  assert_true(sigismember(&j->blocked, SIGUSR1));
  (void)pthread_sigmask(SIG_BLOCK, NULL, &mine);
  assert_false(sigismember(&mine, SIGTERM)); /* only there */
  assert_int_equal(j->state[0], CKS_RO_USER_FUNCTIONS);
  p11s_job_release(&j->job);
  free_token(token);
}

struct crowd {
  struct p11s_token *token;
  const char *pin;
  unsigned good, refused, other;
};

static void *crowd_member(void *arg)
{
  struct crowd *crowd = arg;

  for (int i = 0; i < 10; i++) {
    enum p11s_err result = plain(crowd->token, crowd->pin, NULL);

    crowd->good += result == P11S_OK;
    crowd->refused += result == P11S_ERR_PIN_REFUSED;
    crowd->other += result != P11S_OK && result != P11S_ERR_PIN_REFUSED;
  }
  return NULL;
}

static struct crowd crowd_of(struct p11s_token *token, const char *pin)
{
  struct crowd each[THREADS], sum = {token, pin, 0, 0, 0};
  pthread_t threads[THREADS];

  for (int i = 0; i < THREADS; i++) {
    each[i] = sum;
    assert_int_equal(pthread_create(&threads[i], NULL, crowd_member, &each[i]), 0);
  }
  for (int i = 0; i < THREADS; i++)
    assert_int_equal(pthread_join(threads[i], NULL), 0);
  for (int i = 0; i < THREADS; i++) {
    sum.good += each[i].good;
    sum.refused += each[i].refused;
    sum.other += each[i].other;
  }
  return sum;
}

static void wrong_pin_is_tried_once(void **state)
{
  struct p11s_token *token = new_token(4);
  struct crowd crowd = crowd_of(token, RIG_WRONG_PIN);
  struct p11s_error e;

  (void)state;
  assert_int_equal(crowd.refused, 10 * THREADS);
  assert_int_equal(rig_fake()->calls("C_Login"), 1);
  assert_int_equal(plain(token, RIG_WRONG_PIN, &e), P11S_ERR_PIN_REFUSED);
  assert_non_null(strstr(e.text, RIG_TOKEN));
  assert_null(strstr(e.text, RIG_WRONG_PIN));
  assert_int_equal(rig_fake()->calls("C_Login"), 1);
  assert_int_equal(stats_of(token).logins, 1);
  /* the right one is not held up by that */
  assert_int_equal(plain(token, RIG_PIN, &e), P11S_OK);
  assert_int_equal(rig_fake()->calls("C_Login"), 2);
  free_token(token);
}

/* All workers stand before the login at once; one does it. */
static void one_login_for_all_workers(void **state)
{
  struct rig_event started = RIG_EVENT_INIT, exclusive = RIG_EVENT_INIT;
  struct p11s_token *token = new_token(4);
  struct test_job *jobs[4];

  (void)state;
  rig_fake()->block("C_Login", 1, FAKEP11_EVER);
  for (int i = 0; i < 4; i++) {
    jobs[i] = new_job(&ops, RIG_PIN);
    jobs[i]->started = &started;
    jobs[i]->exclusive = &exclusive;
    assert_int_equal(p11s_token_submit(token, &jobs[i]->job, NULL), P11S_OK);
  }
  assert_true(rig_fake()->wait_blocked("C_Login", 1));
  while (rig_fake()->calls("C_GetSessionInfo") < 4) /* all have seen that they are not logged in */
    sched_yield();
  rig_fake()->release("C_Login");
  rig_event_wait(&started, 4); /* four sessions at once */
  rig_event_note(&exclusive);
  for (int i = 0; i < 4; i++) {
    assert_int_equal(p11s_job_wait(&jobs[i]->job, rig_later(), NULL), P11S_OK);
    assert_int_equal(jobs[i]->state[0], CKS_RO_USER_FUNCTIONS);
    p11s_job_release(&jobs[i]->job);
  }
  assert_int_equal(rig_fake()->calls("C_Login"), 1);
  assert_int_equal(rig_fake()->calls("C_OpenSession"), 4);
  free_token(token);
}

static void pin_comes_from_the_setting(void **state)
{
  struct p11s_token_config config = {
      .sessions = 1, .pin_source = "env:P11S_TEST_PIN", .guard = rig_guard()};
  struct p11s_token *token = new_token(1);
  struct p11s_error e;

  (void)state;
  assert_int_equal(plain(token, NULL, &e), P11S_ERR_NO_PIN);
  assert_int_equal(rig_fake()->calls("C_Login"), 0);
  free_token(token);

  token = p11s_token_new(RIG_MODULE, RIG_TOKEN, &config);
  assert_int_equal(plain(token, NULL, &e), P11S_ERR_NO_PIN);
  assert_non_null(strstr(e.text, "P11S_TEST_PIN"));
  assert_int_equal(setenv("P11S_TEST_PIN", RIG_PIN, 1), 0);
  assert_int_equal(plain(token, NULL, &e), P11S_OK);
  assert_int_equal(rig_fake()->calls("C_Login"), 1);
  assert_int_equal(unsetenv("P11S_TEST_PIN"), 0);
  free_token(token);
}

static void last_try_is_left_to_people(void **state)
{
  struct p11s_token *token = new_token(1);
  struct p11s_error e;

  (void)state;
  rig_fake()->token_info(CKF_USER_PIN_FINAL_TRY, 0, 0);
  assert_int_equal(plain(token, RIG_PIN, &e), P11S_ERR_PIN_LOCKED);
  rig_fake()->token_info(CKF_USER_PIN_LOCKED, 0, 0);
  assert_int_equal(plain(token, RIG_PIN, &e), P11S_ERR_PIN_LOCKED);
  assert_int_equal(rig_fake()->calls("C_Login"), 0);
  rig_fake()->token_info(0, 0, 0);
  assert_int_equal(plain(token, RIG_PIN, &e), P11S_OK);
  free_token(token);
}

static void lost_session_gets_another_try(void **state)
{
  static const CK_RV lost[] = {CKR_SESSION_HANDLE_INVALID, CKR_DEVICE_REMOVED,
                               CKR_USER_NOT_LOGGED_IN, CKR_KEY_HANDLE_INVALID};

  (void)state;
  for (size_t i = 0; i < sizeof lost / sizeof lost[0]; i++) {
    struct p11s_token *token = new_token(1);
    struct test_job *j = new_job(&ops, RIG_PIN);
    struct p11s_error e = {0};

    rig_fake()->reset(); /* not rig_reset(): the token is there already */
    j->failures = 1;
    j->result = P11S_ERR_TOKEN;
    j->rv = lost[i];
    assert_int_equal(run_on(token, j, &e), P11S_OK);
    assert_int_equal(e.code, P11S_OK);
    assert_int_equal(j->runs, 2);
    assert_int_equal(rig_fake()->calls("C_OpenSession"), 2);
    assert_int_equal(rig_fake()->calls("C_Login"), 2); /* the only session was closed */
    assert_true(j->epoch[0] != j->epoch[1]);           /* handles are not to be believed */
    assert_int_equal(j->state[1], CKS_RO_USER_FUNCTIONS);
    p11s_job_release(&j->job);
    free_token(token);
  }
}

static void finalized_library_is_initialized_again(void **state)
{
  struct p11s_token *token = new_token(1);
  struct test_job *j = new_job(&ops, RIG_PIN);
  struct p11s_error e = {0};

  (void)state;
  assert_int_equal(plain(token, RIG_PIN, &e), P11S_OK);
  assert_int_equal(rig_fake()->behind()->C_Finalize(NULL), CKR_OK);
  j->failures = 1;
  j->result = P11S_ERR_TOKEN; /* with what C_GetSessionInfo says */
  assert_int_equal(run_on(token, j, &e), P11S_OK);
  assert_int_equal(j->runs, 2);
  assert_int_equal(j->state[1], CKS_RO_USER_FUNCTIONS);
  p11s_job_release(&j->job);
  end_token(token); /* the first session went with the library */
}

/* Two jobs at once, on two sessions. */
static void run_together(struct p11s_token *token, struct test_job *jobs[2])
{
  struct rig_event started = RIG_EVENT_INIT, exclusive = RIG_EVENT_INIT;

  for (int i = 0; i < 2; i++) {
    jobs[i] = new_job(&ops, RIG_PIN);
    jobs[i]->started = &started;
    jobs[i]->exclusive = &exclusive;
    assert_int_equal(p11s_token_submit(token, &jobs[i]->job, NULL), P11S_OK);
  }
  rig_event_wait(&started, 2);
  rig_event_note(&exclusive);
  for (int i = 0; i < 2; i++) {
    assert_int_equal(p11s_job_wait(&jobs[i]->job, rig_later(), NULL), P11S_OK);
    assert_int_equal(jobs[i]->state[0], CKS_RO_USER_FUNCTIONS);
  }
  assert_int_not_equal(jobs[0]->session[0], jobs[1]->session[0]);
}

static void release_both(struct test_job *jobs[2])
{
  p11s_job_release(&jobs[0]->job);
  p11s_job_release(&jobs[1]->job);
}

/* Their numbers may be those of others by now, which must be neither used nor closed. */
static void sessions_of_an_earlier_life_are_forgotten(void **state)
{
  struct p11s_token *token = new_token(2);
  struct test_job *before[2], *after[2], *j = new_job(&ops, RIG_PIN);

  (void)state;
  run_together(token, before);
  assert_int_equal(rig_fake()->behind()->C_Finalize(NULL), CKR_OK);
  rig_fake()->reset();
  j->failures = 1;
  j->result = P11S_ERR_TOKEN; /* with what C_GetSessionInfo says */
  assert_int_equal(run_on(token, j, NULL), P11S_OK);
  run_together(token, after);
  assert_int_equal(rig_fake()->calls("C_CloseSession"), 0);
  assert_int_equal(rig_fake()->calls("C_OpenSession"), 2);
  assert_true(j->epoch[1] > before[0]->epoch[0] && j->epoch[1] > before[1]->epoch[0]);
  release_both(before);
  release_both(after);
  p11s_job_release(&j->job);
  free_token(token); /* both of the new ones are closed */
}

static void there_is_no_third_try(void **state)
{
  struct p11s_token *token = new_token(1);
  struct test_job *j = new_job(&ops, RIG_PIN);
  struct p11s_error e;

  (void)state;
  j->failures = RUNS_MAX;
  j->result = P11S_ERR_TOKEN;
  j->rv = CKR_DEVICE_ERROR;
  assert_int_equal(run_on(token, j, &e), P11S_ERR_TOKEN);
  assert_string_equal(e.text, "run 2 failed");
  assert_int_equal(j->runs, 2);
  p11s_job_release(&j->job);
  assert_int_equal(plain(token, RIG_PIN, &e), P11S_OK);
  free_token(token);
}

static void refusal_is_final(void **state)
{
  static const struct {
    enum p11s_err result;
    CK_RV rv;
  } refusals[] = {{P11S_ERR_TOKEN, CKR_KEY_FUNCTION_NOT_PERMITTED},
                  {P11S_ERR_TOKEN, CKR_OK},
                  {P11S_ERR_KEY_MISMATCH, CKR_SESSION_HANDLE_INVALID},
                  {P11S_ERR_NO_KEY, CKR_OK}};
  struct p11s_token *token = new_token(1);

  (void)state;
  for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
    struct test_job *j = new_job(&ops, RIG_PIN);

    j->failures = 1;
    j->result = refusals[i].result;
    j->rv = refusals[i].rv;
    assert_int_equal(run_on(token, j, NULL), refusals[i].result);
    assert_int_equal(j->runs, 1);
    p11s_job_release(&j->job);
  }
  assert_int_equal(rig_fake()->calls("C_OpenSession"), 1); /* and the session stays */
  free_token(token);
}

/* What run() says counts, not what it left in the error. */
static void overcome_error_is_no_result(void **state)
{
  struct p11s_token *token = new_token(1);
  struct test_job *j = new_job(&ops, RIG_PIN);
  struct p11s_error e = {0};

  (void)state;
  j->stain = true;
  assert_int_equal(run_on(token, j, &e), P11S_OK);
  assert_int_equal(e.code, P11S_OK);
  p11s_job_release(&j->job);
  free_token(token);
}

static void writing_has_a_session_of_its_own(void **state)
{
  struct p11s_token *token = new_token(1);
  struct test_job *j = new_job(&rw_ops, RIG_PIN);

  (void)state;
  assert_int_equal(plain(token, RIG_PIN, NULL), P11S_OK);
  assert_int_equal(run_on(token, j, NULL), P11S_OK);
  assert_int_equal(j->state[0], CKS_RW_USER_FUNCTIONS);
  assert_int_equal(rig_fake()->calls("C_OpenSession"), 2);
  assert_int_equal(rig_fake()->calls("C_CloseSession"), 1);
  assert_int_equal(rig_fake()->calls("C_Login"), 1);
  assert_int_equal(plain(token, RIG_PIN, NULL), P11S_OK);
  assert_int_equal(rig_fake()->calls("C_OpenSession"), 2); /* the other one is still there */
  p11s_job_release(&j->job);
  free_token(token);
}

static void until_state(struct p11s_token *token, enum p11s_token_state state)
{
  while (stats_of(token).state != state)
    sched_yield();
}

/* Until a worker that has just ended a job can take the next. */
static void until_idle(struct p11s_token *token, unsigned n)
{
  bool idle = false;

  while (!idle) {
    p11s_lock(&token->lock);
    idle = token->idle == n;
    p11s_unlock(&token->lock);
    sched_yield();
  }
}

/* What the last line said of a token that is back. */
static char said[1024];
static pthread_mutex_t said_lock = PTHREAD_MUTEX_INITIALIZER;

static void hear(enum p11s_log_level level, const char *line)
{
  (void)level;
  pthread_mutex_lock(&said_lock);
  if (strstr(line, "is back") != NULL)
    (void)snprintf(said, sizeof said, "%s", line);
  pthread_mutex_unlock(&said_lock);
}

static bool was_said(const char *text)
{
  bool was;

  pthread_mutex_lock(&said_lock);
  was = strstr(said, text) != NULL;
  pthread_mutex_unlock(&said_lock);
  return was;
}

/* It is there, which does not help as long as nobody is logged in. */
static void token_comes_back_without_a_login(void **state)
{
  struct p11s_token *token = new_token(1);
  struct p11s_error e;

  (void)state;
  said[0] = '\0';
  rig_fake()->refuse("C_OpenSession", 1, 2, CKR_DEVICE_ERROR);
  assert_int_equal(plain(token, RIG_WRONG_PIN, &e), P11S_ERR_TOKEN);
  until_state(token, P11S_TOKEN_NO_LOGIN);
  assert_non_null(strstr(stats_of(token).trouble, "refused the PIN"));
  assert_true((stats_of(token).found.flags & CKF_USER_PIN_COUNT_LOW) != 0);
  while (!was_said("it cannot be used: token '" RIG_TOKEN "'"))
    sched_yield();
  assert_int_equal(plain(token, RIG_PIN, &e), P11S_OK);
  assert_int_equal(stats_of(token).state, P11S_TOKEN_READY);
  assert_true((stats_of(token).found.flags & CKF_USER_PIN_COUNT_LOW) == 0);
  assert_string_equal(stats_of(token).trouble, "");
  p11s_token_free(token);
}

/* Twice in a row no session: the token is away, until the worker that looks for it finds it. */
static void token_goes_away_and_comes_back(void **state)
{
  struct p11s_token *token = new_token(1);
  struct test_job *j = new_job(&ops, RIG_PIN);
  struct p11s_error e;
  unsigned tries;

  (void)state;
  rig_fake()->refuse("C_OpenSession", 1, 2, CKR_DEVICE_ERROR);
  assert_int_equal(plain(token, RIG_PIN, &e), P11S_ERR_TOKEN);
  assert_non_null(strstr(e.text, "CKR_DEVICE_ERROR"));
  assert_int_equal(rig_fake()->calls("C_OpenSession"), 2);
  until_state(token, P11S_TOKEN_AWAY);
  assert_non_null(strstr(stats_of(token).trouble, "CKR_DEVICE_ERROR"));
  rig_fake()->refuse("C_GetSlotList", 1, FAKEP11_EVER, CKR_DEVICE_ERROR);
  tries = rig_fake()->calls("C_GetSlotList");
  for (int i = 0; i < 100; i++)
    assert_int_equal(plain(token, RIG_PIN, &e), P11S_ERR_TOKEN);
  assert_in_range(rig_fake()->calls("C_GetSlotList"), tries, tries + 4); /* those are the looks */
  assert_int_equal(rig_fake()->calls("C_OpenSession"), 2);
  rig_fake()->reset();
  until_state(token, P11S_TOKEN_READY); /* nobody has asked for anything */
  assert_int_equal(stats_of(token).reconnects, 1);
  assert_string_equal(stats_of(token).trouble, "");
  assert_int_equal(run_on(token, j, &e), P11S_OK);
  assert_int_equal(j->state[0], CKS_RO_USER_FUNCTIONS);
  assert_int_equal(rig_fake()->calls("C_OpenSession"), 1); /* the one that found it again */
  p11s_job_release(&j->job);
  assert_true(p11s_token_stop(token, rig_later()));
  p11s_token_free(token);
}

/* What was queued for a token that turns out to be away is not left to wait. */
static void queue_of_a_token_gone_away(void **state)
{
  struct p11s_token *token = new_token(1);
  struct test_job *jobs[8];
  struct p11s_error e;

  (void)state;
  rig_fake()->block("C_GetSlotList", 1, 1);
  for (size_t i = 0; i < 8; i++) {
    jobs[i] = new_job(&ops, RIG_PIN);
    assert_int_equal(p11s_token_submit(token, &jobs[i]->job, &e), P11S_OK);
  }
  assert_true(rig_fake()->wait_blocked("C_GetSlotList", 1));
  rig_fake()->refuse("C_GetSlotList", 1, FAKEP11_EVER, CKR_DEVICE_REMOVED);
  rig_fake()->release("C_GetSlotList");
  rig_fake()->refuse("C_OpenSession", 1, FAKEP11_EVER, CKR_DEVICE_REMOVED);
  for (size_t i = 0; i < 8; i++) {
    assert_int_equal(p11s_job_wait(&jobs[i]->job, rig_later(), &e), P11S_ERR_NO_SLOTS);
    assert_int_equal(jobs[i]->runs, 0);
    p11s_job_release(&jobs[i]->job);
  }
  assert_int_equal(p11s_token_submit(token, NULL, &e), P11S_ERR_NO_SLOTS);
  assert_true(atomic_load(&restarts) > 0);
  free_token(token);
}

/* Sessions that were open when the token went away are closed, whatever they seem to be good for.
 */
static void sessions_of_a_token_gone_away(void **state)
{
  struct rig_event started = RIG_EVENT_INIT, exclusive = RIG_EVENT_INIT;
  struct p11s_token *token = new_token(2);
  struct test_job *slow = new_job(&ops, RIG_PIN), *lost = new_job(&ops, RIG_PIN);
  CK_SESSION_HANDLE old;
  struct p11s_error e;

  (void)state;
  assert_int_equal(plain(token, RIG_PIN, &e), P11S_OK);
  until_idle(token, 1);
  slow->started = &started;
  slow->exclusive = &exclusive;
  assert_int_equal(p11s_token_submit(token, &slow->job, &e), P11S_OK);
  rig_event_wait(&started, 1);
  lost->failures = 1;
  lost->result = P11S_ERR_TOKEN;
  lost->rv = CKR_DEVICE_REMOVED;
  rig_fake()->refuse("C_OpenSession", 2, 1, CKR_DEVICE_REMOVED); /* the first is its own */
  assert_int_equal(run_on(token, lost, &e), P11S_ERR_NO_TOKEN);
  until_state(token, P11S_TOKEN_AWAY);
  rig_event_note(&exclusive);
  assert_int_equal(p11s_job_wait(&slow->job, rig_later(), &e), P11S_OK);
  old = slow->session[0];
  until_state(token, P11S_TOKEN_READY);
  for (int i = 0; i < 4; i++) {
    struct test_job *j = new_job(&ops, RIG_PIN);

    assert_int_equal(run_on(token, j, &e), P11S_OK);
    assert_true(j->session[0] != old);
    p11s_job_release(&j->job);
  }
  p11s_job_release(&slow->job);
  p11s_job_release(&lost->job);
  assert_true(p11s_token_stop(token, rig_later())); /* one open failed: no free_token() */
  p11s_token_free(token);
}

struct asker {
  struct p11s_token *token;
  struct p11s_job *job;
  enum p11s_err result;
};

static void *ask(void *arg)
{
  struct asker *a = arg;

  a->result = p11s_token_await(a->token, a->job, true,
                               (struct p11s_wait){p11s_now_ms() + 20, true, 0, false}, NULL);
  return NULL;
}

/* A call that does not come back: queries stop waiting after the first few, others may go on to. */
static void token_that_hangs(void **state)
{
  struct p11s_token_config config = {.sessions = 1, .guard = rig_guard(), .stuck_ms = 20};
  struct p11s_token *token = p11s_token_new(RIG_MODULE, RIG_TOKEN, &config);
  struct rig_event started = RIG_EVENT_INIT, exclusive = RIG_EVENT_INIT;
  struct test_job *hung = new_job(&ops, RIG_PIN), *after = new_job(&ops, RIG_PIN);
  struct p11s_error e;

  (void)state;
  assert_non_null(token);
  hung->started = &started;
  hung->exclusive = &exclusive;
  assert_int_equal(p11s_token_submit(token, &hung->job, &e), P11S_OK);
  rig_event_wait(&started, 1);
  for (int i = 0; i < 3; i++) {
    struct test_job *j = new_job(&ops, RIG_PIN);
    struct asker a = {token, &j->job, P11S_OK};

    (void)ask(&a);
    assert_int_equal(a.result, P11S_ERR_TIMEOUT);
    p11s_job_release(&j->job);
  }
  assert_int_equal(stats_of(token).state, P11S_TOKEN_STUCK);
  for (int i = 0; i < 100; i++) {
    struct test_job *j = new_job(&ops, RIG_PIN);

    assert_int_equal(
        p11s_token_await(token, &j->job, true, (struct p11s_wait){rig_later(), true, 0, false}, &e),
        P11S_ERR_BUSY);
    p11s_job_release(&j->job);
  }
  assert_int_equal(stats_of(token).queued, 3);
  assert_int_equal(p11s_token_submit(token, &after->job, &e), P11S_OK); /* no query */
  rig_event_note(&exclusive);
  assert_int_equal(p11s_job_wait(&hung->job, rig_later(), &e), P11S_OK);
  assert_int_equal(p11s_job_wait(&after->job, rig_later(), &e), P11S_OK);
  assert_int_equal(stats_of(token).state, P11S_TOKEN_READY);
  assert_true(after->session[0] != hung->session[0]); /* the one that hung is not used again */
  p11s_job_release(&hung->job);
  p11s_job_release(&after->job);
  free_token(token);
}

/* The token says how many sessions it has: no more workers than that. */
static void known_session_limit_holds(void **state)
{
  struct rig_event started = RIG_EVENT_INIT, exclusive = RIG_EVENT_INIT;
  struct p11s_token *token = new_token(8);
  struct test_job *jobs[6];

  (void)state;
  rig_fake()->token_info(0, 0, 2);
  assert_int_equal(plain(token, RIG_PIN, NULL), P11S_OK);
  for (int i = 0; i < 6; i++) {
    jobs[i] = new_job(&ops, RIG_PIN);
    jobs[i]->started = &started;
    jobs[i]->exclusive = &exclusive;
    assert_int_equal(p11s_token_submit(token, &jobs[i]->job, NULL), P11S_OK);
  }
  rig_event_wait(&started, 2);
  assert_int_equal(stats_of(token).workers, 2);
  assert_int_equal(stats_of(token).queued, 4);
  rig_event_note(&exclusive);
  for (int i = 0; i < 6; i++) {
    assert_int_equal(p11s_job_wait(&jobs[i]->job, rig_later(), NULL), P11S_OK);
    p11s_job_release(&jobs[i]->job);
  }
  assert_int_equal(rig_fake()->calls("C_OpenSession"), 2);
  free_token(token);
}

/* Nor does a crowd before the first session is there open more, and all there may be is used. */
static void known_session_limit_holds_for_a_crowd(void **state)
{
  struct rig_event started = RIG_EVENT_INIT, exclusive = RIG_EVENT_INIT;
  struct p11s_token *token = new_token(8);
  struct test_job *jobs[6];

  (void)state;
  rig_fake()->token_info(0, 0, 3);
  rig_fake()->block("C_OpenSession", 1, 1);
  for (int i = 0; i < 6; i++) {
    jobs[i] = new_job(&ops, RIG_PIN);
    jobs[i]->started = &started;
    jobs[i]->exclusive = &exclusive;
    assert_int_equal(p11s_token_submit(token, &jobs[i]->job, NULL), P11S_OK);
  }
  assert_true(rig_fake()->wait_blocked("C_OpenSession", 1));
  assert_int_equal(stats_of(token).workers, 1);
  rig_fake()->release("C_OpenSession");
  rig_event_wait(&started, 3);
  assert_int_equal(stats_of(token).workers, 3);
  assert_int_equal(stats_of(token).queued, 3);
  rig_event_note(&exclusive);
  for (int i = 0; i < 6; i++) {
    assert_int_equal(p11s_job_wait(&jobs[i]->job, rig_later(), NULL), P11S_OK);
    p11s_job_release(&jobs[i]->job);
  }
  assert_int_equal(rig_fake()->calls("C_OpenSession"), 3);
  free_token(token);
}

/* It does not say so, and has one: its worker gets the jobs of the others, who end. Even when that
   one is still logging in. */
static void unknown_session_limit_is_found(void **state)
{
  struct p11s_token *token = new_token(4);
  struct test_job *jobs[4];
  struct p11s_error e;

  (void)state;
  rig_fake()->block("C_Login", 1, FAKEP11_EVER);
  rig_fake()->refuse("C_OpenSession", 2, FAKEP11_EVER, CKR_SESSION_COUNT);
  jobs[0] = new_job(&ops, RIG_PIN);
  assert_int_equal(p11s_token_submit(token, &jobs[0]->job, NULL), P11S_OK);
  assert_true(rig_fake()->wait_blocked("C_Login", 1));
  for (int i = 1; i < 4; i++) {
    jobs[i] = new_job(&ops, RIG_PIN);
    assert_int_equal(p11s_token_submit(token, &jobs[i]->job, NULL), P11S_OK);
  }
  until_workers(token, 1);
  assert_int_equal(stats_of(token).queued, 3);
  rig_fake()->release("C_Login");
  for (int i = 0; i < 4; i++) {
    if (p11s_job_wait(&jobs[i]->job, rig_later(), &e) != P11S_OK)
      fail_msg("job %d: %s", i, e.text);
    p11s_job_release(&jobs[i]->job);
  }
  assert_int_equal(stats_of(token).workers, 1);
  assert_true(p11s_token_stop(token, rig_later()));
  p11s_token_free(token);
}

/* No session at all is an error, not a wait. */
static void no_session_at_all(void **state)
{
  struct p11s_token *token = new_token(2);
  struct p11s_error e;

  (void)state;
  rig_fake()->refuse("C_OpenSession", 1, FAKEP11_EVER, CKR_SESSION_COUNT);
  assert_int_equal(plain(token, RIG_PIN, &e), P11S_ERR_TOKEN);
  assert_non_null(strstr(e.text, "CKR_SESSION_COUNT"));
  assert_true(p11s_token_stop(token, rig_later()));
  p11s_token_free(token);
}

/* A minute without work ends a worker, unless it holds a session or looks at the token. The clock
   is put back, so that every minute has passed already when it begins. */
static void idle_worker_without_session_ends(void **state)
{
  struct p11s_token *token = new_token(2);
  struct test_job *jobs[2];

  (void)state;
  atomic_store(&clock_back_ms, 120000);
  rig_fake()->block("C_GetSessionInfo", 1, 2);
  for (int i = 0; i < 2; i++) {
    jobs[i] = new_job(&ops, NULL);
    assert_int_equal(p11s_token_submit(token, &jobs[i]->job, NULL), P11S_OK);
  }
  assert_true(rig_fake()->wait_blocked("C_GetSessionInfo", 2));
  assert_int_equal(stats_of(token).workers, 2);
  rig_fake()->release("C_GetSessionInfo");
  for (int i = 0; i < 2; i++) {
    assert_int_equal(p11s_job_wait(&jobs[i]->job, rig_later(), NULL), P11S_ERR_NO_PIN);
    p11s_job_release(&jobs[i]->job);
  }
  until_workers(token, 1);
  atomic_store(&clock_back_ms, 0);
  /* the next job finds a new one */
  assert_int_equal(plain(token, RIG_PIN, NULL), P11S_OK);
  free_token(token);
}

/* Each of them, also those whose worker does not look at the token for all. */
static void idle_session_is_looked_after(void **state)
{
  struct p11s_token *token = new_token(2);
  struct test_job *jobs[2];

  (void)state;
  assert_int_equal(plain(token, RIG_PIN, NULL),
                   P11S_OK);            /* it has said that there is room for two */
  atomic_store(&clock_back_ms, 120000); /* waits are over at once, when they begin anew */
  run_together(token, jobs);
  rig_fake()->refuse("C_GetSlotInfo", 1, FAKEP11_EVER, CKR_DEVICE_REMOVED);
  until_state(token, P11S_TOKEN_AWAY);
  atomic_store(&clock_back_ms, 0);
  rig_fake()->reset();
  until_state(token, P11S_TOKEN_READY);
  assert_int_equal(plain(token, RIG_PIN, NULL), P11S_OK);
  release_both(jobs);
  assert_true(p11s_token_stop(token, rig_later()));
  p11s_token_free(token);
}

/* -- a token that nobody asks */

static void pass_ms(struct p11s_token *token, unsigned ms)
{
  atomic_fetch_sub(&clock_back_ms, ms);
  p11s_lock(&token->lock);
  pthread_cond_broadcast(&token->work);
  p11s_unlock(&token->lock);
}

/* Until the token has been looked at, which is due now. */
static void until_looked_at(struct p11s_token *token)
{
  uint64_t seen = stats_of(token).seen_ms;

  pass_ms(token, P11S_LOOK_EVERY_MS);
  while (stats_of(token).seen_ms == seen)
    sched_yield();
}

static void unasked_token_is_looked_at(void **state)
{
  struct p11s_token *token = new_token(1);
  uint64_t before = p11s_now_ms();

  (void)state;
  assert_int_equal(stats_of(token).seen_ms, 0);
  assert_int_equal(plain(token, RIG_PIN, NULL), P11S_OK);
  until_idle(token, 1);
  assert_in_range(stats_of(token).seen_ms, before, p11s_now_ms());
  assert_string_equal(stats_of(token).found.label, RIG_TOKEN);
  assert_true(stats_of(token).found.serial[0] != '\0');
  rig_fake()->token_info(CKF_USER_PIN_COUNT_LOW, 0, 0);
  until_looked_at(token);
  assert_true((stats_of(token).found.flags & CKF_USER_PIN_COUNT_LOW) != 0);
  assert_int_equal(rig_fake()->calls("C_OpenSession"), 1);
  assert_int_equal(rig_fake()->calls("C_Login"), 1);
  rig_fake()->refuse("C_GetSlotInfo", 1, FAKEP11_EVER, CKR_DEVICE_REMOVED);
  until_looked_at(token);
  assert_int_equal(stats_of(token).state, P11S_TOKEN_AWAY);
  rig_fake()->reset();
  until_idle(token, 1);
  pass_ms(token, P11S_PROBE_EVERY_MS);
  until_state(token, P11S_TOKEN_READY);
  assert_true(p11s_token_stop(token, rig_later()));
  p11s_token_free(token);
}

/* Sessions are as before, but they are another token's. */
static void another_token_in_the_slot_is_noticed(void **state)
{
  struct p11s_token *token = new_token(1);

  (void)state;
  assert_int_equal(plain(token, RIG_PIN, NULL), P11S_OK);
  until_idle(token, 1);
  p11s_lock(&token->lock);
  ((char *)p11s_session_slot(token->list.lh_first->session)->serial)[0] = '!';
  p11s_unlock(&token->lock);
  until_looked_at(token);
  assert_int_equal(rig_fake()->calls("C_OpenSession"), 2);
  free_token(token);
}

/* By pkcs11-tool, say. */
static void unlocked_token_is_ready_without_a_try(void **state)
{
  static const CK_FLAGS flags[] = {CKF_USER_PIN_LOCKED, CKF_USER_PIN_FINAL_TRY};

  (void)state;
  for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
    struct p11s_token *token = new_token(1);

    rig_fake()->reset();
    rig_fake()->token_info(flags[i], 0, 0);
    assert_int_equal(plain(token, RIG_PIN, NULL), P11S_ERR_PIN_LOCKED);
    until_idle(token, 1);
    until_looked_at(token);
    assert_int_equal(stats_of(token).state, P11S_TOKEN_NO_LOGIN);
    rig_fake()->token_info(0, 0, 0);
    until_looked_at(token);
    assert_int_equal(stats_of(token).state, P11S_TOKEN_READY);
    assert_string_equal(stats_of(token).trouble, "");
    assert_true((stats_of(token).found.flags & flags[i]) == 0);
    /* And locked while nobody asks. */
    rig_fake()->token_info(flags[i], 0, 0);
    until_looked_at(token);
    assert_true((stats_of(token).found.flags & flags[i]) != 0);
    assert_int_equal(rig_fake()->calls("C_Login"), 0);
    rig_fake()->token_info(0, 0, 0);
    assert_int_equal(plain(token, RIG_PIN, NULL), P11S_OK);
    free_token(token);
  }
}

/* From a source, which is put right. */
static void pin_is_reviewed_without_a_try(void **state)
{
  static const struct {
    const char *before;
    enum p11s_err result;
    unsigned logins;
  } cases[] = {{NULL, P11S_ERR_NO_PIN, 0}, {RIG_WRONG_PIN, P11S_ERR_PIN_REFUSED, 1}};
  struct p11s_token_config config = {
      .sessions = 1, .pin_source = "env:P11S_TEST_PIN", .guard = rig_guard()};

  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    struct p11s_token *token = p11s_token_new(RIG_MODULE, RIG_TOKEN, &config);

    rig_fake()->reset();
    if (cases[i].before != NULL)
      assert_int_equal(setenv("P11S_TEST_PIN", cases[i].before, 1), 0);
    assert_int_equal(plain(token, NULL, NULL), cases[i].result);
    until_idle(token, 1);
    until_looked_at(token);
    assert_int_equal(stats_of(token).state, P11S_TOKEN_NO_LOGIN);
    assert_int_equal(setenv("P11S_TEST_PIN", RIG_PIN, 1), 0);
    until_looked_at(token);
    assert_int_equal(stats_of(token).state, P11S_TOKEN_READY);
    assert_int_equal(rig_fake()->calls("C_Login"), cases[i].logins);
    assert_int_equal(plain(token, NULL, NULL), P11S_OK);
    assert_int_equal(unsetenv("P11S_TEST_PIN"), 0);
    free_token(token);
  }
}

/* Why C_Login failed is not to be seen from outside: nothing is said that was not seen. */
static void failed_login_grows_old(void **state)
{
  struct p11s_token *token = new_token(1);
  unsigned looks;
  uint64_t seen;

  (void)state;
  rig_fake()->refuse("C_Login", 1, FAKEP11_EVER, CKR_USER_PIN_NOT_INITIALIZED);
  assert_int_equal(plain(token, RIG_PIN, NULL), P11S_ERR_TOKEN);
  until_idle(token, 1);
  seen = stats_of(token).seen_ms;
  looks = rig_fake()->calls("C_GetSlotInfo");
  pass_ms(token, P11S_LOOK_EVERY_MS);
  while (rig_fake()->calls("C_GetSlotInfo") == looks)
    sched_yield();
  until_idle(token, 1);
  assert_int_equal(stats_of(token).state, P11S_TOKEN_NO_LOGIN);
  assert_int_equal(stats_of(token).seen_ms, seen);
  assert_int_equal(rig_fake()->calls("C_Login"), 1);
  free_token(token);
}

/* Nobody waits longer for that, and nobody else looks. */
static void look_that_hangs(void **state)
{
  struct p11s_token_config config = {.sessions = 1, .guard = rig_guard(), .stuck_ms = 20};
  struct p11s_token *token = p11s_token_new(RIG_MODULE, RIG_TOKEN, &config);
  unsigned calls;
  uint64_t seen;

  (void)state;
  assert_int_equal(plain(token, RIG_PIN, NULL), P11S_OK);
  until_idle(token, 1);
  calls = rig_fake()->calls("C_GetSlotInfo");
  seen = stats_of(token).seen_ms;
  rig_fake()->block("C_GetSlotInfo", 1, FAKEP11_EVER);
  pass_ms(token, P11S_LOOK_EVERY_MS);
  assert_true(rig_fake()->wait_blocked("C_GetSlotInfo", 1));
  assert_int_equal(stats_of(token).seen_ms, seen);
  atomic_store(&clock_back_ms, 0); /* queries wait by it */
  for (int i = 0; i < 3; i++) {
    struct test_job *j = new_job(&ops, RIG_PIN);
    struct asker a = {token, &j->job, P11S_OK};

    (void)ask(&a);
    assert_int_equal(a.result, P11S_ERR_TIMEOUT);
    p11s_job_release(&j->job);
  }
  assert_int_equal(stats_of(token).state, P11S_TOKEN_STUCK);
  assert_int_equal(rig_fake()->calls("C_GetSlotInfo"), calls + 1);
  rig_fake()->release("C_GetSlotInfo");
  until_state(token, P11S_TOKEN_READY);
  assert_true(p11s_token_stop(token, rig_later()));
  p11s_token_free(token);
}

static void login_that_hangs_does_not_hold_stop(void **state)
{
  struct p11s_token *token = new_token(2);
  struct test_job *j = new_job(&ops, RIG_PIN);

  (void)state;
  rig_fake()->block("C_Login", 1, FAKEP11_EVER);
  assert_int_equal(p11s_token_submit(token, &j->job, NULL), P11S_OK);
  assert_true(rig_fake()->wait_blocked("C_Login", 1));
  assert_false(p11s_token_stop(token, p11s_now_ms() + 20));
  rig_fake()->release("C_Login");
  p11s_job_release(&j->job);
  free_token(token);
}

static void sign_on(struct p11s_token *token, enum p11s_err result, unsigned timed)
{
  struct test_job *j = new_job(&ops, RIG_PIN);

  j->job.signs = true;
  j->failures = result != P11S_OK ? RUNS_MAX : 0;
  j->result = result;
  assert_int_equal(run_on(token, j, NULL), result);
  p11s_job_release(&j->job);
  assert_int_equal(stats_of(token).rate.level[0].count, timed);
}

/* Opening a session and logging in is no measure of how fast a token signs. */
static void what_is_timed(void **state)
{
  struct p11s_token *token = new_token(1);

  (void)state;
  sign_on(token, P11S_OK, 0); /* on a session that it has opened */
  sign_on(token, P11S_OK, 1);
  sign_on(token, P11S_ERR_KEY_TYPE, 1);
  assert_int_equal(plain(token, RIG_PIN, NULL), P11S_OK); /* no signature */
  sign_on(token, P11S_OK, 2);
  free_token(token);
}

/* Another worker is in C_Finalize, say, and does not come back. */
static void who_waits_for_the_library_is_waited_for_until_a_deadline(void **state)
{
  struct p11s_exclusive *exclusive = p11s_exclusive_get(RIG_MODULE);
  struct p11s_token *token = new_token(1);
  struct test_job *j = new_job(&ops, RIG_PIN);

  (void)state;
  p11s_exclusive_enter(exclusive);
  assert_int_equal(p11s_exclusive_close(exclusive, rig_later()), P11S_EXCLUSIVE_ALONE);
  assert_int_equal(p11s_token_run(token, &j->job, p11s_now_ms() + 20, NULL), P11S_ERR_TIMEOUT);
  assert_false(p11s_token_stop(token, p11s_now_ms() + 20));
  assert_int_equal(rig_fake()->calls("C_OpenSession"), 0);
  p11s_exclusive_open(exclusive);
  p11s_exclusive_leave(exclusive);
  p11s_job_release(&j->job);
  free_token(token); /* with the worker, which got in */
}

static int set_clock_right(void **state)
{
  (void)state;
  atomic_store(&clock_back_ms, 0);
  return 0;
}

int main(void)
{
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(one_session_for_many_jobs, rig_reset),
      cmocka_unit_test_setup(no_read_only_sessions, rig_reset),
      cmocka_unit_test_setup(read_only_sessions_after_all, rig_reset),
      cmocka_unit_test_setup(a_worker_that_comes_back_is_counted_on, rig_reset),
      cmocka_unit_test_setup(worker_thread_is_quiet, rig_reset),
      cmocka_unit_test_setup(wrong_pin_is_tried_once, rig_reset),
      cmocka_unit_test_setup(one_login_for_all_workers, rig_reset),
      cmocka_unit_test_setup(pin_comes_from_the_setting, rig_reset),
      cmocka_unit_test_setup(last_try_is_left_to_people, rig_reset),
      cmocka_unit_test_setup(lost_session_gets_another_try, rig_reset),
      cmocka_unit_test_setup(there_is_no_third_try, rig_reset),
      cmocka_unit_test_setup(refusal_is_final, rig_reset),
      cmocka_unit_test_setup(overcome_error_is_no_result, rig_reset),
      cmocka_unit_test_setup(writing_has_a_session_of_its_own, rig_reset),
      cmocka_unit_test_setup(token_comes_back_without_a_login, rig_reset),
      cmocka_unit_test_setup(token_goes_away_and_comes_back, rig_reset),
      cmocka_unit_test_setup(queue_of_a_token_gone_away, rig_reset),
      cmocka_unit_test_setup(sessions_of_a_token_gone_away, rig_reset),
      cmocka_unit_test_setup(token_that_hangs, rig_reset),
      cmocka_unit_test_setup(known_session_limit_holds, rig_reset),
      cmocka_unit_test_setup(known_session_limit_holds_for_a_crowd, rig_reset),
      cmocka_unit_test_setup(unknown_session_limit_is_found, rig_reset),
      cmocka_unit_test_setup(no_session_at_all, rig_reset),
      cmocka_unit_test_setup(idle_worker_without_session_ends, rig_reset),
      cmocka_unit_test_setup(idle_session_is_looked_after, rig_reset),
      cmocka_unit_test_setup_teardown(unasked_token_is_looked_at, rig_reset, set_clock_right),
      cmocka_unit_test_setup_teardown(another_token_in_the_slot_is_noticed, rig_reset,
                                      set_clock_right),
      cmocka_unit_test_setup_teardown(unlocked_token_is_ready_without_a_try, rig_reset,
                                      set_clock_right),
      cmocka_unit_test_setup_teardown(pin_is_reviewed_without_a_try, rig_reset, set_clock_right),
      cmocka_unit_test_setup_teardown(failed_login_grows_old, rig_reset, set_clock_right),
      cmocka_unit_test_setup_teardown(look_that_hangs, rig_reset, set_clock_right),
      cmocka_unit_test_setup(login_that_hangs_does_not_hold_stop, rig_reset),
      cmocka_unit_test_setup(what_is_timed, rig_reset),
      cmocka_unit_test_setup(who_waits_for_the_library_is_waited_for_until_a_deadline, rig_reset),
      cmocka_unit_test_setup(finalized_library_is_initialized_again, rig_reset),
      cmocka_unit_test_setup(sessions_of_an_earlier_life_are_forgotten, rig_reset),
  };

  p11s_log_set_sink(hear);
  return cmocka_run_group_tests_name("worker", tests, rig_setup, rig_teardown);
}

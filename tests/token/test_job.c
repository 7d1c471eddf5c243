/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "token/job.h"
#include "base/lock.h"
#include "rig/rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define THREADS 8

struct test_job {
  struct p11s_job job;
  unsigned *destroyed;
  unsigned finished;
  enum p11s_err seen_when_finished;
};

static enum p11s_err run(struct p11s_job *job, struct p11s_work *work, struct p11s_error *e)
{
  (void)job;
  (void)work;
  return p11s_error_set(e, P11S_ERR_TOKEN, "never run here");
}

static void finished(struct p11s_job *job)
{
  struct test_job *j = (struct test_job *)job;

  j->finished++;
  j->seen_when_finished = p11s_job_wait(job, 0, NULL);
}

static void destroy(struct p11s_job *job)
{
  struct test_job *j = (struct test_job *)job;

  (*j->destroyed)++;
  p11s_job_fini(job);
  free(j);
}

static const struct p11s_job_ops ops = {run, finished, destroy, false, false};
static const struct p11s_job_ops mute_ops = {run, NULL, destroy, false, false};
static const struct p11s_error good = {0};
static const struct p11s_error bad = {.code = P11S_ERR_BUSY, .text = "the queue is full"};

static struct test_job *make(const struct p11s_job_ops *with, struct p11s_secret *pin,
                             unsigned *destroyed)
{
  struct test_job *j = calloc(1, sizeof *j);

  assert_non_null(j);
  *destroyed = 0;
  j->destroyed = destroyed;
  p11s_job_init(&j->job, with, pin);
  return j;
}

static void last_reference_destroys(void **state)
{
  unsigned destroyed;
  struct test_job *j = make(&ops, NULL, &destroyed);

  (void)state;
  assert_ptr_equal(p11s_job_acquire(&j->job), &j->job);
  p11s_job_release(&j->job);
  assert_int_equal(destroyed, 0);
  p11s_job_release(&j->job);
  assert_int_equal(destroyed, 1);
  p11s_job_release(NULL);
}

static void keeps_the_pin(void **state)
{
  struct p11s_secret *pin = p11s_secret_new("1234", 4);
  unsigned destroyed;
  struct test_job *j = make(&ops, pin, &destroyed);

  (void)state;
  p11s_secret_release(pin);
  assert_ptr_equal(j->job.pin, pin);
  assert_string_equal((const char *)p11s_secret_data(j->job.pin), "1234");
  p11s_job_release(&j->job);
}

static void deadline_passes(void **state)
{
  struct p11s_error e = {0};
  unsigned destroyed;
  struct test_job *j = make(&ops, NULL, &destroyed);

  (void)state;
  assert_int_equal(p11s_job_wait(&j->job, 0, &e), P11S_ERR_TIMEOUT);
  assert_int_equal(e.code, P11S_ERR_TIMEOUT);
  assert_int_equal(p11s_job_wait(&j->job, p11s_now_ms() + 20, NULL), P11S_ERR_TIMEOUT);
  /* the result is still to be had */
  p11s_job_finish(&j->job, &good);
  assert_int_equal(p11s_job_wait(&j->job, 0, &e), P11S_OK);
  assert_int_equal(e.code, P11S_ERR_TIMEOUT); /* not touched */
  p11s_job_release(&j->job);
}

static void result_is_handed_on(void **state)
{
  struct p11s_error e = {0};
  unsigned destroyed;
  struct test_job *j = make(&ops, NULL, &destroyed);

  (void)state;
  p11s_job_finish(&j->job, &bad);
  for (int i = 0; i < 2; i++) {
    assert_int_equal(p11s_job_wait(&j->job, 0, &e), P11S_ERR_BUSY);
    assert_int_equal(e.code, P11S_ERR_BUSY);
    assert_string_equal(e.text, bad.text);
    e = good;
  }
  assert_int_equal(p11s_job_wait(&j->job, 0, NULL), P11S_ERR_BUSY);
  p11s_job_release(&j->job);
}

static void finished_sees_the_result(void **state)
{
  unsigned destroyed;
  struct test_job *j = make(&ops, NULL, &destroyed);

  (void)state;
  p11s_job_finish(&j->job, &bad);
  assert_int_equal(j->finished, 1);
  assert_int_equal(j->seen_when_finished, P11S_ERR_BUSY);
  p11s_job_release(&j->job);

  j = make(&mute_ops, NULL, &destroyed);
  p11s_job_finish(&j->job, &good);
  assert_int_equal(j->finished, 0);
  p11s_job_release(&j->job);
}

static void *wait_for_it(void *arg)
{
  struct p11s_job *job = arg;
  enum p11s_err result = p11s_job_wait(job, rig_later(), NULL);

  p11s_job_release(job);
  return (void *)(intptr_t)result;
}

/* Whether they wait already or come later, and whoever lets go last. */
static void all_waiters_wake(void **state)
{
  (void)state;
  for (int round = 0; round < 20; round++) {
    unsigned destroyed;
    struct test_job *j = make(&ops, NULL, &destroyed);
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++)
      assert_int_equal(pthread_create(&threads[i], NULL, wait_for_it, p11s_job_acquire(&j->job)),
                       0);
    p11s_job_finish(&j->job, &bad);
    p11s_job_release(&j->job);
    for (int i = 0; i < THREADS; i++) {
      void *result;

      assert_int_equal(pthread_join(threads[i], &result), 0);
      assert_int_equal((intptr_t)result, P11S_ERR_BUSY);
    }
    assert_int_equal(destroyed, 1);
  }
}

int main(void)
{
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test(last_reference_destroys),  cmocka_unit_test(keeps_the_pin),
      cmocka_unit_test(deadline_passes),          cmocka_unit_test(result_is_handed_on),
      cmocka_unit_test(finished_sees_the_result), cmocka_unit_test(all_waiters_wake),
  };

  rig_watchdog();
  return cmocka_run_group_tests_name("job", tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/lock.h"

#include <time.h>
#include <unistd.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

struct shared {
  struct p11s_mutex mutex;
  pthread_cond_t cond;
  bool done;
};

static int setup(void **state)
{
  struct shared *s = calloc(1, sizeof *s);

  if (s == NULL)
    return -1;
  p11s_mutex_init(&s->mutex, P11S_RANK_JOB);
  p11s_cond_init(&s->cond);
  *state = s;
  /* a wait that does not end must not hold up the build */
  (void)alarm(30);
  return 0;
}

static int teardown(void **state)
{
  struct shared *s = *state;

  (void)alarm(0);
  (void)pthread_cond_destroy(&s->cond);
  p11s_mutex_destroy(&s->mutex);
  free(s);
  return 0;
}

static void test_now_is_monotonic_time(void **state)
{
  struct timespec t;
  uint64_t before = p11s_now_ms();
  uint64_t between;

  (void)state;
  assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &t), 0);
  between = (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
  assert_true(before <= between);
  assert_true(between <= p11s_now_ms());
  assert_true(p11s_now_ms() - before < 10000);
}

static void test_past_deadline(void **state)
{
  struct shared *s = *state;

  p11s_lock(&s->mutex);
  assert_false(p11s_cond_wait_until(&s->cond, &s->mutex, 0));
  assert_false(p11s_cond_wait_until(&s->cond, &s->mutex, p11s_now_ms()));
  /* the mutex is held again */
  assert_false(p11s_trylock(&s->mutex));
  p11s_unlock(&s->mutex);
}

/* On another clock this would return at once, or never. */
static void test_waits_until_deadline(void **state)
{
  struct shared *s = *state;
  uint64_t deadline = p11s_now_ms() + 60;

  p11s_lock(&s->mutex);
  while (p11s_cond_wait_until(&s->cond, &s->mutex, deadline))
    continue;
  p11s_unlock(&s->mutex);
  assert_true(p11s_now_ms() >= deadline);
  assert_true(p11s_now_ms() < deadline + 10000);
}

static void *finish(void *arg)
{
  struct shared *s = arg;

  p11s_lock(&s->mutex);
  s->done = true;
  pthread_cond_signal(&s->cond);
  p11s_unlock(&s->mutex);
  return NULL;
}

static void wait_for_signal(struct shared *s, uint64_t deadline)
{
  pthread_t thread;
  bool in_time = true;

  p11s_lock(&s->mutex);
  assert_int_equal(pthread_create(&thread, NULL, finish, s), 0);
  while (!s->done && in_time)
    in_time = p11s_cond_wait_until(&s->cond, &s->mutex, deadline);
  assert_true(s->done);
  assert_true(in_time);
  p11s_unlock(&s->mutex);
  assert_int_equal(pthread_join(thread, NULL), 0);
}

static void test_signalled(void **state)
{
  wait_for_signal(*state, p11s_now_ms() + 20000);
}

static void test_signalled_without_deadline(void **state)
{
  wait_for_signal(*state, UINT64_MAX);
}

#ifdef P11S_CHECK_LOCKS
/* In a child: SIGABRT when it takes these in this order. */
static bool aborts(enum p11s_rank first, enum p11s_rank second)
{
  struct p11s_mutex a, b;
  pid_t child;
  int status;

  p11s_mutex_init(&a, first);
  p11s_mutex_init(&b, second);
  child = fork();
  if (child == 0) {
    (void)close(STDERR_FILENO);
    (void)signal(SIGABRT, SIG_DFL);
    p11s_lock(&a);
    p11s_lock(&b);
    _exit(0);
  }
  assert_true(child > 0);
  assert_int_equal(waitpid(child, &status, 0), child);
  return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

static void the_order_of_ranks_is_held(void **state)
{
  (void)state;
  assert_false(aborts(P11S_RANK_TOKEN, P11S_RANK_KEY));
  assert_false(aborts(P11S_RANK_ALONE, P11S_RANK_LOG));
  assert_true(aborts(P11S_RANK_KEY, P11S_RANK_TOKEN));
  assert_true(aborts(P11S_RANK_TOKEN, P11S_RANK_TOKEN));
  assert_true(aborts(P11S_RANK_TOKEN, P11S_RANK_ALONE));
}
#endif

int main(void)
{
  const struct CMUnitTest tests[] = {
#ifdef P11S_CHECK_LOCKS
      cmocka_unit_test(the_order_of_ranks_is_held),
#endif
      cmocka_unit_test(test_now_is_monotonic_time),
      cmocka_unit_test_setup_teardown(test_past_deadline, setup, teardown),
      cmocka_unit_test_setup_teardown(test_waits_until_deadline, setup, teardown),
      cmocka_unit_test_setup_teardown(test_signalled, setup, teardown),
      cmocka_unit_test_setup_teardown(test_signalled_without_deadline, setup, teardown),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}

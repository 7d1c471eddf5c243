/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/fork.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define THREADS 8

static int exit_status(pid_t child)
{
  int status = 0;

  assert_true(child > 0);
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFEXITED(status));
  return WEXITSTATUS(status);
}

static void *ask(void *arg)
{
  *(unsigned *)arg = p11s_fork_generation();
  return NULL;
}

/* First, so that they are the ones that register the fork handler. */
static void many_threads_ask(void **state)
{
  pthread_t threads[THREADS];
  unsigned seen[THREADS];

  (void)state;
  for (unsigned i = 0; i < THREADS; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, ask, &seen[i]), 0);
  for (unsigned i = 0; i < THREADS; i++) {
    assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(seen[i], 0);
  }
}

static void stays_without_fork(void **state)
{
  (void)state;
  assert_int_equal(p11s_fork_generation(), p11s_fork_generation());
}

/* Registered twice, the handler would count twice. */
static void child_and_grandchild_count(void **state)
{
  unsigned before = p11s_fork_generation();
  pid_t child;

  (void)state;
  child = fork();
  if (child == 0) {
    pid_t grandchild = fork();
    int status;

    if (grandchild == 0)
      _exit((int)(p11s_fork_generation() - before));
    if (waitpid(grandchild, &status, 0) != grandchild || !WIFEXITED(status))
      _exit(99);
    _exit((int)(10 * (p11s_fork_generation() - before)) + WEXITSTATUS(status));
  }
  assert_int_equal(exit_status(child), 12);
  assert_int_equal(p11s_fork_generation(), before);
}

int main(void)
{
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test(many_threads_ask),
      cmocka_unit_test(stays_without_fork),
      cmocka_unit_test(child_and_grandchild_count),
  };

  (void)alarm(60);
  return cmocka_run_group_tests_name("forkgen", tests, NULL, NULL);
}

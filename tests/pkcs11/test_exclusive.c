/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pkcs11/exclusive.h"

#include "base/lock.h"
#include "rig/rig.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define LONG_MS 30000

static uint64_t in_a_while(void)
{
  return p11s_now_ms() + LONG_MS;
}

static void test_one_for_each_name(void **state)
{
  char name[] = "a";

  (void)state;
  assert_ptr_equal(p11s_exclusive_get("a"), p11s_exclusive_get(name));
  assert_ptr_not_equal(p11s_exclusive_get("a"), p11s_exclusive_get("b"));
}

static void test_alone_at_once(void **state)
{
  struct p11s_exclusive *g = p11s_exclusive_get("alone");

  (void)state;
  for (int i = 0; i < 2; i++) {
    p11s_exclusive_enter(g);
    assert_int_equal(p11s_exclusive_close(g, 0), P11S_EXCLUSIVE_ALONE);
    p11s_exclusive_open(g);
    p11s_exclusive_leave(g);
  }
}

static void test_busy_while_another_is_inside(void **state)
{
  struct p11s_exclusive *g = p11s_exclusive_get("busy");

  (void)state;
  p11s_exclusive_enter(g);
  p11s_exclusive_enter(g); /* another */
  assert_int_equal(p11s_exclusive_close(g, p11s_now_ms() + 10), P11S_EXCLUSIVE_BUSY);
  /* Who gave up keeps nobody out. */
  p11s_exclusive_enter(g);
  p11s_exclusive_leave(g);
  p11s_exclusive_leave(g);
  assert_int_equal(p11s_exclusive_close(g, 0), P11S_EXCLUSIVE_ALONE);
  p11s_exclusive_open(g);
  p11s_exclusive_leave(g);
}

struct other {
  struct p11s_exclusive *exclusive;
  atomic_bool inside;
  atomic_bool may_leave;
  enum p11s_exclusive_result result;
};

static void *come_and_go(void *data)
{
  struct other *o = data;

  p11s_exclusive_enter(o->exclusive);
  atomic_store(&o->inside, true);
  while (!atomic_load(&o->may_leave))
    usleep(100);
  atomic_store(&o->inside, false);
  p11s_exclusive_leave(o->exclusive);
  return NULL;
}

static void wait_until_inside(struct other *o)
{
  while (!atomic_load(&o->inside))
    usleep(100);
}

static void test_waits_for_the_last_to_leave(void **state)
{
  struct other o = {.exclusive = p11s_exclusive_get("last")};
  pthread_t thread;

  (void)state;
  assert_int_equal(pthread_create(&thread, NULL, come_and_go, &o), 0);
  wait_until_inside(&o);
  p11s_exclusive_enter(o.exclusive);
  assert_int_equal(p11s_exclusive_close(o.exclusive, p11s_now_ms() + 10), P11S_EXCLUSIVE_BUSY);
  atomic_store(&o.may_leave, true);
  assert_int_equal(p11s_exclusive_close(o.exclusive, in_a_while()), P11S_EXCLUSIVE_ALONE);
  assert_false(atomic_load(&o.inside));
  p11s_exclusive_open(o.exclusive);
  p11s_exclusive_leave(o.exclusive);
  assert_int_equal(pthread_join(thread, NULL), 0);
}

static void test_nobody_comes_in_meanwhile(void **state)
{
  struct other o = {.exclusive = p11s_exclusive_get("meanwhile")};
  pthread_t thread;

  (void)state;
  p11s_exclusive_enter(o.exclusive);
  assert_int_equal(p11s_exclusive_close(o.exclusive, 0), P11S_EXCLUSIVE_ALONE);
  assert_int_equal(pthread_create(&thread, NULL, come_and_go, &o), 0);
  usleep(20000); /* it can only be too early to fail */
  assert_false(atomic_load(&o.inside));
  p11s_exclusive_open(o.exclusive);
  wait_until_inside(&o);
  atomic_store(&o.may_leave, true);
  assert_int_equal(pthread_join(thread, NULL), 0);
  p11s_exclusive_leave(o.exclusive);
}

static void *close_and_open(void *data)
{
  struct other *o = data;

  p11s_exclusive_enter(o->exclusive);
  atomic_store(&o->inside, true);
  while (!atomic_load(&o->may_leave))
    usleep(100);
  o->result = p11s_exclusive_close(o->exclusive, in_a_while());
  if (o->result == P11S_EXCLUSIVE_ALONE)
    p11s_exclusive_open(o->exclusive);
  p11s_exclusive_leave(o->exclusive);
  return NULL;
}

/* Each is inside, and in the way of the other. */
static void test_two_who_want_to_be_alone(void **state)
{
  struct other o[2] = {{.exclusive = p11s_exclusive_get("two")},
                       {.exclusive = p11s_exclusive_get("two")}};
  pthread_t threads[2];

  (void)state;
  for (int i = 0; i < 2; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, close_and_open, &o[i]), 0);
  for (int i = 0; i < 2; i++)
    wait_until_inside(&o[i]);
  for (int i = 0; i < 2; i++)
    atomic_store(&o[i].may_leave, true);
  for (int i = 0; i < 2; i++)
    assert_int_equal(pthread_join(threads[i], NULL), 0);
  assert_true(o[0].result == P11S_EXCLUSIVE_ALONE || o[1].result == P11S_EXCLUSIVE_ALONE);
  assert_true(o[0].result != P11S_EXCLUSIVE_BUSY && o[1].result != P11S_EXCLUSIVE_BUSY);
}

static void test_a_child_is_alone(void **state)
{
  struct p11s_exclusive *g = p11s_exclusive_get("child");
  int status;
  pid_t pid;

  (void)state;
  p11s_exclusive_enter(g);
  p11s_exclusive_enter(g);
  pid = fork();
  if (pid == 0) {
    p11s_exclusive_enter(g);
    _exit(p11s_exclusive_close(g, 0) == P11S_EXCLUSIVE_ALONE ? 0 : 1);
  }
  assert_true(pid > 0);
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_int_equal(status, 0);
  p11s_exclusive_leave(g);
  p11s_exclusive_leave(g);
}

static void test_without_a_gate(void **state)
{
  (void)state;
  p11s_exclusive_enter(NULL);
  assert_int_equal(p11s_exclusive_close(NULL, in_a_while()), P11S_EXCLUSIVE_BUSY);
  p11s_exclusive_leave(NULL);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_one_for_each_name),
      cmocka_unit_test(test_alone_at_once),
      cmocka_unit_test(test_busy_while_another_is_inside),
      cmocka_unit_test(test_waits_for_the_last_to_leave),
      cmocka_unit_test(test_nobody_comes_in_meanwhile),
      cmocka_unit_test(test_two_who_want_to_be_alone),
      cmocka_unit_test(test_a_child_is_alone),
      cmocka_unit_test(test_without_a_gate),
  };

  rig_watchdog();
  return cmocka_run_group_tests_name("exclusive", tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/service.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define LONG_MS 60000

struct owner {
  struct p11s_service service;
  char name[16]; /* as the thread has it */
  bool blocked;  /* all signals that can be */
  bool begun;    /* guarded by the lock, like the next one */
  bool busy;     /* it does not heed `stop` */
};

static void work(void *arg)
{
  struct owner *o = arg;
  struct p11s_service *s = &o->service;
  sigset_t set;

  (void)pthread_getname_np(pthread_self(), o->name, sizeof o->name);
  (void)pthread_sigmask(SIG_SETMASK, NULL, &set);
  o->blocked = sigismember(&set, SIGTERM) == 1 && sigismember(&set, SIGINT) == 1;
  p11s_lock(&s->lock);
  o->begun = true;
  pthread_cond_broadcast(&s->changed);
  while (!atomic_load(&s->stop) || o->busy)
    (void)p11s_cond_wait_until(&s->changed, &s->lock, p11s_now_ms() + LONG_MS);
  p11s_unlock(&s->lock);
}

static void start(struct owner *o)
{
  memset(o, 0, sizeof *o);
  p11s_service_init(&o->service);
  assert_true(p11s_service_start(&o->service, "p11s/test", work, o));
}

static void await_begin(struct owner *o)
{
  p11s_lock(&o->service.lock);
  while (!o->begun)
    assert_true(
        p11s_cond_wait_until(&o->service.changed, &o->service.lock, p11s_now_ms() + LONG_MS));
  p11s_unlock(&o->service.lock);
}

static void set_busy(struct owner *o, bool busy)
{
  p11s_lock(&o->service.lock);
  o->busy = busy;
  pthread_cond_broadcast(&o->service.changed);
  p11s_unlock(&o->service.lock);
}

static void runs_under_its_name_until_it_is_stopped(void **state)
{
  struct owner o;

  (void)state;
  start(&o);
  await_begin(&o);
  assert_true(p11s_service_stop(&o.service, p11s_now_ms() + LONG_MS));
  assert_string_equal(o.name, "p11s/test");
  assert_true(o.blocked);
  assert_true(p11s_service_stop(&o.service, 0)); /* again */
  p11s_service_destroy(&o.service);
}

static void one_that_does_not_come_back_is_waited_for_until_the_deadline(void **state)
{
  struct owner o;

  (void)state;
  start(&o);
  await_begin(&o);
  set_busy(&o, true);
  assert_false(p11s_service_stop(&o.service, p11s_now_ms() + 1));
  set_busy(&o, false);
  assert_true(p11s_service_stop(&o.service, p11s_now_ms() + LONG_MS));
  p11s_service_destroy(&o.service);
}

static void one_whose_lock_is_held_is_not_waited_for(void **state)
{
  struct owner o;

  (void)state;
  start(&o);
  await_begin(&o);
  pthread_mutex_lock(&o.service.lock.mutex);
  assert_false(p11s_service_stop(&o.service, p11s_now_ms() + 1));
  pthread_mutex_unlock(&o.service.lock.mutex);
  assert_true(p11s_service_stop(&o.service, p11s_now_ms() + LONG_MS));
  p11s_service_destroy(&o.service);
}

static void *stop_in_thread(void *arg)
{
  struct owner *o = arg;

  return p11s_service_stop(&o->service, p11s_now_ms() + LONG_MS) ? o : NULL;
}

/* Joined by one of them: by both would be undefined. */
static void several_may_stop_it(void **state)
{
  pthread_t thread[4];
  struct owner o;
  void *stopped;

  (void)state;
  start(&o);
  for (unsigned i = 0; i < 4; i++)
    assert_int_equal(pthread_create(&thread[i], NULL, stop_in_thread, &o), 0);
  for (unsigned i = 0; i < 4; i++) {
    assert_int_equal(pthread_join(thread[i], &stopped), 0);
    assert_ptr_equal(stopped, &o);
  }
  p11s_service_destroy(&o.service);
}

/* What a library does at the end of a thread. */
static pthread_key_t at_end;
static atomic_bool may_go;

static void linger(void *arg)
{
  (void)arg;
  while (!atomic_load(&may_go))
    p11s_pause(1);
}

static void work_and_linger(void *arg)
{
  assert_int_equal(pthread_setspecific(at_end, arg), 0);
  work(arg);
}

static bool is_joining(struct owner *o)
{
  bool joining;

  p11s_lock(&o->service.lock);
  joining = o->service.joining;
  p11s_unlock(&o->service.lock);
  return joining;
}

/* Else it might free what the first one still uses. */
static void who_comes_second_waits_for_who_joins(void **state)
{
  struct owner o = {.busy = false};
  pthread_t first;
  void *stopped;

  (void)state;
  atomic_store(&may_go, false);
  assert_int_equal(pthread_key_create(&at_end, linger), 0);
  p11s_service_init(&o.service);
  assert_true(p11s_service_start(&o.service, "p11s/test", work_and_linger, &o));
  assert_int_equal(pthread_create(&first, NULL, stop_in_thread, &o), 0);
  while (!is_joining(&o))
    p11s_pause(1);
  assert_false(p11s_service_stop(&o.service, p11s_now_ms() + 1));
  atomic_store(&may_go, true);
  assert_true(p11s_service_stop(&o.service, p11s_now_ms() + LONG_MS));
  assert_int_equal(pthread_join(first, &stopped), 0);
  assert_ptr_equal(stopped, &o);
  p11s_service_destroy(&o.service);
  assert_int_equal(pthread_key_delete(at_end), 0);
}

static void one_that_was_not_started_is_stopped(void **state)
{
  struct p11s_service s;

  (void)state;
  p11s_service_init(&s);
  assert_true(p11s_service_stop(&s, p11s_now_ms() + LONG_MS));
  p11s_service_destroy(&s);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(runs_under_its_name_until_it_is_stopped),
      cmocka_unit_test(one_that_does_not_come_back_is_waited_for_until_the_deadline),
      cmocka_unit_test(one_whose_lock_is_held_is_not_waited_for),
      cmocka_unit_test(several_may_stop_it),
      cmocka_unit_test(who_comes_second_waits_for_who_joins),
      cmocka_unit_test(one_that_was_not_started_is_stopped),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}

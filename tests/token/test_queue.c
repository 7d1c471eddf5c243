/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The order of waiting work. */
#include "token/job.h"
#include "rig/message_rig.h"
#include "token/queue.h"
#include "rig/rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct p11s_queue *queue;

static int begin(void **state)
{
  (void)state;
  queue = p11s_queue_new();
  return queue == NULL;
}

static int end(void **state)
{
  (void)state;
  p11s_queue_free(queue);
  return 0;
}

/* Of the background, or somebody waits for it. */
static void push(struct p11s_job *job, uint64_t lane, bool urgent, bool background)
{
  memset(job, 0, sizeof *job);
  job->lane = lane;
  job->urgent = urgent;
  job->background = background;
  job->waiters = !background;
  assert_true(p11s_queue_push(queue, job));
}

static void assert_order(struct p11s_job *const *job, size_t count)
{
  for (size_t i = 0; i < count; i++) {
    assert_int_equal(p11s_queue_length(queue), count - i);
    assert_ptr_equal(p11s_queue_pop(queue), job[i]);
  }
  assert_int_equal(p11s_queue_length(queue), 0);
  assert_null(p11s_queue_pop(queue));
}

static void zones_take_turns_behind_the_urgent(void **state)
{
  struct p11s_job a1, a2, b1, soa;

  (void)state;
  push(&a1, 1, false, false);
  push(&a2, 1, false, false);
  push(&b1, 2, false, false);
  push(&soa, 1, true, false);
  assert_order((struct p11s_job *[]){&soa, &a1, &b1, &a2}, 4);
}

static void the_background_comes_last(void **state)
{
  struct p11s_job one, other, a, soa;

  (void)state;
  push(&one, 1, true, true);
  push(&other, 1, false, true);
  push(&a, 1, false, false);
  push(&soa, 1, true, false);
  assert_order((struct p11s_job *[]){&soa, &a, &one, &other}, 4);
}

/* Their waiters have come, or gone. */
static void set_waiters(struct p11s_job *job, unsigned waiters)
{
  job->waiters = waiters;
  job->background = false;
  p11s_queue_move(queue, job);
}

static void what_somebody_waits_for_is_background_no_more(void **state)
{
  struct p11s_job one, other, third, a;

  (void)state;
  push(&one, 1, false, true);
  push(&other, 2, true, true);
  push(&third, 3, false, true);
  push(&a, 4, false, false);
  set_waiters(&other, 1);
  assert_int_equal(p11s_queue_length(queue), 4);
  set_waiters(&third, 1);
  set_waiters(&a, 2); /* is none of them */
  assert_order((struct p11s_job *[]){&other, &a, &third, &one}, 4);
  set_waiters(&one, 1); /* is under way */
  assert_int_equal(p11s_queue_length(queue), 0);
}

static void what_nobody_waits_for_goes_to_the_end(void **state)
{
  struct p11s_job left, left_soa, left_b, again, soa, a, background;

  (void)state;
  push(&background, 1, false, true);
  push(&left, 1, false, false);
  push(&again, 1, false, false);
  push(&left_b, 2, false, false);
  push(&left_soa, 1, true, false);
  set_waiters(&left, 0);
  set_waiters(&left_b, 0);
  set_waiters(&again, 0);
  set_waiters(&left_soa, 0);
  push(&a, 1, false, false);
  push(&soa, 2, true, false);
  set_waiters(&again, 1);
  assert_order((struct p11s_job *[]){&soa, &a, &again, &left_soa, &left, &left_b, &background}, 7);
}

#define ZONES 14

static void too_many_that_nobody_waits_for(void **state)
{
  static struct p11s_job flood[P11S_QUEUE_LEFT + P11S_QUEUE_LEFT_ZONE * ZONES], soa, quiet, waited;
  size_t zones = P11S_QUEUE_LEFT / P11S_QUEUE_LEFT_ZONE, n = 0;

  (void)state;
  push(&waited, 99, false, false);
  push(&soa, 99, true, false);
  push(&quiet, 98, false, false);
  set_waiters(&soa, 0);
  set_waiters(&quiet, 0);
  assert_null(p11s_queue_take_excess(queue, &quiet));
  for (size_t zone = 0; zone < ZONES; zone++)
    for (size_t i = 0; i < P11S_QUEUE_LEFT_ZONE; i++) {
      struct p11s_job *out;

      push(&flood[n], zone, false, false);
      assert_null(p11s_queue_take_excess(queue, &flood[n])); /* somebody waits for it */
      set_waiters(&flood[n], 0);
      out = p11s_queue_take_excess(queue, &flood[n]);
      assert_int_equal(out == NULL, n + 2 <= P11S_QUEUE_LEFT); /* the quiet zone's is one */
      assert_true(out != &quiet);
      n++;
    }
  assert_int_equal(p11s_queue_length(queue), P11S_QUEUE_LEFT + 2);
  assert_true(zones < ZONES);
  /* urgent ones have room, and one of a zone that has its share makes room for itself */
  push(&flood[n], 3, true, false);
  set_waiters(&flood[n], 0);
  assert_null(p11s_queue_take_excess(queue, &flood[n]));
  assert_ptr_equal(p11s_queue_pop(queue), &waited);
  assert_ptr_equal(p11s_queue_pop(queue), &soa);
  assert_ptr_equal(p11s_queue_pop(queue), &flood[n]);
  assert_ptr_equal(p11s_queue_pop(queue), &quiet);
  while (p11s_queue_pop(queue) != NULL)
    ;
}

static void a_zone_that_has_its_share_loses_its_oldest(void **state)
{
  static struct p11s_job flood[P11S_QUEUE_LEFT_ZONE + 3], other;

  (void)state;
  push(&other, 2, false, false);
  set_waiters(&other, 0);
  for (size_t i = 0; i < P11S_QUEUE_LEFT_ZONE + 3; i++) {
    push(&flood[i], 1, false, false);
    set_waiters(&flood[i], 0);
    assert_ptr_equal(p11s_queue_take_excess(queue, &flood[i]),
                     i < P11S_QUEUE_LEFT_ZONE ? NULL : &flood[i - P11S_QUEUE_LEFT_ZONE]);
  }
  assert_ptr_equal(p11s_queue_pop(queue), &other);
  assert_ptr_equal(p11s_queue_pop(queue), &flood[3]);
  while (p11s_queue_pop(queue) != NULL)
    ;
}

static void messages_are_told_apart(void **state)
{
  unsigned char message[MESSAGE_RIG_MAX];
  uint64_t a, b, lane;
  bool urgent;
  size_t len = message_rig_a("example.org", "a.example.org", 1, MESSAGE_RIG_WEEK, message);

  (void)state;
  p11s_queue_classify(message, len, &a, &urgent);
  assert_false(urgent);
  len = message_rig_soa("example.org", 1, MESSAGE_RIG_WEEK, message);
  p11s_queue_classify(message, len, &lane, &urgent);
  assert_true(urgent);
  assert_true(lane == a);
  len = message_rig_dnskey("other.org", 1, MESSAGE_RIG_WEEK, message);
  p11s_queue_classify(message, len, &b, &urgent);
  assert_true(urgent);
  assert_true(a != b && a != 0 && b != 0);
  p11s_queue_classify(message, 18, &lane, &urgent);
  assert_false(urgent);
  assert_true(lane == 0);
}

#define WITH_QUEUE(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
  const struct CMUnitTest tests[] = {
      WITH_QUEUE(zones_take_turns_behind_the_urgent),
      WITH_QUEUE(the_background_comes_last),
      WITH_QUEUE(what_somebody_waits_for_is_background_no_more),
      WITH_QUEUE(what_nobody_waits_for_goes_to_the_end),
      WITH_QUEUE(too_many_that_nobody_waits_for),
      WITH_QUEUE(a_zone_that_has_its_share_loses_its_oldest),
      WITH_QUEUE(messages_are_told_apart),
  };

  rig_watchdog();
  return cmocka_run_group_tests(tests, NULL, NULL);
}

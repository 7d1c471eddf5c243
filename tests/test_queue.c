/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The order of waiting work. */
#include "job.h"
#include "message_rig.h"
#include "queue.h"
#include "rig.h"

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

static void push(struct p11s_job *job, uint64_t lane, bool urgent, bool background)
{
  memset(job, 0, sizeof *job);
  job->lane = lane;
  job->urgent = urgent;
  job->background = background;
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

static void what_somebody_waits_for_is_background_no_more(void **state)
{
  struct p11s_job one, other, third, a;

  (void)state;
  push(&one, 1, false, true);
  push(&other, 2, true, true);
  push(&third, 3, false, true);
  push(&a, 4, false, false);
  assert_true(p11s_queue_promote(queue, &other));
  assert_false(other.background);
  assert_int_equal(p11s_queue_length(queue), 4);
  assert_true(p11s_queue_promote(queue, &third));
  assert_true(p11s_queue_promote(queue, &a)); /* is none of them */
  assert_order((struct p11s_job *[]){&other, &a, &third, &one}, 4);
  assert_true(p11s_queue_promote(queue, &one)); /* is under way */
  assert_int_equal(p11s_queue_length(queue), 0);
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
      WITH_QUEUE(messages_are_told_apart),
  };

  rig_watchdog();
  return cmocka_run_group_tests(tests, NULL, NULL);
}

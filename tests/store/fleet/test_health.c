/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "store/fleet/health.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define TIMEOUT 20

static void callers_may_wait_for_the_first_connection(void **state)
{
  struct p11s_health b = {0};

  (void)state;
  assert_true(p11s_health_allows(&b));
  assert_true(p11s_health_answered(&b, 1000, 0, TIMEOUT));
  assert_false(p11s_health_answered(&b, 1001, TIMEOUT, TIMEOUT));
  assert_int_equal(b.state, P11S_HEALTH_UP);
}

static void three_late_answers_in_a_row(void **state)
{
  struct p11s_health b = {0};

  (void)state;
  (void)p11s_health_answered(&b, 1000, 0, TIMEOUT);
  assert_false(p11s_health_late(&b, 1020, TIMEOUT));
  assert_false(p11s_health_late(&b, 1020, TIMEOUT)); /* of the same moment */
  assert_false(p11s_health_late(&b, 1039, TIMEOUT));
  assert_false(p11s_health_late(&b, 1040, TIMEOUT));
  assert_false(p11s_health_answered(&b, 1050, 5, TIMEOUT)); /* not in a row */
  assert_false(p11s_health_late(&b, 1060, TIMEOUT));
  assert_false(p11s_health_late(&b, 1080, TIMEOUT));
  assert_true(p11s_health_allows(&b));
  assert_true(p11s_health_late(&b, 1100, TIMEOUT));
  assert_false(p11s_health_allows(&b));
  assert_false(p11s_health_late(&b, 1200, TIMEOUT)); /* known */
  assert_int_equal(b.since_ms, 1100);
  assert_true(b.trial_ms >= 1100 + P11S_HEALTH_SHORTEST_MS);
}

/* Nobody waits any more, but what is said is what becomes of the connection. */
static void late_before_the_first_connection(void **state)
{
  struct p11s_health b = {0};

  (void)state;
  assert_false(p11s_health_late(&b, 1020, TIMEOUT));
  assert_false(p11s_health_late(&b, 1040, TIMEOUT));
  assert_false(p11s_health_late(&b, 1060, TIMEOUT));
  assert_false(p11s_health_allows(&b));
  assert_true(p11s_health_answered(&b, 1100, 0, TIMEOUT));
  assert_true(p11s_health_allows(&b));
}

/* An answer that comes, but too late, is no reason to wait for the next. */
static void a_late_trial_does_not_bring_it_back(void **state)
{
  struct p11s_health b = {0};
  uint64_t before;

  (void)state;
  (void)p11s_health_failed(&b, 1000);
  before = b.trial_ms;
  assert_false(p11s_health_answered(&b, 2000, TIMEOUT + 1, TIMEOUT));
  assert_false(p11s_health_allows(&b));
  assert_true(b.trial_ms > before);
  assert_int_equal(b.since_ms, 1000);
  assert_true(p11s_health_answered(&b, 3000, TIMEOUT, TIMEOUT));
  assert_true(p11s_health_allows(&b));
}

static void trials_come_at_growing_distances(void **state)
{
  struct p11s_health b = {0};
  uint64_t now = 1000, pause;

  (void)state;
  assert_true(p11s_health_failed(&b, now));
  assert_int_equal(b.trial_ms, now); /* at once */
  for (pause = P11S_HEALTH_SHORTEST_MS; pause < P11S_HEALTH_LONGEST_MS; pause *= 2) {
    now += 10;
    assert_false(p11s_health_failed(&b, now));
    assert_int_equal(b.trial_ms, now + pause);
  }
  for (int i = 0; i < 3; i++) {
    assert_false(p11s_health_failed(&b, now));
    assert_int_equal(b.trial_ms, now + P11S_HEALTH_LONGEST_MS);
  }
  (void)p11s_health_answered(&b, now, 0, TIMEOUT);
  assert_true(p11s_health_failed(&b, now));
  assert_int_equal(b.trial_ms, now); /* from the beginning */
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(callers_may_wait_for_the_first_connection),
      cmocka_unit_test(three_late_answers_in_a_row),
      cmocka_unit_test(late_before_the_first_connection),
      cmocka_unit_test(a_late_trial_does_not_bring_it_back),
      cmocka_unit_test(trials_come_at_growing_distances),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}

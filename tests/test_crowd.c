/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "crowd.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void limits(void **state)
{
  (void)state;
  assert_int_equal(p11s_crowd_limit(0), 0);
  assert_int_equal(p11s_crowd_limit(2), 0);
  assert_int_equal(p11s_crowd_limit(7), 0);
  assert_int_equal(p11s_crowd_limit(8), 6);
  assert_int_equal(p11s_crowd_limit(32), 24);
}

static void burst_then_limit(void **state)
{
  struct p11s_crowd crowd = {.limit = 2};
  uint64_t deadline = 10000;

  (void)state;
  assert_true(p11s_crowd_enter(&crowd, 1000, &deadline));
  assert_true(p11s_crowd_enter(&crowd, 1000, &deadline));
  assert_int_equal(deadline, 10000);
  for (int i = 0; i < 10; i++) {
    deadline = 10000;
    assert_true(p11s_crowd_enter(&crowd, 1000 + (uint64_t)i, &deadline));
    assert_int_equal(deadline, 1000 + P11S_CROWD_BURST_MS); /* of the first beyond the limit */
  }
  deadline = 1001;
  assert_true(p11s_crowd_enter(&crowd, 1000, &deadline));
  assert_int_equal(deadline, 1001);
  assert_false(p11s_crowd_enter(&crowd, 1000 + P11S_CROWD_BURST_MS, &deadline));
  for (int i = 0; i < 12; i++)
    p11s_crowd_leave(&crowd);
  assert_int_equal(atomic_load(&crowd.waiting), 1);
}

/* A token that keeps up serves them too, whoever comes when. */
static void late_in_a_burst_there_is_time_enough(void **state)
{
  struct p11s_crowd crowd = {.limit = 1};
  uint64_t deadline = 10000;

  (void)state;
  assert_true(p11s_crowd_enter(&crowd, 1000, &deadline));
  assert_true(p11s_crowd_enter(&crowd, 1000, &deadline));
  deadline = 10000;
  assert_true(p11s_crowd_enter(&crowd, 999 + P11S_CROWD_BURST_MS, &deadline));
  assert_int_equal(deadline, 999 + P11S_CROWD_BURST_MS + P11S_CROWD_LEAST_MS);
}

/* One leaves, one comes: that is no end of the flood. */
static void flood_goes_on(void **state)
{
  struct p11s_crowd crowd = {.limit = 4};
  uint64_t now = 1000, deadline = 100000;

  (void)state;
  for (int i = 0; i < 5; i++)
    assert_true(p11s_crowd_enter(&crowd, now, &deadline));
  p11s_crowd_leave(&crowd);
  now += P11S_CROWD_BURST_MS;
  for (int i = 0; i < 30; i++) {
    p11s_crowd_leave(&crowd);
    assert_true(p11s_crowd_enter(&crowd, now, &deadline));
    assert_false(p11s_crowd_enter(&crowd, now, &deadline));
  }
  p11s_crowd_leave(&crowd);
  p11s_crowd_leave(&crowd); /* down to a half: over */
  for (int i = 0; i < 10; i++)
    assert_true(p11s_crowd_enter(&crowd, now, &deadline));
}

/* Four at a time, each for 10 ms: nobody waits long, however many come. Then it hangs. */
static void who_keeps_up_refuses_nobody(void **state)
{
  struct p11s_crowd crowd = {.limit = 4};
  uint64_t now = 1000, deadline = 1000000;

  (void)state;
  for (int i = 0; i < 5; i++)
    assert_true(p11s_crowd_enter(&crowd, now, &deadline));
  for (; now < 10000; now += 10)
    for (int i = 0; i < 4; i++) {
      p11s_crowd_leave(&crowd);
      assert_true(p11s_crowd_enter(&crowd, now, &deadline));
    }
  assert_true(p11s_crowd_enter(&crowd, now + P11S_CROWD_BURST_MS, &deadline));
  assert_false(p11s_crowd_enter(&crowd, now + 2 * P11S_CROWD_BURST_MS, &deadline));
}

static void no_limit(void **state)
{
  struct p11s_crowd crowd = {.limit = 0};
  uint64_t deadline = 5;

  (void)state;
  for (uint64_t i = 0; i < 1000; i++)
    assert_true(p11s_crowd_enter(&crowd, i, &deadline));
  assert_int_equal(deadline, 5);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(limits),        cmocka_unit_test(burst_then_limit),
      cmocka_unit_test(flood_goes_on), cmocka_unit_test(who_keeps_up_refuses_nobody),
      cmocka_unit_test(no_limit),      cmocka_unit_test(late_in_a_burst_there_is_time_enough),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}

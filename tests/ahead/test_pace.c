/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When the next signature that nobody waits for may begin. */
#include "ahead/pace.h"
#include "rig/rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define MS 1000u
#define SECOND 1000000u
#define DAY_US (86400ull * SECOND)

/* How many begin within so long, on a token that does nothing else and takes took for each. */
static unsigned simulate(struct p11s_pace p, uint64_t within_us)
{
  unsigned count = 0;
  uint64_t now = 0;

  p.since_us = p.took_us;
  p.idle_us = 0;
  while (now < within_us) {
    uint64_t wait = p11s_pace_wait(&p);

    if (wait == 0) {
      count++;
      p.left -= p.left > 0;
      p.since_us = p.took_us;
      p.idle_us = 0;
      now += p.took_us;
      continue;
    }
    p.since_us += wait;
    p.idle_us += wait;
    now += wait;
  }
  return count;
}

static void a_rate_is_kept(void **state)
{
  struct p11s_pace p = {.rate = 4, .took_us = 100 * MS, .left = 1000, .time_left_us = 5 * DAY_US};

  (void)state;
  assert_in_range(simulate(p, 10 * SECOND), 39, 41);
  p.urgent = true;
  assert_in_range(simulate(p, 10 * SECOND), 39, 41);
  p.rate = 100000;
  assert_in_range(simulate(p, 10 * SECOND), 99, 101); /* no more than the token makes */
}

static void half_of_the_time_the_token_is_idle(void **state)
{
  struct p11s_pace p = {.took_us = 500 * MS, .left = 1000, .urgent = true};

  (void)state;
  assert_in_range(simulate(p, 100 * SECOND), 99, 101);
  /* It has been asked for other things all the time. */
  p.since_us = 2 * SECOND;
  p.idle_us = 500 * MS;
  assert_int_equal(p11s_pace_wait(&p), 1 * SECOND);
  p.idle_us = 1 * SECOND;
  assert_int_equal(p11s_pace_wait(&p), 0);
}

static void a_token_that_is_never_idle_gets_there_too(void **state)
{
  struct p11s_pace p = {.took_us = 500 * MS, .left = 1000};

  (void)state;
  p.since_us = 10 * SECOND - 1;
  assert_true(p11s_pace_wait(&p) > 0);
  p.since_us = 10 * SECOND;
  assert_int_equal(p11s_pace_wait(&p), 0);
}

static void spread_over_the_time_that_is_left(void **state)
{
  struct p11s_pace p = {.took_us = 500 * MS, .left = 100000, .time_left_us = 5 * DAY_US};

  (void)state;
  /* 432,000 s for 100,000: one in 4.32 s. */
  assert_in_range(simulate(p, 432 * SECOND), 99, 101);
  p.left = 10000000; /* too many: half of the token */
  assert_in_range(simulate(p, 100 * SECOND), 99, 101);
  p.left = 10; /* few: a twentieth of it, all the same */
  assert_in_range(simulate(p, 50 * SECOND), 5, 6);
  p.left = 100000;
  p.time_left_us = 0; /* late: half of it */
  assert_in_range(simulate(p, 100 * SECOND), 99, 101);
  p.time_left_us = 5 * DAY_US;
  p.urgent = true;
  assert_in_range(simulate(p, 100 * SECOND), 99, 101);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_rate_is_kept),
      cmocka_unit_test(half_of_the_time_the_token_is_idle),
      cmocka_unit_test(a_token_that_is_never_idle_gets_there_too),
      cmocka_unit_test(spread_over_the_time_that_is_left),
  };

  rig_watchdog();
  return cmocka_run_group_tests(tests, NULL, NULL);
}

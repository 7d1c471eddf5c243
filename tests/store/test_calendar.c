/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When a clock is believed. */
#include "store/calendar.h"

#include "rig/message_rig.h"
#include "format/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define NOW ((int64_t)MESSAGE_RIG_WEEK)
#define DAY 86400
#define WEEK P11S_WEEK_SECONDS

static struct p11s_calendar calendar;
static struct p11s_census census;

static int anew(void **state)
{
  (void)state;
  memset(&calendar, 0, sizeof calendar);
  memset(&census, 0, sizeof census);
  return 0;
}

/* At this time, by both clocks. */
static bool look(int64_t now, int64_t boot_s, bool jumped)
{
  bool has_jumped, settled = p11s_calendar_look(&calendar, now, boot_s, &has_jumped);

  assert_int_equal(has_jumped, jumped);
  return settled;
}

static void not_in_the_first_hour(void **state)
{
  (void)state;
  assert_false(look(NOW, 100, true));
  assert_false(look(NOW + 3599, 3699, false));
  assert_true(look(NOW + 3600, 3700, false));
  assert_true(look(NOW + 3605 + 7000, 3705, false));       /* NTP sets it a little */
  assert_true(look(NOW + 9 * DAY, 3705 + 9 * DAY, false)); /* suspended */
}

static void not_in_the_hour_after_a_jump(void **state)
{
  (void)state;
  assert_false(look(0, 1, true)); /* 1970 */
  assert_true(look(4000, 4001, false));
  assert_false(look(NOW, 4002, true));
  assert_false(look(NOW + 3000, 7002, false));
  assert_true(look(NOW + 3600, 7602, false));
  assert_false(look(NOW - DAY, 7603, true));
}

static void add(unsigned count, uint32_t week, uint32_t days_used)
{
  static unsigned char message[MESSAGE_RIG_MAX];
  struct p11s_store_record record = {.message = message, .days_used = days_used};

  record.message_len = message_rig_a("example.org", "www.example.org", 1, week, message);
  while (count-- > 0)
    assert_true(p11s_census_add(&record, &census));
}

static uint32_t judged(int64_t now, int expected_days)
{
  int days;
  uint32_t result = p11s_census_now(&census, (uint32_t)now, &days);

  assert_int_equal(days, expected_days);
  return result;
}

static void most_signatures_decide(void **state)
{
  (void)state;
  assert_int_equal(judged(NOW, 0), NOW); /* nothing is stored */
  add(100, MESSAGE_RIG_WEEK, 1);
  add(90, MESSAGE_RIG_WEEK - WEEK, 1);
  add(500, MESSAGE_RIG_WEEK + WEEK, 0); /* ahead: nobody has asked for them */
  assert_int_equal(judged(NOW + 3 * DAY, 0), NOW + 3 * DAY);
  assert_int_equal(judged(NOW + WEEK, 0), NOW + WEEK); /* it has just turned */
  assert_int_equal(judged(NOW + 43 * DAY, 36), NOW);
  assert_int_equal(judged(NOW - DAY + 1, 0), NOW - DAY + 1);
  assert_int_equal(judged(NOW - 3 * DAY, -3), NOW);
  assert_int_equal(judged(0, -(int)(NOW / DAY)), NOW); /* 1970 */
  add(80, MESSAGE_RIG_WEEK + 6 * WEEK, 1);             /* asked for by who has that clock */
  assert_int_equal(judged(NOW + 43 * DAY, 36), NOW);
  add(200, MESSAGE_RIG_WEEK + 6 * WEEK, 1); /* and by most */
  assert_int_equal(judged(NOW + 43 * DAY, 0), NOW + 43 * DAY);
}

static void it_is_said_in_words(void **state)
{
  char text[80];

  (void)state;
  p11s_census_format(40, text, sizeof text);
  assert_string_equal(text, "40 days ahead of the signatures in the store");
  p11s_census_format(-2, text, sizeof text);
  assert_string_equal(text, "2 days behind the signatures in the store");
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(not_in_the_first_hour, anew),
      cmocka_unit_test_setup(not_in_the_hour_after_a_jump, anew),
      cmocka_unit_test_setup(most_signatures_decide, anew),
      cmocka_unit_test_setup(it_is_said_in_words, anew),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}

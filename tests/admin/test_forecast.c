/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether a token keeps up, and what would help. */
#include "admin/forecast.h"

#include "format/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct p11s_buf advice;

static struct p11s_forecast_input input(uint64_t week, uint64_t of_keys)
{
  struct p11s_forecast_input in = {.week = week, .of_keys = of_keys, .sessions = 8, .ahead = 1};

  return in;
}

static void measured(struct p11s_forecast_input *in, unsigned sessions, uint64_t us)
{
  for (unsigned i = 0; i < 20; i++)
    p11s_speed_add(&in->rate, sessions, us);
}

static struct p11s_forecast make(const struct p11s_forecast_input *in)
{
  struct p11s_forecast f;

  p11s_forecast_make(in, &f);
  p11s_buf_clear(&advice);
  p11s_forecast_advise(in, &f, &advice);
  return f;
}

static bool says(const char *part)
{
  for (size_t at = 0; at < advice.len; at += strlen(advice.data + at) + 1)
    if (strstr(advice.data + at, part) != NULL)
      return true;
  return false;
}

static void must_say(const char *part)
{
  if (!says(part))
    fail_msg("'%s' is not said", part);
}

/* The issue's own: 5 signatures a second, 10,000 RRsets. */
static void a_card_and_a_zone_of_ten_thousand(void **state)
{
  struct p11s_forecast_input in = input(20000, 1);
  struct p11s_forecast f;

  (void)state;
  measured(&in, 1, 200000);
  measured(&in, 8, 1600000);
  f = make(&in);
  assert_int_equal(f.refill_s, 4000);
  assert_int_equal(f.ahead_s, 8000);
  assert_int_equal(f.keeps_up, P11S_KEEPS_UP_YES);
  must_say("no burst");
  must_say("1 signature a week instead of 20000");
  must_say("more sessions do not help: 5.0 signatures a second with 8, 5.0 with 1");
  must_say("33 min for each");
  in.ahead = 0;
  (void)make(&in);
  must_say("busy for up to 67 min");
  must_say("pkcs11signer-sign-ahead=1");
  assert_false(says("no burst when"));
}

static void a_token_that_is_too_slow(void **state)
{
  struct p11s_forecast_input in = input(2 * P11S_WEEK_SECONDS, 10);
  struct p11s_forecast f;

  (void)state;
  measured(&in, 1, 1000000);
  f = make(&in);
  assert_int_equal(f.refill_s, 2 * P11S_WEEK_SECONDS);
  assert_int_equal(f.keeps_up, P11S_KEEPS_UP_NO);
  must_say("never catches up");
  must_say("6 keep up"); /* 4 weeks of work at half speed, five days each */
  must_say("not known");
}

static void a_token_that_is_late(void **state)
{
  struct p11s_forecast_input in = input(P11S_WEEK_SECONDS / 2, 10);

  (void)state;
  measured(&in, 1, 1000000);
  assert_int_equal(make(&in).keeps_up, P11S_KEEPS_UP_LATE);
  must_say("not done two days before");
  in.week = 5 * 86400 / 2;
  assert_int_equal(make(&in).keeps_up, P11S_KEEPS_UP_YES);
  in.week++;
  assert_int_equal(make(&in).keeps_up, P11S_KEEPS_UP_LATE);
  in.week = P11S_WEEK_SECONDS;
  assert_int_equal(make(&in).keeps_up, P11S_KEEPS_UP_LATE);
  in.week++;
  assert_int_equal(make(&in).keeps_up, P11S_KEEPS_UP_NO);
}

static void sessions_that_would_help(void **state)
{
  struct p11s_forecast_input in = input(10000, 1);

  (void)state;
  measured(&in, 1, 20000);
  measured(&in, 8, 20000);
  assert_true(make(&in).rate > 399);
  must_say("400.0 signatures a second with 8, 50.0 with 1. Try pkcs11signer-sessions=16");
  in.room = 4;
  (void)make(&in);
  must_say("the token has no more than 4");
  in.room = 0;
  in.sessions = 64;
  (void)make(&in);
  assert_false(says("more sessions"));
}

/* What takes a second need not be halved. */
static void a_fast_token_needs_no_advice(void **state)
{
  struct p11s_forecast_input in = input(1000, 1);

  (void)state;
  measured(&in, 1, 1000);
  assert_int_equal(make(&in).refill_s, 1);
  must_say("no burst");
  assert_false(says("another token") || says("KSK only") || says("more sessions"));
  in.week = 20000;
  assert_int_equal(make(&in).refill_s, 20);
  must_say("another token for half of the zones: 10 s for each");
}

static void a_zsk_in_software_already(void **state)
{
  struct p11s_forecast_input in = input(3, 3);

  (void)state;
  measured(&in, 1, 20000000);
  (void)make(&in);
  assert_false(says("KSK only"));
}

static void nothing_measured_nothing_claimed(void **state)
{
  struct p11s_forecast_input in = input(1000, 1);
  struct p11s_forecast f = make(&in);

  (void)state;
  assert_int_equal(f.keeps_up, P11S_KEEPS_UP_UNKNOWN);
  assert_true(f.rate < 1e-9);
  must_say("--measure");
  assert_false(says("sessions"));
  in = input(0, 0);
  measured(&in, 1, 20000);
  assert_int_equal(make(&in).keeps_up, P11S_KEEPS_UP_YES);
  assert_int_equal(advice.len, 0);
}

static int teardown(void **state)
{
  (void)state;
  p11s_buf_clear(&advice);
  return 0;
}

int main(void)
{
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test_teardown(a_card_and_a_zone_of_ten_thousand, teardown),
      cmocka_unit_test_teardown(a_token_that_is_too_slow, teardown),
      cmocka_unit_test_teardown(a_token_that_is_late, teardown),
      cmocka_unit_test_teardown(sessions_that_would_help, teardown),
      cmocka_unit_test_teardown(a_fast_token_needs_no_advice, teardown),
      cmocka_unit_test_teardown(a_zsk_in_software_already, teardown),
      cmocka_unit_test_teardown(nothing_measured_nothing_claimed, teardown),
  };

  return cmocka_run_group_tests_name("forecast", tests, NULL, NULL);
}

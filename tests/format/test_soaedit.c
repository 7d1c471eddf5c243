/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Serials by SOA-EDIT, in weeks of any time. */
#include "rig/rig.h"
#include "format/soaedit.h"
#include "format/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#define W 1795651200u /* 2026-11-26 00:00 UTC: a week begins */
#define WEEK P11S_WEEK_SECONDS
#define DAY 86400u

static void set_zone(const char *name)
{
  assert_int_equal(setenv("TZ", name, 1), 0);
  tzset();
}

static int in_utc(void **state)
{
  (void)state;
  set_zone("UTC");
  return 0;
}

/* Of a week that has but one. */
static uint32_t only(enum p11s_soa_edit_kind kind, uint32_t serial, uint32_t week)
{
  const struct p11s_soa_edit edit = {kind, serial, 0};
  uint32_t serials[P11S_SOA_EDIT_SERIALS];

  assert_int_equal(p11s_soa_edit_serials(&edit, week, week, serials), 1);
  return serials[0];
}

static void names(void **state)
{
  (void)state;
  assert_int_equal(p11s_soa_edit_parse("INCEPTION-INCREMENT"), P11S_SOA_EDIT_INCEPTION_INCREMENT);
  assert_int_equal(p11s_soa_edit_parse("increment-weeks"), P11S_SOA_EDIT_INCREMENT_WEEKS);
  assert_int_equal(p11s_soa_edit_parse("Inception-Epoch"), P11S_SOA_EDIT_INCEPTION_EPOCH);
  assert_int_equal(p11s_soa_edit_parse("EPOCH"), P11S_SOA_EDIT_EPOCH);
  assert_int_equal(p11s_soa_edit_parse("NONE"), P11S_SOA_EDIT_NONE);
  assert_int_equal(p11s_soa_edit_parse(""), P11S_SOA_EDIT_NONE);
  assert_int_equal(p11s_soa_edit_parse("INCEPTION"), P11S_SOA_EDIT_NONE); /* of PowerDNS 3 */
}

static void none(void **state)
{
  (void)state;
  assert_int_equal(only(P11S_SOA_EDIT_NONE, 42, W), 42);
  assert_int_equal(only(P11S_SOA_EDIT_NONE, 42, W + 8 * WEEK), 42);
}

static void increment_weeks(void **state)
{
  (void)state;
  /* PowerDNS's manual: 12345678 becomes 12348079 on 2016-01-13, 2401 weeks after the epoch. */
  assert_int_equal(only(P11S_SOA_EDIT_INCREMENT_WEEKS, 12345678, p11s_week_start(1452643200)),
                   12348079);
  assert_int_equal(only(P11S_SOA_EDIT_INCREMENT_WEEKS, 0xffffffffu, W), W / WEEK - 1);
}

static void inception_epoch(void **state)
{
  (void)state;
  assert_int_equal(only(P11S_SOA_EDIT_INCEPTION_EPOCH, 12345678, W), W);
  assert_int_equal(only(P11S_SOA_EDIT_INCEPTION_EPOCH, W - 1, W), W);
  assert_int_equal(only(P11S_SOA_EDIT_INCEPTION_EPOCH, W + 5, W), W + 5);
  assert_int_equal(only(P11S_SOA_EDIT_INCEPTION_EPOCH, W + 5, W + WEEK), W + WEEK);
}

static void inception_increment(void **state)
{
  static const struct {
    uint32_t serial, served;
  } cases[] = {
      {1, 2026112601},          {2026112599, 2026112601},   /* before the day */
      {2026112600, 2026112602}, {2026112601, 2026112602},   /* reserved for it */
      {2026112602, 2026112603}, {2026112899, 2026112900},   /* until two days later */
      {2026112900, 2026112900}, {4000000000u, 4000000000u}, /* later still */
  };

  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
    assert_int_equal(only(P11S_SOA_EDIT_INCEPTION_INCREMENT, cases[i].serial, W), cases[i].served);
  assert_int_equal(only(P11S_SOA_EDIT_INCEPTION_INCREMENT, 2026112601, W + WEEK), 2026120301);
  set_zone("EST5EDT"); /* where the week begins on Wednesday evening */
  assert_int_equal(only(P11S_SOA_EDIT_INCEPTION_INCREMENT, 1, W), 2026112501);
}

static void nobody_knows_epoch(void **state)
{
  const struct p11s_soa_edit edit = {P11S_SOA_EDIT_EPOCH, 42, 0};
  uint32_t serials[P11S_SOA_EDIT_SERIALS];

  (void)state;
  assert_int_equal(p11s_soa_edit_serials(&edit, W, W, serials), 0);
}

/* soa-edit-spread: last week's serial for a while. */
static void a_serial_that_is_late(void **state)
{
  struct p11s_soa_edit edit = {P11S_SOA_EDIT_INCREMENT_WEEKS, 0, 3600};
  uint32_t serials[P11S_SOA_EDIT_SERIALS];

  (void)state;
  assert_int_equal(p11s_soa_edit_serials(&edit, W, W + 3599, serials), 2);
  assert_int_equal(serials[0], W / WEEK - 1);
  assert_int_equal(serials[1], W / WEEK);
  assert_int_equal(p11s_soa_edit_serials(&edit, W + WEEK, W, serials), 2);
  assert_int_equal(serials[1], W / WEEK + 1);
  assert_int_equal(p11s_soa_edit_serials(&edit, W, W + 3600, serials), 1);
  assert_int_equal(serials[0], W / WEEK);
  edit.delay = WEEK; /* rounding makes it so for a few zones when the spread is a week */
  assert_int_equal(p11s_soa_edit_serials(&edit, W, W + WEEK - 1, serials), 1);
  assert_int_equal(serials[0], W / WEEK - 1);
  edit = (struct p11s_soa_edit){P11S_SOA_EDIT_NONE, 42, 3600};
  assert_int_equal(p11s_soa_edit_serials(&edit, W, W, serials), 1);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(names),
      cmocka_unit_test(none),
      cmocka_unit_test(increment_weeks),
      cmocka_unit_test(inception_epoch),
      cmocka_unit_test_setup(inception_increment, in_utc),
      cmocka_unit_test(nobody_knows_epoch),
      cmocka_unit_test(a_serial_that_is_late),
  };

  rig_watchdog();
  return cmocka_run_group_tests(tests, NULL, NULL);
}

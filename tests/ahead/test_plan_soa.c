/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The plan: serials that change with the week, and expirations that are extended. */
#include "base/buf.h"
#include "rig/message_rig.h"
#include "ahead/plan.h"
#include "rig/rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define W MESSAGE_RIG_WEEK
#define WEEK P11S_WEEK_SECONDS
#define DAY 86400u
#define HOUR 3600u
#define NOW (W + 3 * DAY)
#define ZONE "example.org"
#define WEEKS 2

static struct p11s_plan *plan;
static unsigned char message[MESSAGE_RIG_MAX];

static void begin_at(uint32_t now)
{
  p11s_plan_free(plan);
  plan = p11s_plan_new(now, WEEKS, NULL, 0);
  assert_non_null(plan);
}

static int begin(void **state)
{
  (void)state;
  assert_int_equal(setenv("TZ", "UTC", 1), 0);
  tzset();
  begin_at(NOW);
  return 0;
}

static int end(void **state)
{
  (void)state;
  p11s_plan_free(plan);
  plan = NULL;
  return 0;
}

static void add(size_t len, uint32_t last_used, uint32_t days)
{
  static const unsigned char key_id[P11S_STORE_ID_LEN] = {1};
  const struct p11s_store_record record = {key_id, message,   len, (const unsigned char *)"s",
                                           1,      last_used, days};

  assert_true(p11s_plan_add(&record, plan));
}

static void add_soa(uint32_t serial, uint32_t week, uint32_t last_used, uint32_t days)
{
  add(message_rig_soa(ZONE, serial, week, message), last_used, days);
}

static void say(enum p11s_soa_edit_kind kind, uint32_t serial, uint32_t delay)
{
  const struct p11s_zone_state state = {
      .exists = true, .has_soa = true, .soa_edit = {kind, serial, delay}};

  for (size_t i = 0; i < p11s_plan_zones(plan); i++)
    p11s_plan_set_zone(plan, i, &state);
}

/* What is to be signed: serials, and weeks ahead. All are made of what stands in `message`. */
static const char *tasks(size_t len)
{
  static char text[256];
  struct p11s_plan_cursor cursor = {0};
  struct p11s_plan_task task;
  unsigned char made[MESSAGE_RIG_MAX], wanted[MESSAGE_RIG_MAX];
  size_t at = 0;

  assert_true(p11s_plan_finish(plan));
  for (size_t i = 0; i < p11s_plan_keys(plan); i++)
    p11s_plan_set_token(plan, i, 0);
  text[0] = '\0';
  while (p11s_plan_next(plan, 0, &cursor, &task)) {
    memcpy(made, message, len);
    assert_true(p11s_plan_apply(&task, made, len));
    assert_int_equal(message_rig_soa(ZONE, task.serial, task.week, wanted), len);
    assert_memory_equal(made, wanted, len);
    at += (size_t)snprintf(text + at, sizeof text - at, "%s%u+%u", at > 0 ? " " : "", task.serial,
                           task.ahead);
  }
  return text;
}

static struct p11s_budget budget(void)
{
  struct p11s_budget result;

  assert_true(p11s_plan_finish(plan));
  p11s_plan_budget(plan, &result);
  return result;
}

static void each_week_has_its_serial(void **state)
{
  static const struct {
    enum p11s_soa_edit_kind kind;
    uint32_t serial, now;
    const char *tasks;
  } cases[] = {
      {P11S_SOA_EDIT_INCREMENT_WEEKS, 1, 2970, "2971+1 2972+2"},
      {P11S_SOA_EDIT_INCEPTION_EPOCH, 1, W, "1796256000+1 1796860800+2"},
      {P11S_SOA_EDIT_INCEPTION_INCREMENT, 1, 2026112601, "2026120301+1 2026121001+2"},
      {P11S_SOA_EDIT_INCEPTION_INCREMENT, 2026112701, 2026112702, "2026120301+1 2026121001+2"},
      {P11S_SOA_EDIT_NONE, 42, 42, "42+1 42+2"},
  };

  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    begin_at(NOW);
    add_soa(cases[i].now, W, NOW, 1);
    say(cases[i].kind, cases[i].serial, 0);
    assert_string_equal(tasks(message_rig_soa(ZONE, cases[i].now, W, message)), cases[i].tasks);
    assert_int_equal(budget().until, W + WEEK);
  }
}

/* What an earlier version signed ahead: next week's times, this week's serial. */
static void the_serial_of_another_week_is_of_no_use(void **state)
{
  (void)state;
  add_soa(2970, W, NOW, 1);
  add_soa(2970, W + WEEK, NOW, 0);
  say(P11S_SOA_EDIT_INCREMENT_WEEKS, 1, 0);
  assert_int_equal(budget().until, W + WEEK);
  add_soa(2971, W + WEEK, NOW, 0);
  assert_int_equal(budget().until, W + 2 * WEEK);
  assert_int_equal(budget().recurring, 1);
}

/* The zone has changed since: nobody has asked for the new serial yet. */
static void a_new_serial_of_the_zone(void **state)
{
  (void)state;
  add_soa(2970, W, NOW, 1);
  add_soa(2971, W + WEEK, NOW, 0);
  say(P11S_SOA_EDIT_INCREMENT_WEEKS, 2, 0);
  assert_int_equal(budget().until, W);
  assert_string_equal(tasks(message_rig_soa(ZONE, 2970, W, message)), "2971+0 2972+1 2973+2");
}

/* Then it is as with an unchanging serial: the newest one. */
static void what_the_database_does_not_say(void **state)
{
  (void)state;
  add_soa(41, W, NOW - 10, 5);
  add_soa(42, W, NOW, 1);
  add_soa(43, W - WEEK, W - 10, 7);
  assert_string_equal(tasks(message_rig_soa(ZONE, 42, W, message)), "42+1 42+2");
}

static void a_serial_that_nobody_knows(void **state)
{
  struct p11s_buf why = P11S_BUF_INIT;

  (void)state;
  add_soa(NOW, W, NOW, 1);
  add_soa(NOW, W + WEEK, NOW, 0);
  add(message_rig_a(ZONE, ZONE, 1, W, message), NOW, 1);
  say(P11S_SOA_EDIT_EPOCH, 42, 0);
  assert_int_equal(budget().why, P11S_BUDGET_SERIAL);
  assert_int_equal(budget().until, W);
  assert_int_equal(budget().recurring, 2);
  assert_true(p11s_plan_why(plan, P11S_BUDGET_SERIAL, &why));
  assert_non_null(strstr(p11s_buf_text(&why), "zone example.org.: the serial of its SOA record"));
  p11s_buf_clear(&why);
  begin_at(NOW);
  add_soa(NOW, W, NOW, 1);
  say(P11S_SOA_EDIT_EPOCH, 42, 0);
  assert_string_equal(tasks(0), "");
  /* A zone whose SOA nobody asked for does not suffer from it. */
  begin_at(NOW);
  add(message_rig_a(ZONE, ZONE, 1, W, message), NOW, 1);
  say(P11S_SOA_EDIT_EPOCH, 42, 0);
  assert_int_equal(budget().why, P11S_BUDGET_GOOD);
  assert_int_equal(budget().until, W + WEEK);
}

/* soa-edit-spread: a week has last week's serial first. */
static void serials_that_come_late(void **state)
{
  (void)state;
  add_soa(2970, W, NOW, 1);
  say(P11S_SOA_EDIT_INCREMENT_WEEKS, 1, 3 * HOUR);
  assert_string_equal(tasks(message_rig_soa(ZONE, 2970, W, message)),
                      "2970+1 2971+1 2971+2 2972+2");
  assert_int_equal(budget().until, W + WEEK);
  add_soa(2971, W + WEEK, NOW, 0);
  assert_int_equal(budget().until, W + WEEK);
  add_soa(2970, W + WEEK, NOW, 0);
  assert_int_equal(budget().until, W + 2 * WEEK);
  /* In the first hours of the week. */
  begin_at(W + HOUR);
  add_soa(2969, W, W + HOUR, 1);
  say(P11S_SOA_EDIT_INCREMENT_WEEKS, 1, 3 * HOUR);
  assert_int_equal(budget().until, W);
  add_soa(2970, W, W + HOUR, 0);
  assert_int_equal(budget().until, W + WEEK);
  /* One that does not change has one all the same. */
  begin_at(W + HOUR);
  add_soa(42, W, W + HOUR, 1);
  say(P11S_SOA_EDIT_NONE, 42, 3 * HOUR);
  assert_string_equal(tasks(message_rig_soa(ZONE, 42, W, message)), "42+1 42+2");
  assert_int_equal(budget().recurring, 1);
}

/* -- rrsig-expiry-extend */

static size_t make_a(uint32_t week, uint32_t extension)
{
  size_t len = message_rig_a(ZONE, ZONE, 1, week, message);

  p11s_message_set_week(message, week, extension);
  return len;
}

static void expirations_that_are_extended(void **state)
{
  struct p11s_plan_cursor cursor = {0};
  struct p11s_plan_task task;
  unsigned char wanted[MESSAGE_RIG_MAX];
  size_t len;

  (void)state;
  p11s_plan_set_extension(plan, HOUR);
  add(make_a(W, HOUR), NOW, 1);
  add(make_a(W + WEEK, HOUR), NOW, 0);
  assert_int_equal(budget().until, W + 2 * WEEK);
  p11s_plan_set_token(plan, 0, 0);
  assert_true(p11s_plan_next(plan, 0, &cursor, &task));
  len = make_a(W + 2 * WEEK, HOUR);
  memcpy(wanted, message, len);
  (void)make_a(W, HOUR);
  assert_true(p11s_plan_apply(&task, message, len));
  assert_memory_equal(message, wanted, len);
}

/* PowerDNS was started with another setting: it asks for all of this week anew. */
static void an_extension_that_was_changed(void **state)
{
  struct p11s_plan_cursor cursor = {0};

  (void)state;
  p11s_plan_set_extension(plan, 2 * HOUR);
  add(make_a(W, HOUR), NOW, 1);
  add(make_a(W + WEEK, HOUR), NOW, 0);
  assert_int_equal(budget().until, W);
  assert_int_equal(budget().why, P11S_BUDGET_GOOD);
  p11s_plan_set_token(plan, 0, 0);
  assert_int_equal(p11s_plan_count(plan, 0, cursor), 3);
}

static void times_that_nobody_can_explain(void **state)
{
  static const uint32_t day_before = W - WEEK - DAY;
  static const struct p11s_zone_state gone;
  struct p11s_buf why = P11S_BUF_INIT;
  size_t len;

  (void)state;
  add(make_a(W, 0), NOW, 1);
  len = make_a(W, 0);
  memcpy(message + 12,
         (const unsigned char[]){day_before >> 24, (day_before >> 16) & 255,
                                 (day_before >> 8) & 255, day_before & 255},
         4);
  add(len, NOW, 0);          /* never asked for */
  add(len, W - WEEK - 1, 1); /* not in these two weeks */
  assert_int_equal(budget().why, P11S_BUDGET_GOOD);
  add(len, NOW, 1);
  assert_int_equal(budget().why, P11S_BUDGET_UNCLEAR);
  assert_true(p11s_plan_why(plan, P11S_BUDGET_UNCLEAR, &why));
  assert_non_null(strstr(p11s_buf_text(&why), "zone example.org.: it was served with inceptions"));
  p11s_buf_clear(&why);
  /* Also when there is nothing else, but not of a zone that has gone. */
  begin_at(NOW);
  add(len, NOW, 1);
  assert_int_equal(budget().why, P11S_BUDGET_UNCLEAR);
  assert_int_equal(budget().recurring, 0);
  p11s_plan_set_zone(plan, 0, &gone);
  assert_int_equal(budget().why, P11S_BUDGET_GOOD);
}

/* -- what may be signed */

static void a_task_changes_nothing_else(void **state)
{
  const struct p11s_plan_task task = {.week = W + WEEK, .soa = true, .serial = 7};
  unsigned char before[MESSAGE_RIG_MAX];
  size_t len = message_rig_a(ZONE, ZONE, 1, W, message);

  (void)state;
  memcpy(before, message, len);
  assert_false(p11s_plan_apply(&task, message, len)); /* no SOA record */
  assert_memory_equal(message, before, len);
  len = message_rig_soa(ZONE, 1, W, message);
  message[15]++; /* no week's inception */
  assert_false(p11s_plan_apply(&task, message, len));
  assert_false(p11s_plan_apply(&task, message, 30));
}

#define PLANNED(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
  const struct CMUnitTest tests[] = {
      PLANNED(each_week_has_its_serial),      PLANNED(the_serial_of_another_week_is_of_no_use),
      PLANNED(a_new_serial_of_the_zone),      PLANNED(what_the_database_does_not_say),
      PLANNED(a_serial_that_nobody_knows),    PLANNED(serials_that_come_late),
      PLANNED(expirations_that_are_extended), PLANNED(an_extension_that_was_changed),
      PLANNED(times_that_nobody_can_explain), PLANNED(a_task_changes_nothing_else),
  };

  rig_watchdog();
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What belongs to no zone any more, and for how long. */
#include "ahead/gone.h"

#include "rig/message_rig.h"
#include "rig/rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define W MESSAGE_RIG_WEEK
#define NOW (W + 3 * 86400u)

static struct p11s_gone gone;
static unsigned char message[MESSAGE_RIG_MAX];

static int end(void **state)
{
  (void)state;
  p11s_gone_clear(&gone);
  return 0;
}

static struct p11s_store_record record(const char *zone, unsigned key)
{
  static unsigned char id[P11S_STORE_ID_LEN];
  size_t len = message_rig_a(zone, zone, 1, W, message);

  memset(id, (int)key, sizeof id);
  return (struct p11s_store_record){id, message, len, (const unsigned char *)"s", 1, NOW, 1};
}

/* Key 1 has signed for a.org and b.org, key 2 for a.org; of these, those in the string are named by
   no row, as "1a 2a". */
static void note(const char *unnamed, uint32_t now)
{
  struct p11s_plan *plan = p11s_plan_new(NOW, 1, NULL, 0);
  static const struct {
    const char *zone;
    unsigned key;
    const char *name;
  } all[] = {{"a.org", 1, "1a"}, {"b.org", 1, "1b"}, {"a.org", 2, "2a"}};

  assert_non_null(plan);
  for (size_t i = 0; i < 3; i++) {
    struct p11s_store_record r = record(all[i].zone, all[i].key);

    assert_true(p11s_plan_add(&r, plan));
    assert_int_equal(p11s_plan_uses(plan), i + 1);
    if (strstr(unnamed, all[i].name) != NULL)
      p11s_plan_use(plan, i)->state = P11S_USE_UNNAMED;
  }
  assert_true(p11s_gone_note(&gone, plan, now));
  p11s_plan_free(plan);
}

static enum p11s_gone_answer answer;
static unsigned asked;

static enum p11s_gone_answer ask(const unsigned char *zone, const unsigned char *key_id, void *arg)
{
  assert_null(arg);
  assert_int_equal(zone[0], 1);
  assert_in_range(key_id[0], 1, 2);
  asked++;
  return answer;
}

static bool has(const char *zone, unsigned key, uint32_t now)
{
  struct p11s_store_record r = record(zone, key);

  answer = P11S_GONE_STILL;
  p11s_gone_confirm(&gone, now, ask, NULL);
  return p11s_gone_has(&gone, &r);
}

static void it_goes_after_a_day(void **state)
{
  (void)state;
  note("1b 2a", NOW);
  note("1b 2a", NOW + 50000);
  assert_false(p11s_gone_is_due(&gone, NOW + P11S_GONE_KEEP - 1));
  assert_false(has("b.org", 1, NOW + P11S_GONE_KEEP - 1));
  assert_true(p11s_gone_is_due(&gone, NOW + P11S_GONE_KEEP));
  assert_true(has("b.org", 1, NOW + P11S_GONE_KEEP));
  assert_true(has("a.org", 2, NOW + P11S_GONE_KEEP));
  assert_false(has("a.org", 1, NOW + P11S_GONE_KEEP));
  assert_false(has("b.org", 2, NOW + P11S_GONE_KEEP));
  p11s_gone_drop_confirmed(&gone);
  assert_false(p11s_gone_is_due(&gone, NOW + 2 * P11S_GONE_KEEP));
}

static void what_comes_back_loses_nothing(void **state)
{
  (void)state;
  note("1b 2a", NOW);
  note("2a", NOW + 80000);
  note("1b 2a", NOW + 80001);
  assert_true(has("a.org", 2, NOW + P11S_GONE_KEEP));
  assert_false(has("b.org", 1, NOW + P11S_GONE_KEEP));
  assert_false(has("b.org", 1, NOW + 80000 + P11S_GONE_KEEP));
  assert_true(has("b.org", 1, NOW + 80001 + P11S_GONE_KEEP));
}

static void a_clock_that_is_put_back_deletes_nothing(void **state)
{
  (void)state;
  note("1a 1b 2a", NOW);
  assert_false(p11s_gone_is_due(&gone, 0));
  assert_false(p11s_gone_is_due(&gone, NOW - P11S_GONE_KEEP));
}

/* However long it is due: what the database says just then decides. */
static void nothing_is_deleted_that_is_not_confirmed(void **state)
{
  struct p11s_store_record r = record("b.org", 1);

  (void)state;
  note("1b", NOW);
  assert_false(p11s_gone_has(&gone, &r));
  asked = 0;
  answer = P11S_GONE_LATER;
  p11s_gone_confirm(&gone, NOW + P11S_GONE_KEEP - 1, ask, NULL);
  assert_int_equal(asked, 0);
  p11s_gone_confirm(&gone, NOW + P11S_GONE_KEEP, ask, NULL);
  assert_int_equal(asked, 1);
  assert_false(p11s_gone_has(&gone, &r));
  p11s_gone_drop_confirmed(&gone);
  assert_true(p11s_gone_is_due(&gone, NOW + P11S_GONE_KEEP));
  answer = P11S_GONE_NOT;
  p11s_gone_confirm(&gone, NOW + P11S_GONE_KEEP, ask, NULL);
  assert_false(p11s_gone_has(&gone, &r));
  note("1b", NOW + P11S_GONE_KEEP);
  assert_false(p11s_gone_is_due(&gone, NOW + P11S_GONE_KEEP + 1));
}

static void strange_messages_are_left_alone(void **state)
{
  struct p11s_store_record r = record("a.org", 1);

  (void)state;
  note("1a", NOW);
  r.message_len = 18;
  answer = P11S_GONE_STILL;
  p11s_gone_confirm(&gone, NOW + P11S_GONE_KEEP, ask, NULL);
  assert_false(p11s_gone_has(&gone, &r));
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_teardown(it_goes_after_a_day, end),
      cmocka_unit_test_teardown(what_comes_back_loses_nothing, end),
      cmocka_unit_test_teardown(a_clock_that_is_put_back_deletes_nothing, end),
      cmocka_unit_test_teardown(nothing_is_deleted_that_is_not_confirmed, end),
      cmocka_unit_test_teardown(strange_messages_are_left_alone, end),
  };

  rig_watchdog();
  return cmocka_run_group_tests(tests, NULL, NULL);
}

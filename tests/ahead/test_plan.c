/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What of a store recurs, in which order it is signed ahead, and until when it suffices. */
#include "base/buf.h"
#include "format/dnsname.h"
#include "rig/message_rig.h"
#include "ahead/plan.h"
#include "rig/rig.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/evp.h>

#define W MESSAGE_RIG_WEEK
#define WEEK P11S_WEEK_SECONDS
#define DAY 86400u
#define NOW (W + 3 * DAY)
#define ZONE "example.org"

static struct p11s_plan *plan;

/* Linked in place of the one of that name: after so many there is no memory. */
void *__real_p11s_array_add(void *array, size_t *count, size_t item_size);
void *__wrap_p11s_array_add(void *array, size_t *count, size_t item_size);
static unsigned items_left = UINT_MAX;

void *__wrap_p11s_array_add(void *array, size_t *count, size_t item_size)
{
  if (items_left == 0)
    return NULL;
  items_left--;
  return __real_p11s_array_add(array, count, item_size);
}

static int begin(void **state)
{
  (void)state;
  plan = p11s_plan_new(NOW, 1, NULL, 0);
  return plan == NULL;
}

static int end(void **state)
{
  (void)state;
  p11s_plan_free(plan);
  return 0;
}

static void again(unsigned weeks)
{
  p11s_plan_free(plan);
  plan = p11s_plan_new(NOW, weeks, NULL, 0);
  assert_non_null(plan);
}

static const unsigned char *key_id(unsigned key)
{
  static unsigned char id[P11S_STORE_ID_LEN];

  memset(id, (int)key, sizeof id);
  return id;
}

static unsigned char message[MESSAGE_RIG_MAX];

static void add(size_t len, unsigned key, uint32_t last_used, uint32_t days)
{
  const struct p11s_store_record record = {key_id(key), message,   len, (const unsigned char *)"s",
                                           1,           last_used, days};

  assert_true(p11s_plan_add(&record, plan));
}

/* An A record, used this week on one day. */
static void add_a(const char *owner, uint32_t last_used)
{
  add(message_rig_a(ZONE, owner, 1, W, message), 1, last_used, 1);
}

static void finish(void)
{
  assert_true(p11s_plan_finish(plan));
  for (size_t i = 0; i < p11s_plan_keys(plan); i++)
    p11s_plan_set_token(plan, i, 0);
}

static uint32_t message_week(size_t len)
{
  struct p11s_message m;
  uint32_t week;

  assert_true(p11s_message_parse(message, len, &m));
  assert_true(p11s_message_week(&m, &week, NULL));
  return week;
}

/* The tasks of a token: owners by their first label, or "DNSKEY", and weeks ahead. The message
   begun with is looked for among those that may be meant. */
static const char *tasks(uint32_t token, const char *const *owners)
{
  static char text[1024];
  struct p11s_plan_cursor cursor = {0};
  struct p11s_plan_task task;
  size_t count = p11s_plan_count(plan, token, cursor), at = 0;

  text[0] = '\0';
  while (p11s_plan_next(plan, token, &cursor, &task)) {
    const char *name = "?";
    unsigned char digest[32];

    for (size_t i = 0; owners[i] != NULL; i++)
      for (uint32_t week = W - WEEK; week <= W; week += WEEK) {
        size_t len = strcmp(owners[i], "DNSKEY") == 0
                         ? message_rig_dnskey(ZONE, 1, week, message)
                         : message_rig_a(ZONE, owners[i], 1, week, message);

        assert_int_equal(EVP_Digest(message, len, digest, NULL, EVP_sha256(), NULL), 1);
        if (memcmp(digest, task.message_id, sizeof digest) == 0) {
          name = owners[i];
          assert_true(p11s_plan_apply(&task, message, len));
          assert_int_equal(message_week(len), task.week);
        }
      }
    assert_int_equal(task.week, W + task.ahead * WEEK);
    at += (size_t)snprintf(text + at, sizeof text - at, "%s%s+%u", at > 0 ? " " : "", name,
                           task.ahead);
    assert_int_equal(p11s_plan_count(plan, token, cursor), --count);
  }
  assert_int_equal(count, 0);
  return text;
}

static const char *const names[] = {"DNSKEY", "a.example.org", "b.example.org", "c.example.org",
                                    NULL};
#define A "a.example.org"
#define B "b.example.org"
#define C "c.example.org"

static void what_was_used_is_signed_for_next_week(void **state)
{
  (void)state;
  add_a(A, NOW - 100);
  finish();
  assert_string_equal(tasks(0, names), A "+1");
  assert_string_equal(tasks(7, names), "");
}

static void what_is_there_is_not_signed_again(void **state)
{
  (void)state;
  add_a(A, NOW - 100);
  add_a(B, NOW - 100);
  add(message_rig_a(ZONE, A, 1, W + WEEK, message), 1, NOW, 0);
  finish();
  assert_string_equal(tasks(0, names), B "+1");
}

static void what_was_signed_ahead_and_not_used_does_not_recur(void **state)
{
  (void)state;
  add(message_rig_a(ZONE, A, 1, W, message), 1, NOW - 100, 0);
  add(message_rig_a(ZONE, A, 1, W + WEEK, message), 1, NOW - 100, 0);
  add(message_rig_a(ZONE, A, 1, W - 2 * WEEK, message), 1, NOW - 100, 5); /* too long ago */
  finish();
  assert_string_equal(tasks(0, names), "");
}

static void last_week_s_recur_too_behind_this_week_s(void **state)
{
  (void)state;
  add(message_rig_a(ZONE, A, 1, W - WEEK, message), 1, W - 1, 7);
  add(message_rig_a(ZONE, A, 1, W, message), 1, W - DAY, 0);
  add_a(B, W + 1);
  finish();
  assert_string_equal(tasks(0, names), B "+1 " A "+1");
}

/* The token was away when the week turned: this week's is wanted first. */
static void a_missing_signature_of_this_week_comes_first(void **state)
{
  (void)state;
  add(message_rig_a(ZONE, A, 1, W - WEEK, message), 1, W - 1, 1);
  add_a(B, W + 1);
  finish();
  assert_string_equal(tasks(0, names), A "+0 " B "+1 " A "+1");
}

static void dnskey_first_then_the_hottest(void **state)
{
  (void)state;
  again(2);
  add(message_rig_a(ZONE, A, 1, W, message), 1, NOW - 100, 1);
  add(message_rig_a(ZONE, B, 1, W, message), 1, NOW - 300, 3);
  add(message_rig_a(ZONE, C, 1, W, message), 1, NOW - 200, 1);
  add(message_rig_dnskey(ZONE, 1, W, message), 1, W, 1);
  finish();
  assert_string_equal(tasks(0, names),
                      "DNSKEY+1 DNSKEY+2 " B "+1 " A "+1 " C "+1 " B "+2 " A "+2 " C "+2");
}

/* Days of last week count. */
static void hotness_is_of_two_weeks(void **state)
{
  (void)state;
  add_a(A, NOW - 100);
  add_a(B, NOW - 200);
  add(message_rig_a(ZONE, B, 1, W - WEEK, message), 1, W - 100, 1);
  finish();
  assert_string_equal(tasks(0, names), B "+1 " A "+1");
}

static void changed_contents_do_not_recur(void **state)
{
  static const char *const owners[] = {A, NULL};

  (void)state;
  add(message_rig_a(ZONE, A, 2, W, message), 1, NOW - 100, 3);
  add(message_rig_a(ZONE, A, 3, W, message), 1, NOW - 50, 1);
  add_a(A, NOW - 10);
  finish();
  assert_string_equal(tasks(0, owners), A "+1");
  again(1);
  add(message_rig_a(ZONE, A, 2, W - WEEK, message), 1, W - 100, 7);
  add_a(A, NOW - 10);
  finish();
  assert_string_equal(tasks(0, owners), A "+1");
}

/* At the same second nobody can tell. Other owners, types and keys are other RRsets. */
static void what_may_not_have_changed_recurs(void **state)
{
  struct p11s_plan_cursor cursor = {0};
  const struct message_rig other = {ZONE, A, 16, W, "\1x", 2};

  (void)state;
  add(message_rig_a(ZONE, A, 2, W, message), 1, NOW, 1);
  add(message_rig_a(ZONE, A, 3, W, message), 1, NOW, 1);
  add(message_rig_a(ZONE, A, 2, W, message), 2, NOW - 10, 1);
  add(message_rig_make(&other, message), 1, NOW - 20, 1);
  add(message_rig_a(ZONE, B, 2, W, message), 1, NOW - 30, 1);
  finish();
  assert_int_equal(p11s_plan_count(plan, 0, cursor), 5);
}

static void only_the_newest_soa_recurs(void **state)
{
  struct p11s_plan_cursor cursor = {0};
  struct p11s_plan_task task;
  unsigned char wanted[MESSAGE_RIG_MAX];
  size_t len;

  (void)state;
  add(message_rig_soa(ZONE, 0xfffffffeu, W, message), 1, NOW - 10, 9);
  add(message_rig_soa(ZONE, 1, W, message), 1, NOW, 1); /* the same second: RFC 1982 */
  add(message_rig_soa(ZONE, 0xffffffffu, W, message), 1, NOW, 1);
  add(message_rig_soa(ZONE, 77, W - WEEK, message), 1, W - 1, 9);
  add(message_rig_soa("other.org", 5, W, message), 1, W + 1, 1);
  finish();
  assert_int_equal(p11s_plan_count(plan, 0, cursor), 2);
  assert_true(p11s_plan_next(plan, 0, &cursor, &task));
  len = message_rig_soa(ZONE, 77, W - WEEK, message);
  assert_true(p11s_plan_apply(&task, message, len));
  assert_int_equal(message_rig_soa(ZONE, 1, W + WEEK, wanted), len);
  assert_memory_equal(message, wanted, len);
}

static void narrow_lies_recur_when_seen_again(void **state)
{
  struct p11s_plan_cursor cursor = {0};

  (void)state;
  add(message_rig_nsec3(ZONE, 1, 2, W, message), 1, NOW, 1);
  finish();
  assert_int_equal(p11s_plan_count(plan, 0, cursor), 0);
  add(message_rig_nsec3(ZONE, 2, 2, W, message), 1, NOW, 2); /* on two days */
  add(message_rig_nsec3(ZONE, 3, 2, W, message), 1, NOW, 1); /* in both weeks */
  add(message_rig_nsec3(ZONE, 3, 2, W - WEEK, message), 1, W - 1, 1);
  add(message_rig_nsec3(ZONE, 4, 1, W, message), 1, NOW, 1); /* narrow, but of a name that exists */
  add(message_rig_nsec3(ZONE, 5, 77, W, message), 1, NOW, 1); /* not narrow */
  finish();
  assert_int_equal(p11s_plan_count(plan, 0, cursor), 4);
}

static void keys_out_of_use(void **state)
{
  struct p11s_plan_cursor cursor = {0};

  (void)state;
  /* Key 1 was replaced by 2, for all but DNSKEY; 3 signs as late as 2 does. */
  add(message_rig_a(ZONE, A, 1, W, message), 1, NOW - 3 * DAY, 1);
  add(message_rig_a(ZONE, A, 1, W, message), 2, NOW, 1);
  add(message_rig_a(ZONE, A, 1, W, message), 3, NOW - 1 * DAY, 1);
  add(message_rig_dnskey(ZONE, 1, W, message), 1, NOW - 3 * DAY, 1);
  add(message_rig_a("other.org", "a.other.org", 1, W, message), 1, NOW - 3 * DAY, 1);
  finish();
  assert_int_equal(p11s_plan_keys(plan), 3);
  assert_int_equal(p11s_plan_count(plan, 0, cursor), 4);
  for (size_t i = 0; i < 3; i++)
    if (p11s_plan_key_id(plan, i)[0] == 1)
      p11s_plan_set_token(plan, i, 4);
  assert_int_equal(p11s_plan_count(plan, 0, cursor), 2);
  assert_int_equal(p11s_plan_count(plan, 4, cursor), 2);
}

/* KSK 1 and ZSK 2 signed CDS at once, days ago, and each its own since. */
static void cds_recurs_with_both_keys(void **state)
{
  struct p11s_plan_cursor cursor = {0};
  const struct message_rig cds = {ZONE, ZONE, P11S_TYPE_CDS, W, "\1\1\15\2hash", 8};

  (void)state;
  add(message_rig_make(&cds, message), 1, NOW - 3 * DAY, 1);
  add(message_rig_make(&cds, message), 2, NOW - 3 * DAY, 1);
  add(message_rig_dnskey(ZONE, 1, W, message), 1, NOW, 1);
  add(message_rig_a(ZONE, A, 1, W, message), 2, NOW, 1);
  finish();
  assert_int_equal(p11s_plan_count(plan, 0, cursor), 4);
}

/* Of a zone made anew, which publishes none: keys 1 and 2 are not its keys any more. */
static void cds_does_not_recur_with_keys_that_sign_nothing(void **state)
{
  struct p11s_plan_cursor cursor = {0};
  const struct message_rig cds = {ZONE, ZONE, P11S_TYPE_CDS, W, "\1\1\15\2hash", 8};

  (void)state;
  add(message_rig_make(&cds, message), 1, NOW - 3 * DAY, 1);
  add(message_rig_make(&cds, message), 2, NOW - 3 * DAY, 1);
  add(message_rig_dnskey(ZONE, 1, W, message), 1, NOW - 3 * DAY, 1);
  add(message_rig_a(ZONE, A, 1, W, message), 2, NOW - 3 * DAY, 1);
  add(message_rig_dnskey(ZONE, 2, W, message), 3, NOW, 1);
  add(message_rig_a(ZONE, A, 1, W, message), 3, NOW, 1);
  finish();
  assert_int_equal(p11s_plan_count(plan, 0, cursor), 2);
}

/* What the rows say counts, not how long ago a key was used. */
static void a_key_that_signs_no_more(void **state)
{
  struct p11s_plan_cursor cursor = {0};

  (void)state;
  add(message_rig_a(ZONE, A, 1, W, message), 1, NOW, 1);
  add(message_rig_a(ZONE, A, 1, W, message), 2, NOW - 3 * DAY, 1);
  add(message_rig_dnskey(ZONE, 1, W, message), 1, NOW, 1);
  assert_int_equal(p11s_plan_uses(plan), 3);
  for (size_t i = 0; i < 3; i++)
    p11s_plan_use(plan, i)->state =
        p11s_plan_use(plan, i)->purpose == P11S_FOR_DNSKEY ||
                p11s_plan_key_id(plan, p11s_plan_use(plan, i)->key)[0] == 2
            ? P11S_USE_SIGNS
            : P11S_USE_ENDED;
  finish();
  assert_int_equal(p11s_plan_count(plan, 0, cursor), 2);
}

static void with_zero_weeks_nothing_is_signed(void **state)
{
  (void)state;
  again(0);
  add_a(A, NOW);
  add(message_rig_a(ZONE, B, 1, W - WEEK, message), 1, W - 1, 1);
  finish();
  assert_string_equal(tasks(0, names), "");
}

static void one_zone_alone(void **state)
{
  struct p11s_plan_cursor cursor = {0};
  unsigned char zone[P11S_DNSNAME_MAX];
  size_t len;

  (void)state;
  assert_true(p11s_dnsname_parse("other.org", zone, &len));
  p11s_plan_free(plan);
  plan = p11s_plan_new(NOW, 8, zone, len);
  assert_non_null(plan);
  add_a(A, NOW);
  add(message_rig_a("other.org", "a.other.org", 1, W, message), 1, NOW, 1);
  finish();
  assert_int_equal(p11s_plan_count(plan, 0, cursor), 8);
}

static void what_is_done_is_done(void **state)
{
  struct p11s_plan_cursor cursor = {0};
  struct p11s_plan_task task;
  struct p11s_budget budget;

  (void)state;
  again(3);
  add_a(A, NOW);
  finish();
  for (unsigned i = 1; i <= 3; i++) {
    p11s_plan_budget(plan, &budget);
    assert_int_equal(budget.until, W + i * WEEK);
    assert_true(p11s_plan_next(plan, 0, &cursor, &task));
    p11s_plan_done(plan, &task);
  }
  assert_false(p11s_plan_next(plan, 0, &cursor, &task));
  p11s_plan_budget(plan, &budget);
  assert_int_equal(budget.until, W + 4 * WEEK);
  memset(&cursor, 0, sizeof cursor);
  assert_int_equal(p11s_plan_count(plan, 0, cursor), 0);
}

/* What other programs have written into the store. */
static void strange_messages_are_left_alone(void **state)
{
  static const size_t cut[] = {0, 1, 18, 19, 30, 31, 43};
  size_t len = message_rig_a(ZONE, A, 1, W, message);

  (void)state;
  for (size_t i = 0; i < sizeof cut / sizeof cut[0]; i++)
    add(cut[i], 1, NOW, 1);
  message[9] ^= 1; /* not PowerDNS's time */
  add(len, 1, NOW, 1);
  (void)message_rig_a(ZONE, A, 1, W + 9 * WEEK, message);
  add(len, 1, NOW, 1);
  finish();
  assert_string_equal(tasks(0, names), "");
}

/* -- until when */

static void budget_of_nothing(void **state)
{
  struct p11s_budget budget;

  (void)state;
  finish();
  p11s_plan_budget(plan, &budget);
  assert_int_equal(budget.recurring, 0);
}

static void budget_ends_at_the_first_gap(void **state)
{
  struct p11s_budget budget;

  (void)state;
  add_a(A, NOW);
  add_a(B, NOW);
  for (uint32_t i = 1; i <= 4; i++) {
    add(message_rig_a(ZONE, A, 1, W + i * WEEK, message), 1, NOW, 0);
    if (i != 3)
      add(message_rig_a(ZONE, B, 1, W + i * WEEK, message), 1, NOW, 0);
  }
  finish();
  p11s_plan_budget(plan, &budget);
  assert_int_equal(budget.recurring, 2);
  assert_int_equal(budget.until, W + 3 * WEEK);
}

/* This week's is missing: it ended when the week turned. */
static void budget_that_is_used_up(void **state)
{
  struct p11s_budget budget;

  (void)state;
  add(message_rig_a(ZONE, A, 1, W - WEEK, message), 1, W - 1, 1);
  add(message_rig_a(ZONE, A, 1, W + WEEK, message), 1, W - 1, 0);
  finish();
  p11s_plan_budget(plan, &budget);
  assert_int_equal(budget.until, W);
}

static void budget_leaves_out_what_does_not_recur(void **state)
{
  struct p11s_budget budget;

  (void)state;
  add_a(A, NOW);
  add(message_rig_a(ZONE, A, 1, W + WEEK, message), 1, NOW, 0);
  add(message_rig_a(ZONE, A, 2, W, message), 1, NOW - 10, 1);
  add(message_rig_nsec3(ZONE, 1, 2, W, message), 1, NOW, 1);
  finish();
  p11s_plan_budget(plan, &budget);
  assert_int_equal(budget.recurring, 1);
  assert_int_equal(budget.until, W + 2 * WEEK);
}

static void note_zone(const unsigned char *name, const struct p11s_budget *budget, void *arg)
{
  struct p11s_buf *out = arg;

  p11s_dnsname_format(name, out);
  p11s_buf_addf(out, " %u %llu;", (budget->until - W) / WEEK,
                (unsigned long long)budget->recurring);
}

static void budget_of_each_zone(void **state)
{
  struct p11s_buf out = P11S_BUF_INIT;
  struct p11s_budget budget;

  (void)state;
  add_a(A, NOW);
  add(message_rig_a(ZONE, A, 1, W + WEEK, message), 1, NOW, 0);
  add(message_rig_a("other.org", "a.other.org", 1, W, message), 1, NOW, 1);
  add(message_rig_dnskey("other.org", 1, W, message), 1, NOW, 1);
  add(message_rig_a("gone.org", "a.gone.org", 1, W, message), 1, NOW, 0);
  finish();
  p11s_plan_budget(plan, &budget);
  assert_int_equal(budget.recurring, 3);
  assert_int_equal(budget.until, W + WEEK);
  p11s_plan_each_zone(plan, note_zone, &out);
  assert_string_equal(p11s_buf_text(&out), "other.org. 1 2;example.org. 2 1;");
  p11s_buf_clear(&out);
}

#define WITH_PLAN(test) cmocka_unit_test_setup_teardown(test, begin, end)

/* Half a plan would say that what is left out of it is not needed. */
static void a_plan_for_which_memory_was_short_says_so(void **state)
{
  size_t len = message_rig_a(ZONE, A, 1, W, message);
  const struct p11s_store_record record = {key_id(1), message, len, (const unsigned char *)"s",
                                           1,         NOW,     1};
  unsigned needed = 0;

  (void)state;
  while (needed < 100) {
    again(1);
    items_left = needed;
    if (p11s_plan_add(&record, plan))
      break;
    items_left = UINT_MAX;
    assert_true(p11s_plan_has_failed(plan));
    assert_false(p11s_plan_add(&record, plan));
    assert_true(p11s_plan_has_failed(plan));
    needed++;
  }
  items_left = UINT_MAX;
  assert_int_equal(needed, 5); /* line, set, key, zone, use */
  assert_false(p11s_plan_has_failed(plan));
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      WITH_PLAN(what_was_used_is_signed_for_next_week),
      WITH_PLAN(what_is_there_is_not_signed_again),
      WITH_PLAN(what_was_signed_ahead_and_not_used_does_not_recur),
      WITH_PLAN(last_week_s_recur_too_behind_this_week_s),
      WITH_PLAN(a_missing_signature_of_this_week_comes_first),
      WITH_PLAN(dnskey_first_then_the_hottest),
      WITH_PLAN(hotness_is_of_two_weeks),
      WITH_PLAN(changed_contents_do_not_recur),
      WITH_PLAN(what_may_not_have_changed_recurs),
      WITH_PLAN(only_the_newest_soa_recurs),
      WITH_PLAN(narrow_lies_recur_when_seen_again),
      WITH_PLAN(keys_out_of_use),
      WITH_PLAN(cds_recurs_with_both_keys),
      WITH_PLAN(cds_does_not_recur_with_keys_that_sign_nothing),
      WITH_PLAN(a_key_that_signs_no_more),
      WITH_PLAN(with_zero_weeks_nothing_is_signed),
      WITH_PLAN(one_zone_alone),
      WITH_PLAN(what_is_done_is_done),
      WITH_PLAN(strange_messages_are_left_alone),
      WITH_PLAN(budget_of_nothing),
      WITH_PLAN(budget_ends_at_the_first_gap),
      WITH_PLAN(budget_that_is_used_up),
      WITH_PLAN(budget_leaves_out_what_does_not_recur),
      WITH_PLAN(budget_of_each_zone),
      WITH_PLAN(a_plan_for_which_memory_was_short_says_so),
  };

  rig_watchdog();
  return cmocka_run_group_tests(tests, NULL, NULL);
}

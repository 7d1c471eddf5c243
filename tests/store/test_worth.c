/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What goes first from a store that is full, and of whom. */
#include "rig/message_rig.h"
#include "store/bar.h"
#include "store/share.h"
#include "store/worth.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define WEEK MESSAGE_RIG_WEEK
#define WEEKS(n) (WEEK + (unsigned)(n)*P11S_WEEK_SECONDS)
#define NOW (WEEK + 3 * 86400)
#define SIZE 100u /* as if each record had it */

/* Some records, kept by the test. */
#define MOST 400
static struct {
  struct p11s_store_record record;
  unsigned char key_id[P11S_STORE_ID_LEN];
  unsigned char message[MESSAGE_RIG_MAX];
  size_t len;
} kept[MOST];
static size_t count;

static size_t add(size_t len, uint32_t last_used, uint32_t days_used)
{
  kept[count].len = len;
  kept[count].record = (struct p11s_store_record){
      kept[count].key_id, kept[count].message, len, NULL, 0, last_used, days_used};
  assert_true(count + 1 < MOST);
  return count++;
}

static size_t add_a(const char *zone, unsigned number, uint32_t week, uint32_t days)
{
  char owner[64];

  (void)snprintf(owner, sizeof owner, "n%u.%s", number, zone);
  return add(message_rig_a(zone, owner, number, week, kept[count].message), NOW, days);
}

static size_t add_dnskey(const char *zone, uint32_t week, uint32_t days)
{
  return add(message_rig_dnskey(zone, 1, week, kept[count].message), NOW, days);
}

static size_t add_lie(const char *zone, unsigned number, unsigned distance, uint32_t week,
                      uint32_t days)
{
  return add(message_rig_nsec3(zone, number, distance, week, kept[count].message), NOW, days);
}

/* The number-th content of one RRset, each asked for a second after the one before. */
static size_t add_content(unsigned type, unsigned number, uint32_t week)
{
  const unsigned char rdata[] = {1, 2, 3, (unsigned char)number};
  const struct message_rig what = {"example.org", "lua.example.org", type, week, rdata, 4};

  return add(message_rig_make(&what, kept[count].message), NOW - 100 + number, 1);
}

static struct p11s_worth *decided(void)
{
  struct p11s_worth *worth = p11s_worth_new(count);

  assert_non_null(worth);
  for (size_t i = 0; i < count; i++)
    assert_true(p11s_worth_look(&kept[i].record, worth));
  p11s_worth_decide(worth, NOW);
  return worth;
}

static unsigned worth_of(const struct p11s_worth *worth, size_t i)
{
  struct p11s_message m;

  return p11s_worth_of(worth, &kept[i].record, &m);
}

static int anew(void **state)
{
  (void)state;
  memset(kept, 0, sizeof kept);
  count = 0;
  return 0;
}

static void classes(void **state)
{
  const size_t today = add_a("example.org", 1, WEEK, 1), often = add_a("example.org", 2, WEEK, 3),
               next = add_a("example.org", 1, WEEKS(1), 0),
               later = add_a("example.org", 1, WEEKS(3), 0),
               last = add_a("example.org", 1, WEEKS(-1), 5),
               old = add_a("example.org", 1, WEEKS(-2) + 0, 5),
               key = add_dnskey("example.org", WEEK, 1),
               key_ahead = add_dnskey("example.org", WEEKS(1), 0),
               key_of_last_week = add_dnskey("example.org", WEEKS(-1), 1),
               lie = add_lie("example.org", 1, 2, WEEK, 1),
               denial = add_lie("example.org", 2, 1, WEEK, 1),
               asked_twice = add_lie("example.org", 3, 2, WEEK, 2);
  struct p11s_worth *worth = decided();

  (void)state;
  assert_int_equal(worth_of(worth, often), P11S_WORTH_USED);
  assert_int_equal(worth_of(worth, today), P11S_WORTH_USED + 1);
  assert_int_equal(worth_of(worth, next), P11S_WORTH_AHEAD);
  assert_int_equal(worth_of(worth, later), P11S_WORTH_AHEAD + 2);
  assert_int_equal(worth_of(worth, last), P11S_WORTH_LAST);
  assert_int_equal(worth_of(worth, old), P11S_WORTH_GONE);
  assert_int_equal(worth_of(worth, key), P11S_WORTH_KEYS);
  assert_int_equal(worth_of(worth, key_ahead), P11S_WORTH_KEYS);
  assert_int_equal(worth_of(worth, key_of_last_week), P11S_WORTH_KEYS_LAST);
  assert_int_equal(worth_of(worth, lie), P11S_WORTH_ONCE);
  assert_int_equal(worth_of(worth, denial), P11S_WORTH_USED + 1);
  assert_int_equal(worth_of(worth, asked_twice), P11S_WORTH_USED);
  p11s_worth_free(worth);
}

/* A name that is not there, and is asked for week after week. */
static void a_lie_that_recurs_is_none_to_lose(void **state)
{
  const size_t last = add_lie("example.org", 1, 2, WEEKS(-1), 1),
               now = add_lie("example.org", 1, 2, WEEK, 1),
               other = add_lie("example.org", 2, 2, WEEK, 1);
  struct p11s_worth *worth;

  (void)state;
  for (unsigned i = 10; i < 60; i++) /* most are this week's */
    (void)add_a("example.org", i, WEEK, 1);
  worth = decided();
  assert_int_equal(worth_of(worth, now), P11S_WORTH_USED + 1);
  assert_int_equal(worth_of(worth, last), P11S_WORTH_LAST);
  assert_int_equal(worth_of(worth, other), P11S_WORTH_ONCE);
  p11s_worth_free(worth);
}

/* Answers that are computed; the last one is what the RRset is now. An SOA has its serials. */
static void many_contents_of_one_rrset_are_made_up(void **state)
{
  struct p11s_worth *worth;
  size_t first = count;

  (void)state;
  for (unsigned i = 0; i < 20; i++)
    (void)add_content(1, i, WEEK);
  for (unsigned i = 0; i < 20; i++)
    (void)add_content(P11S_TYPE_SOA, i, WEEK);
  for (unsigned i = 0; i < 3; i++)
    (void)add_content(16, i, WEEK);
  worth = decided();
  for (size_t i = first; i < first + 19; i++)
    assert_int_equal(worth_of(worth, i), P11S_WORTH_ONCE);
  for (size_t i = first + 19; i < count; i++)
    assert_int_equal(worth_of(worth, i), P11S_WORTH_USED + 1);
  p11s_worth_free(worth);
}

/* How many of those in that place went. */
static unsigned gone(struct p11s_share *share, size_t from, size_t until)
{
  unsigned went = 0, worth;

  for (size_t i = from; i < until; i++)
    went += p11s_share_takes(share, &kept[i].record, SIZE, &worth);
  return went;
}

static struct p11s_share *shared_if(const struct p11s_worth *worth, unsigned records, bool may_go)
{
  struct p11s_share *share = p11s_share_new(worth);

  assert_non_null(share);
  for (size_t i = 0; i < count; i++)
    assert_true(p11s_share_add(share, &kept[i].record, SIZE));
  assert_int_equal(p11s_share_all(share), count * SIZE);
  assert_int_equal(p11s_share_decide(share, records * SIZE), may_go);
  return share;
}

static struct p11s_share *shared(const struct p11s_worth *worth, unsigned records)
{
  return shared_if(worth, records, true);
}

static void what_was_made_up_goes_first_whosever_it_is(void **state)
{
  struct p11s_worth *worth;
  struct p11s_share *share;
  struct p11s_share_loser loser;
  size_t at = 0;

  (void)state;
  for (unsigned i = 0; i < 100; i++)
    (void)add_a("large.example", i, WEEK, 1);
  for (unsigned i = 0; i < 20; i++)
    (void)add_lie("small.example", i, 2, WEEK, 1);
  (void)add_a("small.example", 1, WEEKS(-1), 1);
  worth = decided();
  share = shared(worth, 15);
  assert_int_equal(gone(share, 0, 100), 0);
  assert_int_equal(gone(share, 120, 121), 0);
  assert_int_equal(gone(share, 100, 120), 15);
  assert_true(p11s_share_is_done(share));
  assert_false(p11s_share_next_loser(share, &at, &loser)); /* nothing of use */
  p11s_share_free(share);
  /* As long as it is a quarter of what is to go, it is all that goes. */
  share = shared(worth, 80);
  assert_int_equal(gone(share, 0, 121), 20);
  assert_true(p11s_share_is_done(share));
  p11s_share_free(share);
  share = shared(worth, 81);
  assert_int_equal(gone(share, 0, 121), 81);
  p11s_share_free(share);
  p11s_worth_free(worth);
}

static void a_large_zone_goes_down_to_its_share(void **state)
{
  struct p11s_worth *worth;
  struct p11s_share *share;
  struct p11s_share_loser loser;
  size_t at = 0;

  (void)state;
  for (unsigned i = 0; i < 200; i++)
    (void)add_a("large.example", i, WEEK, 1);
  for (unsigned i = 0; i < 30; i++)
    (void)add_a("small.example", i, WEEKS(i < 15 ? -1 : 0), 1);
  (void)add_dnskey("large.example", WEEK, 1);
  worth = decided();
  share = shared(worth, 100);
  assert_int_equal(gone(share, 200, 231), 0);
  assert_int_equal(gone(share, 0, 200), 100);
  assert_true(p11s_share_is_done(share));
  assert_true(p11s_share_next_loser(share, &at, &loser));
  assert_int_equal(loser.len, 15);
  assert_memory_equal(loser.name, "\5large\7example", 15);
  assert_int_equal(loser.lost, 100);
  assert_int_equal(loser.best, P11S_WORTH_USED + 1);
  assert_false(p11s_share_next_loser(share, &at, &loser));
  p11s_share_free(share);
  /* With 201 to go, both have the same left: what was signed for DNSKEY counts, and stays. */
  share = shared(worth, 201);
  assert_int_equal(gone(share, 0, 200), 186);
  assert_int_equal(gone(share, 200, 215), 15); /* last week's before this week's */
  assert_int_equal(gone(share, 215, 231), 0);
  p11s_share_free(share);
  p11s_worth_free(worth);
}

static void keys_of_this_week_and_later_never_go(void **state)
{
  struct p11s_worth *worth;
  struct p11s_share *share;

  (void)state;
  for (unsigned i = 0; i < 10; i++)
    (void)add_dnskey(i % 2 == 0 ? "one.example" : "two.example", WEEKS(i % 3), i % 3 == 0);
  for (unsigned i = 0; i < 10; i++)
    (void)add_a("one.example", i, WEEK, 4);
  (void)add_dnskey("one.example", WEEKS(-1), 7);
  worth = decided();
  share = shared(worth, 10);
  assert_int_equal(gone(share, 0, 10), 0);
  assert_int_equal(gone(share, 10, 20), 10);
  assert_int_equal(gone(share, 20, 21), 0);
  p11s_share_free(share);
  share = shared(worth, 11);
  assert_int_equal(gone(share, 0, 21), 11);
  p11s_share_free(share);
  share = shared_if(worth, 12, false);
  assert_int_equal(gone(share, 0, 10), 0);
  assert_int_equal(gone(share, 10, 21), 11);
  assert_true(p11s_share_is_done(share));
  p11s_share_free(share);
  p11s_worth_free(worth);
}

/* -- what is not taken */

static bool kept_out(const struct p11s_bar *bar, size_t i)
{
  struct p11s_message m;
  unsigned worth = p11s_worth_of_new(&kept[i].record, NOW, &m);

  return p11s_bar_keeps_out(bar, &m, worth);
}

static void what_a_zone_has_lost_keeps_out_what_is_worth_no_more(void **state)
{
  const size_t next = add_a("large.example", 1, WEEKS(1), 0),
               later = add_a("large.example", 1, WEEKS(2), 0),
               other = add_a("small.example", 1, WEEKS(2), 0),
               used = add_a("large.example", 2, WEEK, 1),
               key = add_dnskey("large.example", WEEKS(3), 0),
               lie = add_lie("small.example", 1, 2, WEEK, 1);
  const unsigned char zone[] = "\5large\7example";
  struct p11s_bar bar = {P11S_ID_TABLE_INIT, false};

  (void)state;
  for (size_t i = next; i <= lie; i++)
    assert_false(kept_out(&bar, i));
  p11s_bar_raise(&bar, zone, sizeof zone, P11S_WORTH_AHEAD + 1);
  assert_true(kept_out(&bar, later));
  assert_true(kept_out(&bar, lie));
  assert_false(kept_out(&bar, next));
  assert_false(kept_out(&bar, other));
  p11s_bar_raise(&bar, zone, sizeof zone, P11S_WORTH_USED);
  p11s_bar_raise(&bar, zone, sizeof zone, P11S_WORTH_AHEAD + 3);
  assert_true(kept_out(&bar, next));
  assert_false(kept_out(&bar, other));
  assert_false(kept_out(&bar, used));
  assert_false(kept_out(&bar, key));
  p11s_bar_clear(&bar);
  for (size_t i = next; i <= lie; i++)
    assert_false(kept_out(&bar, i));
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(classes, anew),
      cmocka_unit_test_setup(a_lie_that_recurs_is_none_to_lose, anew),
      cmocka_unit_test_setup(many_contents_of_one_rrset_are_made_up, anew),
      cmocka_unit_test_setup(what_was_made_up_goes_first_whosever_it_is, anew),
      cmocka_unit_test_setup(a_large_zone_goes_down_to_its_share, anew),
      cmocka_unit_test_setup(keys_of_this_week_and_later_never_go, anew),
      cmocka_unit_test_setup(what_a_zone_has_lost_keeps_out_what_is_worth_no_more, anew),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}

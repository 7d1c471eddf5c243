/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The signature store and what was signed ahead: not used until it is asked for, and first to go.
 */
#include "base/log.h"
#include "rig/message_rig.h"
#include "rig/rig.h"
#include "base/counters.h"
#include "store/store.h"
#include "store/record.h"
#include "rig/store_rig.h"
#include "format/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/evp.h>

static unsigned char message[MESSAGE_RIG_MAX];

static uint32_t this_week(void)
{
  return p11s_week_start(p11s_record_now());
}

/* An A record of a name for each number. */
static size_t make(unsigned number, uint32_t week)
{
  char owner[64];

  (void)snprintf(owner, sizeof owner, "n%u.example.org", number);
  return message_rig_a("example.org", owner, number, week, message);
}

static void put(struct p11s_store *store, unsigned number, uint32_t week, bool ahead)
{
  size_t len = make(number, week);

  p11s_store_put(store, store_rig_question(store_rig_key(1), message, len),
                 (const unsigned char *)"signature", 9, ahead);
}

struct seen {
  unsigned count;
  uint32_t days;
  unsigned this_week, next_week, later, last_week, dnskeys;
};

static bool look(const struct p11s_store_record *record, void *arg)
{
  struct seen *seen = arg;
  struct p11s_message m;
  uint32_t week;

  seen->count++;
  seen->days = record->days_used;
  if (!p11s_message_parse(record->message, record->message_len, &m) ||
      !p11s_message_week(&m, &week, NULL))
    return true;
  if (m.type == P11S_TYPE_DNSKEY)
    seen->dnskeys++;
  else if (week == this_week())
    seen->this_week++;
  else if (p11s_time_diff(week, this_week()) < 0)
    seen->last_week++;
  else if (week == this_week() + P11S_WEEK_SECONDS)
    seen->next_week++;
  else
    seen->later++;
  return true;
}

static struct seen look_at_all(struct p11s_store *store)
{
  struct seen seen = {0};

  store_rig_flush(store);
  assert_true(p11s_store_each(store, look, &seen));
  return seen;
}

static void it_is_used_when_it_is_looked_up(void **state)
{
  struct p11s_store *store = store_rig_open(4);
  unsigned char signature[P11S_STORE_MAX_SIGNATURE];
  size_t len, found = sizeof signature;

  (void)state;
  put(store, 1, this_week(), true);
  assert_int_equal(look_at_all(store).days, 0);
  len = make(1, this_week());
  assert_true(p11s_store_has(store, store_rig_question(store_rig_key(1), message, len)));
  assert_false(p11s_store_has(store, store_rig_question(store_rig_key(2), message, len)));
  assert_false(p11s_store_has(store, store_rig_question(store_rig_key(1), message, len - 1)));
  assert_int_equal(look_at_all(store).days, 0);
  /* On the day on which it was stored, too. */
  assert_true(p11s_store_find_here(store, store_rig_question(store_rig_key(1), message, len),
                                   signature, &found));
  assert_int_equal(look_at_all(store).days, 1);
  found = sizeof signature;
  assert_true(p11s_store_find_here(store, store_rig_question(store_rig_key(1), message, len),
                                   signature, &found));
  assert_int_equal(look_at_all(store).days, 1);
  store_rig_close(store);
}

static void one_record_can_be_read(void **state)
{
  struct p11s_store *store = store_rig_open(4);
  unsigned char id[32];
  struct seen seen = {0};
  size_t len;

  (void)state;
  put(store, 1, this_week(), false);
  put(store, 2, this_week(), false);
  store_rig_flush(store);
  len = make(2, this_week());
  assert_int_equal(EVP_Digest(message, len, id, NULL, EVP_sha256(), NULL), 1);
  assert_true(p11s_store_read(store, store_rig_key(1), id, look, &seen));
  assert_int_equal(seen.count, 1);
  assert_int_equal(seen.days, 1);
  id[0] ^= 1;
  assert_false(p11s_store_read(store, store_rig_key(1), id, look, &seen));
  assert_false(p11s_store_read(NULL, store_rig_key(1), id, look, &seen));
  assert_int_equal(seen.count, 1);
  store_rig_close(store);
}

/* A store that holds one week, but not two: this week's stay, then next week's. However many the
   store's thread writes at a time: it writes what there is when somebody waits for it. */
static void keep_the_best(unsigned at_a_time)
{
  struct p11s_store *store = store_rig_open(4);
  const unsigned names = 2500;
  struct p11s_store_stats stats;
  size_t len = message_rig_dnskey("example.org", 1, this_week() + P11S_WEEK_SECONDS, message);
  struct seen seen;

  p11s_store_put(store, store_rig_question(store_rig_key(1), message, len),
                 (const unsigned char *)"key", 3, true);
  for (unsigned i = 0; i < names; i++)
    put(store, i, this_week(), false);
  assert_int_equal(look_at_all(store).this_week, names);
  p11s_store_get_stats(store, &stats);
  assert_false(stats.crowded);
  for (unsigned i = 0; i < 3 * names; i++) {
    put(store, i % names, this_week() + (1 + i / names) * P11S_WEEK_SECONDS, true);
    if (i % at_a_time == at_a_time - 1)
      store_rig_flush(store);
  }
  seen = look_at_all(store);
  assert_int_equal(seen.this_week, names);
  assert_int_equal(seen.dnskeys, 1);
  assert_in_range(seen.next_week, names / 3, names);
  assert_true(seen.later == 0 || seen.next_week == names);
  p11s_store_get_stats(store, &stats);
  assert_true(stats.crowded);
  assert_true(stats.file_bytes <= stats.limit_bytes);
  store_rig_close(store);
}

static void it_does_not_push_out_what_is_used(void **state)
{
  static const unsigned at_a_time[] = {17, 100, 499, 500, 10000};

  for (size_t i = 0; i < sizeof at_a_time / sizeof at_a_time[0]; i++) {
    (void)store_rig_empty(state);
    keep_the_best(at_a_time[i]);
  }
}

/* A query's signature is stored, whatever went before. */
static void what_is_asked_for_finds_room(void **state)
{
  struct p11s_store *store = store_rig_open(4);
  const unsigned names = 7500;

  (void)state;
  for (unsigned i = 0; i < names; i++)
    put(store, i, this_week() + P11S_WEEK_SECONDS, true);
  assert_true(look_at_all(store).next_week < names);
  for (unsigned i = 0; i < 2000; i++)
    put(store, i, this_week(), false);
  assert_int_equal(look_at_all(store).this_week, 2000);
  store_rig_close(store);
}

static bool has(struct p11s_store *store, size_t len)
{
  return p11s_store_has(store, store_rig_question(store_rig_key(1), message, len));
}

/* What docs/signature-store.md says of a crowded store. `warm` puts as a query does. */
static void what_a_crowded_store_takes(void **state)
{
  struct p11s_store *store = store_rig_open(4);
  const unsigned names = 7500;
  struct p11s_store_stats stats;
  size_t len;

  (void)state;
  for (unsigned i = 0; i < names; i++)
    put(store, i, this_week() + P11S_WEEK_SECONDS, true);
  store_rig_flush(store);
  p11s_store_get_stats(store, &stats);
  assert_true(stats.crowded);
  put(store, names, this_week() + P11S_WEEK_SECONDS, true);
  put(store, names + 1, this_week() + P11S_WEEK_SECONDS, false);
  len = message_rig_nsec3("example.org", 7, 2, this_week(), message);
  p11s_store_put(store, store_rig_question(store_rig_key(1), message, len),
                 (const unsigned char *)"signature", 9, false);
  store_rig_flush(store);
  assert_false(has(store, make(names, this_week() + P11S_WEEK_SECONDS)));
  assert_true(has(store, make(names + 1, this_week() + P11S_WEEK_SECONDS)));
  assert_false(has(store, message_rig_nsec3("example.org", 7, 2, this_week(), message)));
  store_rig_close(store);
}

/* Of a thousand zones, one after the other, then of the next week. */
static size_t make_dnskey(unsigned number)
{
  char name[64];

  (void)snprintf(name, sizeof name, "z%03u.example.org", number % 1000);
  return message_rig_dnskey(name, 1, this_week() + number / 1000 * P11S_WEEK_SECONDS, message);
}

static void put_dnskey(struct p11s_store *store, unsigned number, bool ahead)
{
  static const unsigned char signature[256] = {1};
  size_t len = make_dnskey(number);

  p11s_store_put(store, store_rig_question(store_rig_key(1), message, len), signature,
                 sizeof signature, ahead);
}

static bool has_dnskey(struct p11s_store *store, unsigned number)
{
  size_t len = make_dnskey(number);

  return p11s_store_has(store, store_rig_question(store_rig_key(1), message, len));
}

static void add_loss(const unsigned char *name, size_t len, const struct p11s_store_loss *loss,
                     void *arg)
{
  assert_in_range(len, name[0] + 1, 32);
  *(uint64_t *)arg += loss->lost;
}

static unsigned said;

static void count_full(enum p11s_log_level level, const char *line)
{
  said += level == P11S_LOG_WARNING && strstr(line, "full of DNSKEY signatures") != NULL;
}

/* What finds no room is not stored; what is stored stays, other than what is not of keys. */
static void signatures_of_keys_stay(void **state)
{
  struct p11s_store *store = store_rig_open(4);
  const unsigned others = 600, keys = 4000;
  uint64_t refused = p11s_counter_get(P11S_STAT_STORE_REFUSED), lost = 0;
  struct seen seen;

  (void)state;
  said = 0;
  p11s_log_set_sink(count_full);
  for (unsigned i = 0; i < others; i++)
    put(store, i, this_week(), false);
  for (unsigned i = 0; i < keys; i++) {
    put_dnskey(store, i, i >= 1000);
    if (i % 400 == 399)
      store_rig_flush(store);
  }
  seen = look_at_all(store);
  assert_int_equal(seen.this_week, 0);
  assert_in_range(seen.dnskeys, 1500, keys - 500);
  for (unsigned i = 0; i < keys; i++)
    assert_int_equal(has_dnskey(store, i), i < seen.dnskeys);
  assert_int_equal(p11s_counter_get(P11S_STAT_STORE_REFUSED) - refused, keys - seen.dnskeys);
  /* A query's own finds a place, as long as there is one; of the others what is smaller than what
     was left over. */
  put_dnskey(store, keys - 1, false);
  for (unsigned i = 0; i < 100; i++)
    put(store, i, this_week(), false);
  assert_true(look_at_all(store).this_week <= 2);
  assert_true(has_dnskey(store, keys - 1));
  assert_int_equal(said, 1);
  p11s_log_set_sink(NULL);
  assert_true(p11s_store_each_loss(store, add_loss, &lost));
  assert_in_range(lost, others + keys - seen.dnskeys + 98, others + keys - seen.dnskeys + 100);
  store_rig_close(store);
}

/* Last week's are of no use to PowerDNS any more. */
static void the_past_goes_before_the_future(void **state)
{
  struct p11s_store *store = store_rig_open(4);
  const unsigned names = 2500;
  struct p11s_store_stats stats;
  struct seen seen;

  (void)state;
  for (unsigned i = 0; i < 2 * names; i++) {
    put(store, i, this_week() - P11S_WEEK_SECONDS, false);
    if (i % 500 == 499)
      store_rig_flush(store);
  }
  for (unsigned i = 0; i < names; i++) {
    put(store, i, this_week() + P11S_WEEK_SECONDS, true);
    if (i % 500 == 499)
      store_rig_flush(store);
  }
  seen = look_at_all(store);
  assert_true(seen.last_week < 2 * names);
  assert_int_equal(seen.next_week, names);
  p11s_store_get_stats(store, &stats);
  assert_false(stats.crowded);
  store_rig_close(store);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(it_is_used_when_it_is_looked_up, store_rig_empty),
      cmocka_unit_test_setup(one_record_can_be_read, store_rig_empty),
      cmocka_unit_test_setup(it_does_not_push_out_what_is_used, store_rig_empty),
      cmocka_unit_test_setup(what_is_asked_for_finds_room, store_rig_empty),
      cmocka_unit_test_setup(what_a_crowded_store_takes, store_rig_empty),
      cmocka_unit_test_setup(signatures_of_keys_stay, store_rig_empty),
      cmocka_unit_test_setup(the_past_goes_before_the_future, store_rig_empty),
  };

  return cmocka_run_group_tests(tests, store_rig_setup, store_rig_teardown);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the database says of zones and keys, and what a plan makes of it. */
#include "ahead/zones.h"

#include "format/dnsname.h"
#include "rig/clock_rig.h"
#include "rig/fakehost.h"
#include "base/lock.h"
#include "rig/message_rig.h"
#include "rig/rig.h"
#include "rig/store_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/evp.h>

#define ORG "example.org."
#define NET "example.net."
#define W MESSAGE_RIG_WEEK
#define NOW (W + 3 * 86400u)
#define FOREVER_US (1000000 * (uint64_t)3600)

static struct rig_keys *keys;
static struct p11s_zones *zones;
static unsigned char org[P11S_DNSNAME_MAX];

static int begin(void **state)
{
  size_t len;

  if (store_rig_reset_with_token(state) != 0)
    return 1;
  fakehost_reset();
  rig_make_key("key");
  rig_make_key("other");
  keys = rig_keys_new(1);
  zones = p11s_zones_new(keys->table, NULL, &fakehost_source);
  return zones == NULL || !p11s_dnsname_parse("example.org", org, &len);
}

static int end(void **state)
{
  (void)state;
  p11s_zones_free(zones);
  rig_keys_free(keys);
  rig_remove_key("key");
  rig_remove_key("other");
  fakehost_reset();
  return 0;
}

static const unsigned char *id_of(const char *label)
{
  static unsigned char id[2][P11S_STORE_ID_LEN];
  static unsigned at;
  struct p11s_pubkey *public_key = rig_public(label);

  at = !at;
  memcpy(id[at], p11s_pubkey_hash(public_key), sizeof id[at]);
  p11s_pubkey_free(public_key);
  return id[at];
}

static const struct p11s_zone *get(uint64_t max_age_ms)
{
  clock_rig_ahead_ms++;
  return p11s_zones_get(zones, org, max_age_ms);
}

/* -- zones and rows */

static enum p11s_use_state use_of(const char *label, enum p11s_purpose purpose)
{
  const struct p11s_zone *zone = get(0);

  assert_non_null(zone);
  return p11s_zone_use(zone, id_of(label), purpose);
}

static enum p11s_use_state use(const char *label)
{
  return use_of(label, P11S_FOR_ALL_ELSE);
}

static void rows_say_which_keys_sign(void **state)
{
  (void)state;
  fakehost_put_ref(ORG, 257, rig_pinned_ref("key", RIG_PIN));
  assert_int_equal(use("other"), P11S_USE_UNNAMED);
  fakehost_put_ref(ORG, 257, rig_pinned_ref("other", RIG_PIN));
  fakehost_rows[1].active = false;
  fakehost_put_ref(NET, 257, rig_pinned_ref("key", RIG_PIN));
  assert_int_equal(use("key"), P11S_USE_SIGNS);
  assert_int_equal(use("other"), P11S_USE_ENDED);
  fakehost_state.presigned = true;
  assert_int_equal(use("key"), P11S_USE_ENDED);
}

/* KSK and ZSK are what PowerDNS takes them for: by algorithm, software keys too. */
static void a_key_signs_what_its_flags_and_the_others_say(void **state)
{
  static const char software[] =
      "Private-key-format: v1.2\nAlgorithm: 13 (ECDSAP256SHA256)\nPrivateKey: AA==\n";
  static const char of_another[] =
      "Private-key-format: v1.2\nAlgorithm: 15 (ED25519)\nPrivateKey: AA==\n";

  (void)state;
  fakehost_put_ref(ORG, 257, rig_pinned_ref("key", RIG_PIN)); /* 257 */
  fakehost_put(ORG, 256, of_another, sizeof of_another - 1);
  assert_int_equal(use_of("key", P11S_FOR_DNSKEY), P11S_USE_SIGNS);
  assert_int_equal(use_of("key", P11S_FOR_ALL_ELSE), P11S_USE_SIGNS);
  fakehost_put(ORG, 256, software, sizeof software - 1);
  assert_int_equal(use_of("key", P11S_FOR_DNSKEY), P11S_USE_SIGNS);
  assert_int_equal(use_of("key", P11S_FOR_CDS), P11S_USE_SIGNS);
  assert_int_equal(use_of("key", P11S_FOR_ALL_ELSE), P11S_USE_ENDED);
  fakehost_put_ref(ORG, 257, rig_pinned_ref("other", RIG_PIN));
  fakehost_rows[3].flags = 256;
  assert_int_equal(use_of("other", P11S_FOR_DNSKEY), P11S_USE_ENDED);
  assert_int_equal(use_of("other", P11S_FOR_CDS), P11S_USE_SIGNS);
  assert_int_equal(use_of("other", P11S_FOR_ALL_ELSE), P11S_USE_SIGNS);
  fakehost_rows[0].active = false;
  assert_int_equal(use_of("other", P11S_FOR_DNSKEY), P11S_USE_SIGNS);
}

static void a_zone_that_is_not_there_has_no_keys(void **state)
{
  (void)state;
  fakehost_put_ref(ORG, 257, rig_pinned_ref("key", RIG_PIN));
  fakehost_hide(ORG);
  assert_int_equal(use("key"), P11S_USE_UNNAMED);
  fakehost_hide(NULL);
  assert_int_equal(use("key"), P11S_USE_SIGNS);
}

/* A row that does not say which key it names, and nobody has asked the token yet; and zones of the
   same name that may have keys of their own. */
static void what_is_not_known_may_sign(void **state)
{
  struct p11s_key *key;

  (void)state;
  fakehost_put_ref(ORG, 257, rig_ref("key", RIG_PIN));
  assert_int_equal(use("other"), P11S_USE_UNKNOWN);
  key = rig_key_on(keys, "key", RIG_PIN);
  rig_resolve(key);
  p11s_key_release(key);
  assert_int_equal(use("key"), P11S_USE_SIGNS);
  assert_int_equal(use("other"), P11S_USE_UNNAMED);
  fakehost_state.variants = true;
  assert_int_equal(use("other"), P11S_USE_UNKNOWN);
}

static void an_answer_counts_for_its_age(void **state)
{
  unsigned asked;

  (void)state;
  assert_non_null(get(1000000));
  asked = fakehost_questions;
  assert_non_null(get(1000000));
  p11s_zones_refresh(zones, 1000000, FOREVER_US);
  assert_int_equal(fakehost_questions, asked);
  clock_rig_ahead_ms += 1000001;
  p11s_zones_refresh(zones, 1000000, FOREVER_US);
  assert_int_equal(fakehost_questions, asked + 1);
  assert_non_null(get(1000000));
  assert_int_equal(fakehost_questions, asked + 1);
}

static void a_change_is_told_once(void **state)
{
  (void)state;
  fakehost_put_ref(ORG, 257, rig_pinned_ref("key", RIG_PIN));
  (void)get(0);
  (void)p11s_zones_take_change(zones);
  clock_rig_ahead_ms += 10;
  (void)get(0);
  assert_false(p11s_zones_take_change(zones));
  fakehost_rows[0].active = false;
  clock_rig_ahead_ms += 10;
  (void)get(0);
  assert_true(p11s_zones_take_change(zones));
  assert_false(p11s_zones_take_change(zones));
}

static void a_database_that_does_not_answer_changes_nothing(void **state)
{
  unsigned asked;

  (void)state;
  fakehost_put_ref(ORG, 257, rig_pinned_ref("key", RIG_PIN));
  fakehost_refuse_listing(true);
  assert_null(get(0));
  clock_rig_ahead_ms += 2000;
  fakehost_refuse_listing(false);
  assert_non_null(get(0));
  fakehost_refuse_listing(true);
  clock_rig_ahead_ms += 10;
  assert_int_equal(use("key"), P11S_USE_SIGNS);
  asked = fakehost_questions;
  for (unsigned i = 0; i < 10; i++)
    (void)get(0); /* a pause has begun */
  assert_int_equal(fakehost_questions, asked);
  fakehost_hide(ORG);
  fakehost_refuse_listing(false);
  clock_rig_ahead_ms += P11S_ZONES_PAUSE_MOST_MS;
  assert_false(get(0)->state.exists);
}

/* For what cannot be undone: an answer from before, however young, is none. */
static void an_answer_that_has_come_since(void **state)
{
  uint64_t since;
  unsigned asked;

  (void)state;
  fakehost_put_ref(ORG, 257, rig_pinned_ref("key", RIG_PIN));
  fakehost_hide(ORG);
  assert_false(get(0)->state.exists);
  fakehost_hide(NULL);
  since = p11s_now_ms() + 1;
  clock_rig_ahead_ms += 2;
  assert_true(p11s_zones_get_since(zones, org, since)->state.exists);
  asked = fakehost_questions;
  assert_non_null(p11s_zones_get_since(zones, org, since));
  assert_int_equal(fakehost_questions, asked);
  fakehost_refuse_listing(true);
  clock_rig_ahead_ms += 2;
  since = p11s_now_ms();
  assert_null(p11s_zones_get_since(zones, org, since));
  assert_non_null(get(0));
}

/* -- a plan */

static struct p11s_store *store;
static unsigned char message[MESSAGE_RIG_MAX];

/* Used this week on one day. */
static void add(struct p11s_plan *plan, size_t len, const char *label, uint32_t last_used)
{
  const struct p11s_store_record record = {
      id_of(label), message, len, (const unsigned char *)"s", 1, last_used, 1};

  assert_true(p11s_plan_add(&record, plan));
  p11s_store_put(store, store_rig_question(record.key_id, message, len), record.signature, 1,
                 false);
}

static size_t make(unsigned number)
{
  return message_rig_a("example.org", "a.example.org", number, W, message);
}

static struct p11s_plan *begin_plan(void)
{
  struct p11s_plan *plan = p11s_plan_new(NOW, 1, NULL, 0);

  assert_non_null(plan);
  store = store_rig_open(4);
  return plan;
}

/* How many messages recur. */
static uint64_t finish(struct p11s_plan *plan)
{
  struct p11s_budget budget;

  store_rig_flush(store);
  p11s_zones_tell(zones, plan, store, 0, FOREVER_US);
  assert_true(p11s_plan_finish(plan));
  p11s_plan_budget(plan, &budget);
  store_rig_close(store);
  p11s_plan_free(plan);
  return budget.recurring;
}

static void what_belongs_to_no_zone_does_not_recur(void **state)
{
  struct p11s_plan *plan = begin_plan();

  (void)state;
  fakehost_put_ref(ORG, 257, rig_pinned_ref("key", RIG_PIN));
  add(plan, make(1), "key", NOW);
  add(plan, message_rig_a("example.org", "b.example.org", 1, W, message), "other", NOW);
  add(plan, message_rig_a("example.net", "a.example.net", 1, W, message), "key", NOW);
  add(plan, message_rig_a("gone.org", "a.gone.org", 1, W, message), "key", NOW);
  assert_int_equal(finish(plan), 1);
}

/* Two days without a use do not end a key that the rows have sign. */
static void a_key_that_signs_recurs_however_long_ago(void **state)
{
  struct p11s_plan *plan = begin_plan();

  (void)state;
  fakehost_put_ref(ORG, 257, rig_pinned_ref("key", RIG_PIN));
  fakehost_put_ref(ORG, 257, rig_pinned_ref("other", RIG_PIN));
  add(plan, make(1), "key", NOW - 3 * 86400u);
  add(plan, make(1), "other", NOW);
  assert_int_equal(finish(plan), 2);
}

static unsigned served;

/* The number in `served`; 0: no such RRset. */
static void serve(const char *zone, const char *owner, unsigned type, struct p11s_served *ret)
{
  unsigned char now[MESSAGE_RIG_MAX];
  size_t len = message_rig_a("example.org", "a.example.org", served, 0, now);

  assert_string_equal(zone, ORG);
  assert_string_equal(owner, "a.example.org.");
  assert_int_equal(type, 1);
  ret->kind = served == 0 ? P11S_SERVED_NOTHING : P11S_SERVED_THIS;
  now[2] = 0;            /* algorithm */
  now[16] = now[17] = 0; /* key tag */
  if (served != 0)
    p11s_buf_add(&ret->message, now, len);
}

/* How many of the contents 1, 2 and 3 recur, of which the last is the newest. */
static uint64_t recurring_of_three(void)
{
  struct p11s_plan *plan = begin_plan();

  if (fakehost_row_count == 0)
    fakehost_put_ref(ORG, 257, rig_pinned_ref("key", RIG_PIN));
  for (unsigned i = 1; i <= 3; i++)
    add(plan, make(i), "key", NOW - 1000 + i);
  return finish(plan);
}

static void an_rrset_that_changes_back(void **state)
{
  struct p11s_plan_cursor cursor = {0};
  struct p11s_plan *plan = begin_plan();
  struct p11s_plan_task task;
  unsigned char digest[32];

  (void)state;
  fakehost_put_ref(ORG, 257, rig_pinned_ref("key", RIG_PIN));
  fakehost_rrset = serve;
  served = 1;
  for (unsigned i = 1; i <= 3; i++)
    add(plan, make(i), "key", NOW - 1000 + i);
  store_rig_flush(store);
  p11s_zones_tell(zones, plan, store, 0, FOREVER_US);
  assert_true(p11s_plan_finish(plan));
  p11s_plan_set_token(plan, 0, 0);
  assert_int_equal(p11s_plan_count(plan, 0, cursor), 1);
  assert_true(p11s_plan_next(plan, 0, &cursor, &task));
  assert_int_equal(EVP_Digest(message, make(1), digest, NULL, EVP_sha256(), NULL), 1);
  assert_memory_equal(digest, task.message_id, sizeof digest);
  store_rig_close(store);
  p11s_plan_free(plan);
}

static void an_rrset_that_is_out(void **state)
{
  (void)state;
  fakehost_rrset = serve;
  served = 0;
  assert_int_equal(recurring_of_three(), 0);
}

/* What the zone has now was not asked for yet: it was not served, and what was is there no more. */
static void an_rrset_that_nobody_has_asked_for_since(void **state)
{
  (void)state;
  fakehost_rrset = serve;
  served = 4;
  assert_int_equal(recurring_of_three(), 0);
}

/* What is made when it is asked for: all that was used lately may be asked for again. */
static void all_recur_where_nobody_can_tell(void **state)
{
  (void)state;
  assert_int_equal(recurring_of_three(), 3);
}

/* The number of the zone's key in `served`. */
static void serve_dnskey(const char *zone, const char *owner, unsigned type,
                         struct p11s_served *ret)
{
  unsigned char now[MESSAGE_RIG_MAX];
  size_t len = message_rig_dnskey("example.org", served, 0, now);

  assert_string_equal(zone, ORG);
  assert_string_equal(owner, ORG);
  assert_int_equal(type, P11S_TYPE_DNSKEY);
  now[2] = 0;            /* algorithm */
  now[16] = now[17] = 0; /* key tag */
  ret->kind = P11S_SERVED_THIS;
  p11s_buf_add(&ret->message, now, len);
}

/* What was there before a roll is out; but what nobody has ever asked for is not what is served. */
static void dnskeys_of_before(void **state)
{
  (void)state;
  fakehost_rrset = serve_dnskey;
  fakehost_put_ref(ORG, 257, rig_pinned_ref("key", RIG_PIN));
  for (served = 1; served <= 3; served++) {
    struct p11s_plan *plan = begin_plan();

    clock_rig_ahead_ms += 60000;
    add(plan, message_rig_dnskey("example.org", 1, W - P11S_WEEK_SECONDS, message), "key",
        W - 1000);
    add(plan, message_rig_dnskey("example.org", 2, W, message), "key", NOW - 1000);
    assert_int_equal(finish(plan), served == 3 ? 2 : 1);
  }
}

/* Used last week, on one day, and not signed for this week. */
static void add_missing(struct p11s_plan *plan, const char *owner, const char *label)
{
  add(plan, message_rig_a("example.org", owner, 1, W - P11S_WEEK_SECONDS, message), label,
      W - 1000);
}

/* Of a content alone nobody would ask, but it would be all that is in the way. */
static void what_is_missing_is_looked_up(void **state)
{
  struct p11s_plan *plan = begin_plan();

  (void)state;
  fakehost_put_ref(ORG, 257, rig_pinned_ref("key", RIG_PIN));
  fakehost_rrset = serve;
  for (served = 0; served <= 2; served++) {
    if (served > 0)
      plan = begin_plan();
    clock_rig_ahead_ms += 60000;
    add_missing(plan, "a.example.org", "key");
    assert_int_equal(finish(plan), served == 1);
  }
  plan = begin_plan();
  clock_rig_ahead_ms += 60000;
  fakehost_rrset = NULL;
  add_missing(plan, "a.example.org", "key");
  assert_int_equal(finish(plan), 1);
}

/* A budget that is short already is not asked about further. */
static void one_answer_suffices_for_a_zone(void **state)
{
  struct p11s_plan *plan = begin_plan();

  (void)state;
  fakehost_put_ref(ORG, 257, rig_pinned_ref("key", RIG_PIN));
  fakehost_questions = 0;
  for (unsigned i = 0; i < 100; i++) {
    char owner[32];

    (void)snprintf(owner, sizeof owner, "n%u.example.org", i);
    add_missing(plan, owner, "key");
  }
  assert_int_equal(finish(plan), 100);
  assert_int_equal(fakehost_questions, 2); /* the zone, and one RRset of it */
}

static void without_an_answer_the_newest_recurs(void **state)
{
  (void)state;
  fakehost_refuse_listing(true);
  assert_int_equal(recurring_of_three(), 1);
}

static void what_is_made_for_each_who_asks_is_limited(void **state)
{
  struct p11s_plan *plan = begin_plan();

  (void)state;
  fakehost_put_ref(ORG, 257, rig_pinned_ref("key", RIG_PIN));
  for (unsigned i = 1; i <= P11S_PLAN_CONTENTS_MOST + 10; i++)
    add(plan, make(i), "key", NOW - 1000 + i);
  assert_int_equal(finish(plan), P11S_PLAN_CONTENTS_MOST);
}

/* A serial makes no other content: nobody is asked, and of SOA records one recurs. */
static void of_soa_records_one_recurs(void **state)
{
  static const enum p11s_soa_edit_kind kinds[] = {P11S_SOA_EDIT_NONE,
                                                  P11S_SOA_EDIT_INCREMENT_WEEKS};

  (void)state;
  fakehost_put_ref(ORG, 257, rig_pinned_ref("key", RIG_PIN));
  for (size_t i = 0; i < 2; i++) {
    struct p11s_plan *plan = begin_plan();

    fakehost_state.has_soa = true;
    fakehost_state.soa_edit.kind = kinds[i];
    fakehost_questions = 0;
    for (uint32_t serial = 1; serial <= 3; serial++)
      add(plan, message_rig_soa("example.org", serial, W, message), "key", NOW - 1000 + serial);
    assert_int_equal(finish(plan), 1);
    assert_int_equal(fakehost_questions, 1);
    clock_rig_ahead_ms += 60000;
  }
}

#define ON_TOKEN(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
  const struct CMUnitTest tests[] = {
      ON_TOKEN(rows_say_which_keys_sign),
      ON_TOKEN(a_key_signs_what_its_flags_and_the_others_say),
      ON_TOKEN(a_zone_that_is_not_there_has_no_keys),
      ON_TOKEN(what_is_not_known_may_sign),
      ON_TOKEN(an_answer_counts_for_its_age),
      ON_TOKEN(a_change_is_told_once),
      ON_TOKEN(a_database_that_does_not_answer_changes_nothing),
      ON_TOKEN(an_answer_that_has_come_since),
      ON_TOKEN(what_belongs_to_no_zone_does_not_recur),
      ON_TOKEN(a_key_that_signs_recurs_however_long_ago),
      ON_TOKEN(an_rrset_that_changes_back),
      ON_TOKEN(an_rrset_that_is_out),
      ON_TOKEN(an_rrset_that_nobody_has_asked_for_since),
      ON_TOKEN(what_is_missing_is_looked_up),
      ON_TOKEN(one_answer_suffices_for_a_zone),
      ON_TOKEN(all_recur_where_nobody_can_tell),
      ON_TOKEN(dnskeys_of_before),
      ON_TOKEN(without_an_answer_the_newest_recurs),
      ON_TOKEN(what_is_made_for_each_who_asks_is_limited),
      ON_TOKEN(of_soa_records_one_recurs),
  };

  return cmocka_run_group_tests(tests, store_rig_setup_with_token, store_rig_teardown_with_token);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Signing all of a zone: what of which week. */
#include "admin/warm.h"

#include "rig/fakehost.h"
#include "rig/rig.h"
#include "sign/sign_store.h"
#include "store/store.h"
#include "store/record.h"
#include "rig/store_rig.h"
#include "format/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define ZONE "example.org."
#define LEN 120
#define SETS 20 /* the same in every week */
#define WEEKS 3

static struct p11s_signer *signer;
static struct p11s_key *keys[2];

static void open_signer(bool store)
{
  struct p11s_config config = rig_config(2);

  config.state_dir = store_rig_directory();
  config.store = store;
  config.store_mib = 16;
  signer = rig_signer_of(&config);
  keys[0] = rig_key(signer, "warm-ksk", RIG_PIN);
  keys[1] = rig_key(signer, "warm-zsk", RIG_PIN);
  for (unsigned i = 0; i < 2; i++)
    rig_resolve(keys[i]);
}

static void close_signer(void)
{
  p11s_key_release(keys[0]);
  p11s_key_release(keys[1]);
  rig_signer_free(signer);
}

static void put32(unsigned char *to, uint32_t number)
{
  for (unsigned i = 0; i < 4; i++)
    to[i] = (unsigned char)(number >> (24 - 8 * i));
}

/* As PowerDNS has it in this week. */
static void message_of(unsigned number, unsigned char *message)
{
  uint32_t start = p11s_week_start(p11s_record_now());

  memset(message, 0, LEN);
  message[1] = 1;
  put32(message + 8, start + 2 * P11S_WEEK_SECONDS);
  put32(message + 12, start - P11S_WEEK_SECONDS);
  put32(message + 100, number);
}

static bool demand(const struct p11s_demand_sink *sink, unsigned key, unsigned number, int week)
{
  unsigned char message[LEN];
  struct p11s_demand d = {keys[key], message, LEN, week};

  message_of(number, message);
  return sink->demand(&d, sink->arg);
}

/* One of the KSK, SETS of the ZSK, and one that is another in each week. */
static void a_zone(const char *zone, unsigned weeks, const struct p11s_demand_sink *sink)
{
  assert_string_equal(zone, ZONE);
  assert_true(demand(sink, 0, 1000, P11S_EVERY_WEEK));
  for (unsigned i = 0; i < SETS; i++)
    assert_true(demand(sink, 1, i, P11S_EVERY_WEEK));
  for (unsigned week = 0; week <= weeks; week++)
    assert_true(demand(sink, 1, 2000 + week, (int)week));
  sink->left_out("this", sink->arg);
  sink->left_out("and that", sink->arg);
}

static int setup(void **state)
{
  (void)store_rig_reset_with_token(state);
  fakehost_reset();
  fakehost_demands = a_zone;
  open_signer(true);
  return 0;
}

static int teardown(void **state)
{
  (void)state;
  close_signer();
  return 0;
}

static bool is_stored(unsigned key, unsigned number, unsigned week)
{
  struct p11s_question question;
  unsigned char message[LEN];

  message_of(number, message);
  p11s_message_advance(message, (int)week);
  assert_int_equal(p11s_sign_question(keys[key], message, LEN, &question, NULL), P11S_OK);
  return p11s_sign_is_stored(keys[key], &question);
}

static struct p11s_warm *make(unsigned weeks)
{
  struct p11s_warm *warm = NULL;
  struct p11s_error e;

  if (p11s_warm_new(signer, &fakehost, ZONE, weeks, &warm, &e) != P11S_OK)
    fail_msg("%s", e.text);
  return warm;
}

/* Goes on until that many are made. */
static bool until(uint64_t made, void *arg)
{
  return made < *(const uint64_t *)arg;
}

static struct p11s_warm_plan plan_of(struct p11s_warm *warm)
{
  struct p11s_warm_plan plan;

  assert_int_equal(p11s_warm_plan(warm, &plan, NULL), P11S_OK);
  return plan;
}

static void all_weeks_are_signed(void **state)
{
  struct p11s_warm *warm = make(WEEKS);
  struct p11s_warm_plan plan = plan_of(warm);
  struct p11s_warm_result result;
  uint64_t most = UINT64_MAX;

  (void)state;
  assert_int_equal(plan.messages, (SETS + 2) * (WEEKS + 1));
  assert_int_equal(plan.missing, plan.messages);
  assert_int_equal(plan.bytes, plan.messages * (P11S_RECORD_KEY_LEN + p11s_record_size(LEN, 64)));
  assert_int_equal(plan.kept, 0);
  assert_int_equal(p11s_warm_run(warm, until, &most, &result, NULL), P11S_OK);
  for (unsigned week = 0; week < P11S_WARM_WEEKS; week++) {
    bool asked = week <= WEEKS;

    assert_int_equal(result.made[week], asked ? SETS + 2 : 0);
    assert_int_equal(result.there[week], 0);
    assert_int_equal(is_stored(0, 1000, week), asked);
    assert_int_equal(is_stored(1, 3, week), asked);
    for (unsigned i = 0; i <= WEEKS; i++)
      assert_int_equal(is_stored(1, 2000 + i, week), i == week);
  }
  plan = plan_of(warm);
  assert_int_equal(plan.missing, 0);
  assert_int_equal(plan.bytes, 0);
  p11s_warm_free(warm);
}

static void the_second_time_there_is_nothing_to_do(void **state)
{
  struct p11s_warm *warm = make(0);
  struct p11s_warm_result result;
  uint64_t most = UINT64_MAX;
  unsigned made;

  (void)state;
  assert_int_equal(p11s_warm_run(warm, until, &most, &result, NULL), P11S_OK);
  p11s_warm_free(warm);
  close_signer();
  open_signer(true);
  made = rig_fake()->calls("C_Sign");
  warm = make(1);
  assert_int_equal(plan_of(warm).missing, SETS + 2);
  assert_int_equal(p11s_warm_run(warm, until, &most, &result, NULL), P11S_OK);
  assert_int_equal(result.there[0], SETS + 2);
  assert_int_equal(result.made[0], 0);
  assert_int_equal(result.made[1], SETS + 2);
  assert_int_equal(rig_fake()->calls("C_Sign"), made + SETS + 2);
  p11s_warm_free(warm);
}

static void what_was_made_before_the_end_is_kept(void **state)
{
  struct p11s_warm *warm = make(WEEKS);
  struct p11s_warm_result result;
  uint64_t some = 5, all = UINT64_MAX, made;

  (void)state;
  assert_int_equal(p11s_warm_run(warm, until, &some, &result, NULL), P11S_ERR_STOPPED);
  made = result.made[0];
  assert_in_range(made, 5, SETS);
  assert_int_equal(result.made[WEEKS], 0);
  assert_true(is_stored(0, 1000, 0)); /* the keys come first */
  assert_int_equal(plan_of(warm).missing, (SETS + 2) * (WEEKS + 1) - made);
  assert_int_equal(p11s_warm_run(warm, until, &all, &result, NULL), P11S_OK);
  assert_int_equal(result.there[0], made);
  assert_int_equal(result.made[0], SETS + 2 - made);
  p11s_warm_free(warm);
}

static void a_token_that_cannot_sign_is_said(void **state)
{
  struct p11s_warm *warm = make(0);
  struct p11s_warm_result result;
  uint64_t all = UINT64_MAX;
  struct p11s_error e;

  (void)state;
  rig_remove_private("warm-zsk");
  assert_int_equal(p11s_warm_run(warm, until, &all, &result, &e), P11S_ERR_NO_KEY);
  assert_non_null(strstr(e.text, "warm-zsk"));
  p11s_warm_free(warm);
  rig_remove_public("warm-zsk");
  rig_make_key("warm-zsk");
}

static void what_is_left_out_is_handed_on(void **state)
{
  struct p11s_warm *warm = make(0);
  const struct p11s_buf *left_out = p11s_warm_left_out(warm);

  (void)state;
  assert_int_equal(left_out->len, sizeof "this" + sizeof "and that");
  assert_memory_equal(left_out->data, "this\0and that", left_out->len);
  p11s_warm_free(warm);
}

static void nothing(const char *zone, unsigned weeks, const struct p11s_demand_sink *sink)
{
  (void)zone;
  (void)weeks;
  (void)sink;
}

static void a_zone_without_a_key_on_a_token(void **state)
{
  struct p11s_warm_result result;
  uint64_t all = UINT64_MAX;
  struct p11s_warm *warm;

  (void)state;
  fakehost_demands = nothing;
  warm = make(1);
  assert_int_equal(plan_of(warm).messages, 0);
  assert_int_equal(p11s_warm_run(warm, until, &all, &result, NULL), P11S_OK);
  assert_int_equal(result.made[0] + result.there[0], 0);
  p11s_warm_free(warm);
}

static void what_is_in_the_way_is_said_at_once(void **state)
{
  struct p11s_warm *warm = NULL;
  struct p11s_error e;

  (void)state;
  assert_int_equal(p11s_warm_new(signer, &fakehost, "nowhere.", 0, &warm, &e), P11S_ERR_HOST);
  assert_non_null(strstr(e.text, "nowhere."));
  fakehost_refuse_listing(true);
  assert_int_equal(p11s_warm_new(signer, &fakehost, ZONE, 0, &warm, &e), P11S_ERR_HOST);
  fakehost_refuse_listing(false);
  close_signer();
  open_signer(false);
  assert_int_equal(p11s_warm_new(signer, &fakehost, ZONE, 0, &warm, &e), P11S_ERR_HOST);
  assert_non_null(strstr(e.text, "pkcs11signer-store"));
  assert_null(warm);
}

static int group_setup(void **state)
{
  if (store_rig_setup_with_token(state) != 0)
    return 1;
  rig_make_key("warm-ksk");
  rig_make_key("warm-zsk");
  return 0;
}

int main(void)
{
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(all_weeks_are_signed, setup, teardown),
      cmocka_unit_test_setup_teardown(the_second_time_there_is_nothing_to_do, setup, teardown),
      cmocka_unit_test_setup_teardown(what_was_made_before_the_end_is_kept, setup, teardown),
      cmocka_unit_test_setup_teardown(a_token_that_cannot_sign_is_said, setup, teardown),
      cmocka_unit_test_setup_teardown(what_is_left_out_is_handed_on, setup, teardown),
      cmocka_unit_test_setup_teardown(a_zone_without_a_key_on_a_token, setup, teardown),
      cmocka_unit_test_setup_teardown(what_is_in_the_way_is_said_at_once, setup, teardown),
  };

  return cmocka_run_group_tests_name("warm", tests, group_setup, store_rig_teardown_with_token);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Keys that are found, and tokens that are logged in to, before a query needs them. */
#include "ahead/prepare.h"

#include "rig/fakehost.h"
#include "sign/key.h"
#include "base/lock.h"
#include "rig/message_rig.h"
#include "ahead/prepare_internal.h"
#include "rig/rig.h"
#include "signer/internal.h"
#include "sign/sign.h"
#include "rig/softhsm.h"
#include "store/store.h"
#include "rig/store_rig.h"
#include "token/token.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NET "example.net."
#define ORG "example.org."
#define SECOND "second"

static struct p11s_signer *signer;

/* Linked in place of strdup(): after so many there is no memory. */
char *__real_strdup(const char *text);
char *__wrap_strdup(const char *text);
static unsigned copies_left = UINT_MAX;

char *__wrap_strdup(const char *text)
{
  return copies_left-- > 0 ? __real_strdup(text) : NULL;
}

static int group_setup(void **state)
{
  if (store_rig_setup_with_token(state) != 0)
    return 1;
  (void)softhsm_token(SECOND, RIG_PIN);
  return 0;
}

static struct p11s_signer *make_signer(const char *directory, const struct p11s_host_source *hosts)
{
  struct p11s_config config = rig_config(2);

  config.state_dir = directory;
  config.prepare = true;
  config.hosts = hosts;
  return rig_signer_of(&config);
}

static int begin(void **state)
{
  if (store_rig_reset_with_token(state) != 0)
    return 1;
  fakehost_reset();
  rig_make_key("key");
  rig_make_key("other");
  signer = make_signer(store_rig_directory(), &fakehost_source);
  return 0;
}

static int end(void **state)
{
  (void)state;
  rig_fake()->reset();
  rig_signer_free(signer);
  rig_remove_key("key");
  rig_remove_key("other");
  fakehost_reset();
  return 0;
}

static struct p11s_prepare *start(void)
{
  const struct p11s_prepare_config config = {p11s_signer_keys(signer), signer->store,
                                             p11s_signer_config(signer)->hosts};

  return p11s_prepare_start(&config);
}

/* By itself, to its end. */
static void prepare(void)
{
  struct p11s_prepare *p = start();

  assert_non_null(p);
  assert_true(p11s_prepare_await(p, true, rig_later()));
  assert_true(p11s_prepare_stop(p, rig_later()));
  p11s_prepare_free(p);
}

static unsigned calls(const char *function)
{
  return rig_fake()->calls(function);
}

static enum p11s_err sign(struct p11s_key *key)
{
  unsigned char message[MESSAGE_RIG_MAX];
  size_t len = message_rig_a("example.org", "a.example.org", 1, MESSAGE_RIG_WEEK, message);
  struct p11s_signature signature;
  struct p11s_error e;

  return rig_sign(p11s_signer_flights(signer), key, message, len, &signature, &e);
}

/* -- what is done, and what is left for the query */

static void a_query_finds_all_done(void **state)
{
  struct p11s_key *key = rig_key(signer, "key", RIG_PIN),
                  *other = rig_key(signer, "other", RIG_PIN);
  unsigned searches;

  (void)state;
  fakehost_put_ref(NET, 257, rig_ref("key", RIG_PIN));
  fakehost_put_ref(ORG, 257, rig_ref("key", RIG_PIN));
  fakehost_put_ref(ORG, 257, rig_ref("other", RIG_PIN));
  prepare();
  assert_int_equal(calls("C_Login"), 1);
  assert_int_equal(calls("C_Sign"), 2); /* each key has proven itself */
  searches = calls("C_FindObjectsInit");
  assert_non_null(p11s_key_public(key));
  assert_non_null(p11s_key_public(other));
  assert_int_equal(sign(key), P11S_OK);
  assert_int_equal(sign(other), P11S_OK);
  assert_int_equal(calls("C_Login"), 1);
  assert_int_equal(calls("C_FindObjectsInit"), searches);
  p11s_key_release(key);
  p11s_key_release(other);
}

static void tokens_are_logged_in_to_once(void **state)
{
  (void)state;
  fakehost_put_ref(ORG, 257, rig_pinned_ref("key", RIG_PIN));
  fakehost_put_ref(ORG, 257, rig_ref_in(SECOND, rig_pinned_ref("key", RIG_PIN)));
  p11s_signer_prepare(signer, rig_later());
  assert_int_equal(calls("C_Login"), 2); /* when this returns */
  p11s_signer_prepare(signer, rig_later());
  assert_int_equal(calls("C_Login"), 2);
}

static void a_pinned_key_is_found_and_signs_nothing(void **state)
{
  (void)state;
  fakehost_put_ref(ORG, 257, rig_pinned_ref("key", RIG_PIN));
  prepare();
  assert_int_equal(calls("C_Login"), 1);
  assert_in_range(calls("C_FindObjectsInit"), 1, 10);
  assert_int_equal(calls("C_Sign"), 0);
}

static void what_signs_nothing_is_left_alone(void **state)
{
  (void)state;
  fakehost_put_ref(ORG, 257, rig_ref("key", RIG_PIN));
  fakehost_put_ref(ORG, 257, rig_ref("other", RIG_PIN));
  fakehost_put(ORG, 257, "Private-key-format: v1.2\nAlgorithm: 13\n", 39);
  fakehost_rows[0].active = fakehost_rows[1].active = false;
  prepare();
  fakehost_rows[0].active = true;
  fakehost_state.presigned = true;
  prepare();
  assert_int_equal(calls("C_OpenSession"), 0);
}

static void a_key_that_is_missing_does_not_stop_the_others(void **state)
{
  struct p11s_key *other = rig_key(signer, "other", RIG_PIN);

  (void)state;
  fakehost_put_ref(ORG, 257, rig_ref("none", RIG_PIN));
  fakehost_put_ref(ORG, 257, rig_ref("other", RIG_PIN));
  prepare();
  assert_non_null(p11s_key_public(other));
  p11s_key_release(other);
}

static void without_a_database_nothing_is(void **state)
{
  (void)state;
  fakehost_put_ref(ORG, 257, rig_ref("key", RIG_PIN));
  fakehost_refuse_listing(true);
  prepare();
  assert_int_equal(calls("C_OpenSession"), 0);
  rig_signer_free(signer);
  signer = make_signer(store_rig_directory(), NULL);
  p11s_signer_prepare(signer, rig_later());
  assert_int_equal(calls("C_OpenSession"), 0);
}

/* -- PINs */

static void wrong_pins_cost_one_try(void **state)
{
  (void)state;
  fakehost_put_ref(NET, 257, rig_ref("key", RIG_WRONG_PIN));
  fakehost_put_ref(ORG, 257, rig_ref("key", "wrong~1111"));
  fakehost_put_ref(ORG, 257, rig_ref("other", "wrong~2222"));
  prepare();
  assert_int_equal(calls("C_Login"), 1);
}

static void no_try_that_would_be_forgotten(void **state)
{
  struct p11s_key *key;

  (void)state;
  rig_signer_free(signer);
  signer = make_signer(NULL, &fakehost_source);
  key = rig_key(signer, "key", RIG_PIN);
  fakehost_put_ref(ORG, 257, rig_ref("key", RIG_PIN));
  prepare();
  assert_int_equal(calls("C_Login"), 0);
  assert_int_equal(sign(key), P11S_OK); /* and it is no reason not to log in now */
  assert_int_equal(calls("C_Login"), 1);
  p11s_key_release(key);
}

static void nobody_is_called_to_the_keypad(void **state)
{
  (void)state;
  fakehost_put_ref(ORG, 257, rig_ref("key", RIG_PIN));
  rig_fake()->token_info(CKF_PROTECTED_AUTHENTICATION_PATH, 0, 0);
  prepare();
  assert_int_equal(calls("C_OpenSession"), 1);
  assert_int_equal(calls("C_Login"), 0);
}

static void the_last_tries_are_left_to_people(void **state)
{
  (void)state;
  fakehost_put_ref(ORG, 257, rig_ref("key", RIG_PIN));
  rig_fake()->token_info(CKF_USER_PIN_FINAL_TRY, 0, 0);
  prepare();
  assert_int_equal(calls("C_OpenSession"), 1);
  rig_fake()->token_info(CKF_USER_PIN_COUNT_LOW, CKF_USER_PIN_FINAL_TRY, 0);
  prepare();
  assert_int_equal(calls("C_Login"), 0);
}

/* -- while a login is under way */

static void *sign_in_thread(void *arg)
{
  enum p11s_err *result = arg;
  struct p11s_key *key = rig_key(signer, "key", RIG_PIN);

  *result = sign(key);
  p11s_key_release(key);
  return NULL;
}

static void wait_until_queued(void)
{
  uint64_t deadline = rig_later();
  struct p11s_signer_stats stats;

  do {
    assert_true(p11s_now_ms() < deadline);
    p11s_signer_get_stats(signer, &stats);
  } while (stats.under_way == 0);
}

static void a_query_waits_for_the_login_that_is_under_way(void **state)
{
  struct p11s_prepare *p;
  enum p11s_err result;
  pthread_t query;

  (void)state;
  fakehost_put_ref(ORG, 257, rig_pinned_ref("key", RIG_PIN));
  rig_fake()->block("C_Login", 1, 1);
  p = start();
  assert_true(rig_fake()->wait_blocked("C_Login", 1));
  assert_int_equal(pthread_create(&query, NULL, sign_in_thread, &result), 0);
  wait_until_queued();
  assert_false(p11s_prepare_await(p, false, p11s_now_ms()));
  rig_fake()->release("C_Login");
  assert_int_equal(pthread_join(query, NULL), 0);
  assert_int_equal(result, P11S_OK);
  assert_int_equal(calls("C_Login"), 1);
  assert_true(p11s_prepare_stop(p, rig_later()));
  rig_signer_free(signer);
  p11s_prepare_free(p);
  signer = make_signer(NULL, NULL);
}

static void a_token_that_hangs_holds_up_no_other(void **state)
{
  struct p11s_prepare *p;

  (void)state;
  fakehost_put_ref(NET, 257, rig_ref("key", RIG_PIN));
  fakehost_put_ref(ORG, 257, rig_ref_in(SECOND, rig_ref("key", RIG_PIN)));
  rig_fake()->block("C_Login", 1, 1);
  p = start();
  assert_true(rig_fake()->wait_blocked("C_Login", 1));
  while (calls("C_Login") < 2)
    assert_false(p11s_prepare_await(p, true, p11s_now_ms() + 1));
  assert_true(p11s_prepare_stop(p, rig_later())); /* which does not wait for the token */
  rig_fake()->release("C_Login");
  rig_signer_free(signer);
  p11s_prepare_free(p);
  signer = make_signer(NULL, NULL);
}

/* -- order */

static void store_one(struct p11s_store *store, const char *zone, unsigned key)
{
  static const unsigned char signature[64] = {1};
  unsigned char message[MESSAGE_RIG_MAX];
  size_t len = message_rig_a(zone, zone, key, MESSAGE_RIG_WEEK, message);

  p11s_store_put(store, store_rig_question(store_rig_key(key), message, len), signature,
                 sizeof signature, false);
}

static void expect_order(struct p11s_store *store, const char *first, const char *second)
{
  struct p11s_prepare_zones zones = {NULL, 0};
  const atomic_bool stop = false;
  struct p11s_error e;

  store_rig_flush(store);
  assert_int_equal(p11s_prepare_zones_list(store, &fakehost, &stop, &zones, &e), P11S_OK);
  assert_int_equal(zones.count, 2);
  assert_string_equal(zones.zones[0].name, first);
  assert_string_equal(zones.zones[1].name, second);
  p11s_prepare_zones_clear(&zones);
}

static void zones_that_were_used_last_come_first(void **state)
{
  struct p11s_store *store = store_rig_open(4);

  (void)state;
  expect_order(store, NET, ORG); /* the database's */
  store_one(store, "example.org", 1);
  store_one(store, "elsewhere.test", 2);
  expect_order(store, ORG, NET);
  store_rig_set_clock(86400);
  store_one(store, "example.net", 3);
  store_one(store, "example.net", 4);
  expect_order(store, NET, ORG);
  store_rig_set_clock(2 * 86400);
  store_one(store, "example.org", 3);
  expect_order(store, ORG, NET);
  store_rig_set_clock(0);
  store_rig_close(store);
}

static void a_zone_for_whose_name_memory_was_short_is_left_out(void **state)
{
  const atomic_bool stop = false;
  struct p11s_prepare_zones zones = {0};
  struct p11s_error e;

  (void)state;
  copies_left = 1;
  assert_int_equal(p11s_prepare_zones_list(NULL, &fakehost, &stop, &zones, &e), P11S_OK);
  copies_left = UINT_MAX;
  assert_int_equal(zones.count, 1);
  assert_string_equal(zones.zones[0].name, NET);
  p11s_prepare_zones_clear(&zones);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
  const struct CMUnitTest tests[] = {
      TEST(a_query_finds_all_done),
      TEST(tokens_are_logged_in_to_once),
      TEST(a_pinned_key_is_found_and_signs_nothing),
      TEST(what_signs_nothing_is_left_alone),
      TEST(a_key_that_is_missing_does_not_stop_the_others),
      TEST(without_a_database_nothing_is),
      TEST(wrong_pins_cost_one_try),
      TEST(no_try_that_would_be_forgotten),
      TEST(nobody_is_called_to_the_keypad),
      TEST(the_last_tries_are_left_to_people),
      TEST(a_query_waits_for_the_login_that_is_under_way),
      TEST(a_token_that_hangs_holds_up_no_other),
      TEST(a_zone_for_whose_name_memory_was_short_is_left_out),
      TEST(zones_that_were_used_last_come_first),
  };

  return cmocka_run_group_tests(tests, group_setup, store_rig_teardown_with_token);
}

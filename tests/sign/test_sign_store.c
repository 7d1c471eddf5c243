/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Signatures that need no token. */
#include "sign/sign_store.h"

#include "base/counters.h"
#include "rig/rig.h"
#include "rig/store_rig.h"
#include "sign/key_table.h"
#include "sign/sign.h"
#include "store/lazy.h"
#include "token/tokens.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct p11s_lazy_store *lazy;
static struct p11s_tokens *tokens;
static struct p11s_key_table *table;
static struct p11s_flights *flights;
static struct p11s_key *key;
static unsigned char message[STORE_RIG_MESSAGE];
static struct p11s_question question;

static struct p11s_key *key_of(struct p11s_keyref *ref)
{
  struct p11s_key *made = NULL;
  struct p11s_error e;

  if (p11s_key_table_get(table, ref, &made, &e) != P11S_OK)
    fail_msg("%s", e.text);
  p11s_keyref_free(ref);
  return made;
}

static void ask_with(const struct p11s_key *with, unsigned number)
{
  size_t len = store_rig_message(message, number, store_rig_later());

  assert_int_equal(p11s_sign_question(with, message, len, &question, NULL), P11S_OK);
}

static int begin_with(bool stored)
{
  const struct p11s_lazy_store_config keeps = {.store = {store_rig_directory(), 4, NULL, false},
                                               .wanted = stored};
  struct p11s_tokens_config on = {.token = {.sessions = 1, .guard = rig_guard()}};
  struct p11s_key_table_config config = {.idle_ms = 600000};

  config.store = lazy = p11s_lazy_store_new(&keeps);
  config.tokens = tokens = p11s_tokens_new(&on);
  table = p11s_key_table_new(&config);
  flights = p11s_flights_new(true);
  if (lazy == NULL || tokens == NULL || table == NULL || flights == NULL)
    return 1;
  key = key_of(rig_pinned_ref("key", RIG_PIN));
  ask_with(key, 1);
  return 0;
}

static int begin(void **state)
{
  return store_rig_reset_with_token(state) != 0 || begin_with(true) != 0;
}

static int begin_without(void **state)
{
  return store_rig_reset_with_token(state) != 0 || begin_with(false) != 0;
}

static int end(void **state)
{
  (void)state;
  p11s_key_release(key);
  assert_true(p11s_tokens_stop(tokens, rig_later()));
  p11s_flights_free(flights);
  p11s_key_table_free(table);
  p11s_tokens_free(tokens);
  assert_true(p11s_lazy_store_stop(lazy, rig_later()));
  p11s_lazy_store_free(lazy);
  return 0;
}

static struct p11s_signature sign(void)
{
  struct p11s_signature made = {.len = 0};
  struct p11s_error e;

  if (p11s_sign(flights, key, &question, rig_wait(rig_later()), &made, &e) != P11S_OK)
    fail_msg("%s", e.text);
  return made;
}

static void flush(void)
{
  assert_true(p11s_store_flush(p11s_lazy_store_get(lazy), rig_later()));
}

static bool find(struct p11s_signature *ret)
{
  bool claimed = true;
  bool found = p11s_sign_find(key, &question, rig_wait(rig_later()), ret, &claimed);

  assert_false(claimed); /* without a fleet there is nobody to be told */
  return found;
}

static void what_was_signed_is_found(void **state)
{
  uint64_t hits = p11s_counter_get(P11S_STAT_STORE_HITS);
  struct p11s_signature made, found = {.len = 0};

  (void)state;
  assert_false(find(&found));
  assert_false(p11s_sign_is_stored(key, &question));
  assert_int_equal(p11s_sign_claim(key, &question), P11S_STORE_ABSENT);
  made = sign();
  flush();
  assert_true(find(&found));
  assert_int_equal(found.len, made.len);
  assert_memory_equal(found.data, made.data, made.len);
  assert_true(p11s_sign_is_stored(key, &question));
  assert_int_equal(p11s_sign_claim(key, &question), P11S_STORE_FOUND);
  assert_int_equal(p11s_counter_get(P11S_STAT_STORE_HITS), hits + 1);
  assert_int_equal(rig_fake()->calls("C_Sign"), 1);
  ask_with(key, 2);
  assert_false(find(&found));
}

/* Whoever may write to the file can put anything there. */
static void what_does_not_verify_is_deleted_and_made_anew(void **state)
{
  uint64_t invalid = p11s_counter_get(P11S_STAT_STORE_INVALID);
  struct p11s_store *store = p11s_lazy_store_get(lazy);
  struct p11s_signature found = {.len = 0}, made;
  const unsigned char wrong[64] = "wrong";

  (void)state;
  p11s_store_put(store, &question, wrong, sizeof wrong, false);
  flush();
  assert_true(p11s_store_has(store, &question));
  assert_false(p11s_sign_is_stored(key, &question));
  assert_false(find(&found));
  assert_int_equal(found.len, 0);
  assert_int_equal(p11s_counter_get(P11S_STAT_STORE_INVALID), invalid + 1);
  flush();
  assert_false(p11s_store_has(store, &question));
  made = sign();
  flush();
  assert_true(find(&found));
  assert_memory_equal(found.data, made.data, made.len);
}

/* Whose signature would it be? */
static void without_a_public_key_nothing_is_found(void **state)
{
  struct p11s_key *pinned = key;
  struct p11s_signature found = {.len = 0};

  (void)state;
  (void)sign();
  flush();
  key = key_of(rig_ref("key", RIG_PIN));
  ask_with(key, 1);
  assert_false(find(&found));
  assert_false(p11s_sign_is_stored(key, &question));
  p11s_key_release(key);
  key = pinned;
}

static void without_a_store_nothing_is_found(void **state)
{
  struct p11s_signature found = {.len = 0};

  (void)state;
  (void)sign();
  assert_false(find(&found));
  assert_false(p11s_sign_is_stored(key, &question));
  assert_int_equal(p11s_sign_claim(key, &question), P11S_STORE_ABSENT);
  p11s_sign_abandon(key, &question);
  assert_false(store_rig_exists("signatures.lmdb"));
}

static int group_setup(void **state)
{
  if (store_rig_setup_with_token(state) != 0)
    return 1;
  rig_make_key("key");
  return 0;
}

int main(void)
{
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(what_was_signed_is_found, begin, end),
      cmocka_unit_test_setup_teardown(what_does_not_verify_is_deleted_and_made_anew, begin, end),
      cmocka_unit_test_setup_teardown(without_a_public_key_nothing_is_found, begin, end),
      cmocka_unit_test_setup_teardown(without_a_store_nothing_is_found, begin_without, end),
  };

  return cmocka_run_group_tests_name("sign store", tests, group_setup,
                                     store_rig_teardown_with_token);
}

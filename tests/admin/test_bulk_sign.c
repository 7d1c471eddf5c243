/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Signing many messages at once. */
#include "admin/bulk_sign.h"

#include "base/lock.h"
#include "rig/rig.h"
#include "sign/sign_store.h"
#include "base/counters.h"
#include "rig/store_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define SESSIONS 4
#define LEN 200

static struct p11s_signer *signer;
static struct p11s_key *key;
static struct p11s_bulk_sign *batch;

static void open_signer(void)
{
  struct p11s_config config = rig_config(SESSIONS);

  config.state_dir = store_rig_directory();
  config.store = true;
  config.store_mib = 64;
  signer = rig_signer_of(&config);
  key = rig_key(signer, "batch", RIG_PIN);
  rig_resolve(key);
}

static void close_signer(void)
{
  p11s_key_release(key);
  rig_signer_free(signer);
}

static int setup(void **state)
{
  (void)store_rig_reset_with_token(state);
  rig_make_key("batch");
  open_signer();
  assert_int_equal(p11s_bulk_sign_new(signer, SESSIONS, &batch, NULL), P11S_OK);
  return 0;
}

static int teardown(void **state)
{
  (void)state;
  p11s_bulk_sign_free(batch, rig_later());
  close_signer();
  if (rig_objects("batch") > 0)
    rig_remove_key("batch");
  return 0;
}

static void message_of(unsigned number, unsigned char *message)
{
  uint32_t expiration = store_rig_later();

  memset(message, 0, LEN);
  message[1] = 1;
  for (unsigned i = 0; i < 4; i++)
    message[8 + i] = (unsigned char)(expiration >> (24 - 8 * i));
  memcpy(message + 100, &number, sizeof number);
}

static bool add(unsigned number, unsigned week, uint64_t until_ms)
{
  unsigned char message[LEN];

  message_of(number, message);
  return p11s_bulk_sign_add(batch, &(struct p11s_demand){key, message, LEN, (int)week}, until_ms);
}

static void must_add(unsigned first, unsigned last, unsigned week)
{
  for (unsigned i = first; i < last; i++)
    assert_true(add(i, week, rig_later()));
}

static bool is_stored(unsigned number)
{
  struct p11s_question question;
  unsigned char message[LEN];

  message_of(number, message);
  assert_int_equal(p11s_sign_question(key, message, LEN, &question, NULL), P11S_OK);
  return p11s_sign_is_stored(key, &question);
}

static struct p11s_bulk_sign_counts counts(void)
{
  struct p11s_bulk_sign_counts c;

  p11s_bulk_sign_get_counts(batch, &c);
  return c;
}

static void what_is_signed_is_stored_and_not_signed_again(void **state)
{
  uint64_t dropped = p11s_counter_get(P11S_STAT_STORE_DROPPED);
  unsigned made;

  (void)state;
  must_add(0, 3000, 0);
  must_add(3000, 3500, 3);
  assert_true(p11s_bulk_sign_wait(batch, rig_later()));
  assert_int_equal(counts().made[0], 3000);
  assert_int_equal(counts().made[3], 500);
  assert_int_equal(counts().there[0], 0);
  for (unsigned i = 0; i < 3500; i++)
    assert_true(is_stored(i));
  assert_false(is_stored(3500));
  assert_int_equal(p11s_counter_get(P11S_STAT_STORE_DROPPED), dropped);
  made = rig_fake()->calls("C_Sign");
  must_add(2000, 3501, 1);
  assert_true(p11s_bulk_sign_wait(batch, rig_later()));
  assert_int_equal(counts().there[1], 1500);
  assert_int_equal(counts().made[1], 1);
  assert_int_equal(rig_fake()->calls("C_Sign"), made + 1);
  assert_int_equal(p11s_bulk_sign_error(batch, NULL), P11S_OK);
}

static void all_sessions_sign(void **state)
{
  (void)state;
  rig_fake()->block("C_Sign", 1, FAKEP11_EVER);
  must_add(0, 2 * SESSIONS, 0);
  assert_true(rig_fake()->wait_blocked("C_Sign", SESSIONS));
  assert_false(p11s_bulk_sign_wait(batch, p11s_now_ms()));
  rig_fake()->release("C_Sign");
  assert_true(p11s_bulk_sign_wait(batch, rig_later()));
  assert_int_equal(counts().made[0], 2 * SESSIONS);
}

static void who_adds_waits_for_room_until_the_deadline(void **state)
{
  unsigned added = 0;

  (void)state;
  rig_fake()->block("C_Sign", 1, FAKEP11_EVER);
  while (add(added, 0, p11s_now_ms() + 50))
    added++;
  assert_in_range(added, SESSIONS, 20 * SESSIONS);
  assert_int_equal(p11s_bulk_sign_error(batch, NULL), P11S_OK);
  rig_fake()->release("C_Sign");
  must_add(added, added + 1, 0);
  assert_true(p11s_bulk_sign_wait(batch, rig_later()));
  assert_int_equal(counts().made[0], added + 1);
}

/* A worker tries twice by itself. */
static void a_token_that_fails_for_a_while_is_waited_for(void **state)
{
  (void)state;
  must_add(0, 1, 0);
  assert_true(p11s_bulk_sign_wait(batch, rig_later()));
  rig_fake()->refuse("C_Sign", 1, 2, CKR_DEVICE_ERROR);
  must_add(1, 2, 0);
  assert_true(p11s_bulk_sign_wait(batch, rig_later()));
  assert_int_equal(p11s_bulk_sign_error(batch, NULL), P11S_OK);
  assert_int_equal(counts().made[0], 2);
  assert_int_equal(rig_fake()->calls("C_Sign"), 1 + 1 + 3); /* resolve's own is the first */
}

static void a_key_that_is_not_there_ends_it(void **state)
{
  struct p11s_error e = {0};
  unsigned added = 0;

  (void)state;
  rig_remove_key("batch");
  while (add(added, 0, rig_later()))
    added++;
  assert_int_equal(p11s_bulk_sign_error(batch, &e), P11S_ERR_NO_KEY);
  assert_non_null(strstr(e.text, "batch"));
  assert_true(p11s_bulk_sign_wait(batch, rig_later()));
  assert_false(add(added, 0, rig_later()));
  assert_int_equal(counts().made[0], 0);
}

static void what_has_not_begun_is_dropped_when_it_stops(void **state)
{
  (void)state;
  rig_fake()->block("C_Sign", 1, FAKEP11_EVER);
  must_add(0, 3 * SESSIONS, 0);
  assert_true(rig_fake()->wait_blocked("C_Sign", SESSIONS));
  assert_false(p11s_bulk_sign_stop(batch, p11s_now_ms()));
  rig_fake()->release("C_Sign");
  assert_true(p11s_bulk_sign_stop(batch, rig_later()));
  assert_int_equal(counts().made[0], SESSIONS);
  for (unsigned i = 0; i < 3 * SESSIONS; i++)
    assert_int_equal(is_stored(i), i < SESSIONS);
  assert_false(add(0, 0, rig_later()));
}

int main(void)
{
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(what_is_signed_is_stored_and_not_signed_again, setup,
                                      teardown),
      cmocka_unit_test_setup_teardown(all_sessions_sign, setup, teardown),
      cmocka_unit_test_setup_teardown(who_adds_waits_for_room_until_the_deadline, setup, teardown),
      cmocka_unit_test_setup_teardown(a_token_that_fails_for_a_while_is_waited_for, setup,
                                      teardown),
      cmocka_unit_test_setup_teardown(a_key_that_is_not_there_ends_it, setup, teardown),
      cmocka_unit_test_setup_teardown(what_has_not_begun_is_dropped_when_it_stops, setup, teardown),
  };

  return cmocka_run_group_tests_name("batch", tests, store_rig_setup_with_token,
                                     store_rig_teardown_with_token);
}

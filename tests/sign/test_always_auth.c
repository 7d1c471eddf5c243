/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Keys that want a login for each signature (token/always_auth.h), and sessions that a failed one
 * spoils. */
#include "sign/key.h"
#include "rig/rig.h"
#include "base/counters.h"
#include "token/token.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct rig_keys *keys;
static struct p11s_key *key;

static int setup(void **state)
{
  if (rig_setup(state) != 0)
    return -1;
  rig_make_key("plain");
  rig_make_consent_key("consent");
  return 0;
}

/* One session, which both keys use. */
static int each_setup(void **state)
{
  (void)rig_reset(state);
  keys = rig_keys_new(1);
  key = rig_key_on(keys, "consent", RIG_PIN);
  return 0;
}

static int each_teardown(void **state)
{
  (void)state;
  p11s_key_release(key);
  rig_keys_free(keys);
  return 0;
}

static void must_check(struct p11s_key *it)
{
  struct p11s_error e;

  if (p11s_key_check(it, rig_later(), &e) != P11S_OK)
    fail_msg("%s", e.text);
}

static unsigned calls(const char *function)
{
  return rig_fake()->calls(function);
}

static void one_login_for_each_signature(void **state)
{
  struct p11s_key *plain = rig_key_on(keys, "plain", RIG_PIN);

  (void)state;
  for (unsigned i = 1; i <= 3; i++) {
    must_check(key);
    assert_int_equal(calls("C_Sign"), i);
    assert_int_equal(calls("C_Login"), i + 1); /* and the token's own */
  }
  must_check(plain);
  assert_int_equal(calls("C_Login"), 4);
  assert_int_equal(calls("C_OpenSession"), 1);
  p11s_key_release(plain);
}

static void a_refused_login_is_not_made_again(void **state)
{
  struct p11s_error e;

  (void)state;
  must_check(key);
  rig_fake()->refuse("C_Login", 1, 1, CKR_PIN_INCORRECT);
  for (int i = 0; i < 5; i++) {
    assert_int_equal(p11s_key_check(key, rig_later(), &e), P11S_ERR_PIN_REFUSED);
    assert_null(strstr(e.text, RIG_PIN));
  }
  assert_int_equal(calls("C_Login"), 3);
  assert_int_equal(calls("C_Sign"), 1);
  /* what C_SignInit had begun went with its session */
  assert_true(calls("C_CloseSession") >= 1);
}

static void a_pin_that_was_not_taken_is_not_given(void **state)
{
  struct p11s_key *other = rig_key_on(keys, "consent", RIG_WRONG_PIN);
  struct p11s_error e;

  (void)state;
  must_check(key);
  assert_int_equal(p11s_key_check(other, rig_later(), &e), P11S_ERR_PIN_REFUSED);
  assert_int_equal(calls("C_Login"), 2);
  must_check(key);
  assert_int_equal(calls("C_OpenSession"), 1);
  p11s_key_release(other);
}

static void a_lost_login_is_made_good(void **state)
{
  (void)state;
  must_check(key);
  rig_fake()->refuse("C_Login", 1, 1, CKR_USER_NOT_LOGGED_IN);
  must_check(key);
  rig_fake()->refuse("C_Sign", 1, 1, CKR_DEVICE_ERROR);
  must_check(key);
}

/* Whether the key is one of these is asked there too. */
static void a_look_up_that_fails_is_made_good(void **state)
{
  (void)state;
  for (unsigned i = 1; i <= 12; i++) {
    rig_fake()->refuse("C_GetAttributeValue", i, 1, CKR_DEVICE_ERROR);
    must_check(key);
    rig_fake()->reset();
  }
}

static void no_keypad(void **state)
{
  struct p11s_error e;

  (void)state;
  rig_fake()->token_info(CKF_PROTECTED_AUTHENTICATION_PATH, 0, 0);
  assert_int_equal(p11s_key_check(key, rig_later(), &e), P11S_ERR_NO_PIN);
  assert_non_null(strstr(e.text, "keypad"));
  assert_int_equal(calls("C_Login"), 0);
}

/* -- sessions */

/* SoftHSM never saw that call: the signature is still under way there. */
static void what_was_begun_is_given_up_with_its_session(void **state)
{
  struct p11s_key *plain = rig_key_on(keys, "plain", RIG_PIN);
  struct p11s_error e;
  uint64_t retries;

  (void)state;
  must_check(plain);
  rig_fake()->refuse("C_Sign", 1, 1, CKR_BUFFER_TOO_SMALL);
  assert_int_equal(p11s_key_check(plain, rig_later(), &e), P11S_ERR_TOKEN);
  retries = p11s_counter_get(P11S_STAT_RETRIES);
  must_check(plain);
  assert_int_equal(p11s_counter_get(P11S_STAT_RETRIES), retries);
  assert_int_equal(calls("C_SignInit"), 3);
  p11s_key_release(plain);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, each_setup, each_teardown)
  static const struct CMUnitTest tests[] = {
      TEST(one_login_for_each_signature),
      TEST(a_refused_login_is_not_made_again),
      TEST(a_pin_that_was_not_taken_is_not_given),
      TEST(a_lost_login_is_made_good),
      TEST(a_look_up_that_fails_is_made_good),
      TEST(no_keypad),
      TEST(what_was_begun_is_given_up_with_its_session),
  };

  return cmocka_run_group_tests_name("consent", tests, setup, rig_teardown);
}

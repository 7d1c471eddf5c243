/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pkcs11/rv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void names(void **state)
{
  (void)state;
  assert_string_equal(p11s_rv_name(CKR_OK), "CKR_OK");
  assert_string_equal(p11s_rv_name(CKR_PIN_INCORRECT), "CKR_PIN_INCORRECT");
  assert_string_equal(p11s_rv_name(CKR_FUNCTION_REJECTED), "CKR_FUNCTION_REJECTED");
  assert_string_equal(p11s_rv_name(CKR_VENDOR_DEFINED | 1), "CKR 0x80000001");
}

/* A job is done again on a fresh session for these: one that says anything of a PIN must not be
 * among them. */
static void what_a_fresh_session_may_cure(void **state)
{
  static const CK_RV lost[] = {
      CKR_SLOT_ID_INVALID,
      CKR_GENERAL_ERROR,
      CKR_FUNCTION_FAILED,
      CKR_DEVICE_ERROR,
      CKR_DEVICE_MEMORY,
      CKR_DEVICE_REMOVED,
      CKR_KEY_HANDLE_INVALID,
      CKR_OPERATION_ACTIVE,
      CKR_OBJECT_HANDLE_INVALID,
      CKR_SESSION_CLOSED,
      CKR_SESSION_COUNT,
      CKR_OPERATION_NOT_INITIALIZED,
      CKR_SESSION_HANDLE_INVALID,
      CKR_TOKEN_NOT_PRESENT,
      CKR_TOKEN_NOT_RECOGNIZED,
      CKR_USER_NOT_LOGGED_IN,
      CKR_CRYPTOKI_NOT_INITIALIZED,
  };
  size_t found = 0;

  (void)state;
  for (CK_RV rv = 0; rv < 0x300; rv++) {
    bool is_lost = p11s_rv_is_lost(rv), expected = false;

    for (size_t i = 0; i < sizeof lost / sizeof lost[0]; i++)
      expected = expected || lost[i] == rv;
    if (is_lost != expected)
      fail_msg("%s", p11s_rv_name(rv));
    if (strstr(p11s_rv_name(rv), "PIN") != NULL)
      assert_false(is_lost);
    found += is_lost;
  }
  assert_int_equal(found, sizeof lost / sizeof lost[0]);
  assert_false(p11s_rv_is_lost(CKR_VENDOR_DEFINED));
}

static void what_a_token_does_not_know(void **state)
{
  (void)state;
  assert_true(p11s_rv_is_unknown_template(CKR_ATTRIBUTE_TYPE_INVALID));
  assert_true(p11s_rv_is_unknown_template(CKR_TEMPLATE_INCONSISTENT));
  assert_false(p11s_rv_is_unknown_template(CKR_SESSION_HANDLE_INVALID));
  assert_true(p11s_rv_is_refused_mechanism(CKR_MECHANISM_INVALID));
  assert_true(p11s_rv_is_refused_mechanism(CKR_FUNCTION_FAILED));
  assert_false(p11s_rv_is_refused_mechanism(CKR_DEVICE_REMOVED));
  assert_false(p11s_rv_is_refused_mechanism(CKR_OK));
}

static void an_error_holds_what_the_call_gave(void **state)
{
  struct p11s_error e = {0};

  (void)state;
  assert_int_equal(p11s_rv_error(&e, CKR_DEVICE_ERROR, "C_Sign"), P11S_ERR_TOKEN);
  assert_int_equal(e.code, P11S_ERR_TOKEN);
  assert_int_equal(e.rv, CKR_DEVICE_ERROR);
  assert_string_equal(e.text, "C_Sign: CKR_DEVICE_ERROR");
  assert_int_equal(p11s_rv_put(&e, CKR_SESSION_COUNT, P11S_ERR_NO_KEY), P11S_ERR_NO_KEY);
  assert_int_equal(e.rv, CKR_SESSION_COUNT);
  assert_string_equal(e.text, "C_Sign: CKR_DEVICE_ERROR");
  assert_int_equal(p11s_rv_error(NULL, CKR_DEVICE_ERROR, "C_Sign"), P11S_ERR_TOKEN);
}

int main(void)
{
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test(names),
      cmocka_unit_test(what_a_fresh_session_may_cure),
      cmocka_unit_test(what_a_token_does_not_know),
      cmocka_unit_test(an_error_holds_what_the_call_gave),
  };

  return cmocka_run_group_tests_name("rv", tests, NULL, NULL);
}

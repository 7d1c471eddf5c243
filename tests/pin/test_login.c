/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What becomes of a PIN after each answer of C_Login (pin/login.h), SoftHSM's or one put in its
 * place.
 */
#include "pin/login.h"

#include "base/log.h"
#include "pkcs11/rv.h"
#include "rig/softhsm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static CK_FUNCTION_LIST *real;
static CK_FUNCTION_LIST wrapped;
static CK_RV login_rv;            /* CKR_OK: SoftHSM's own */
static CK_FLAGS flags_of_failure; /* what the token says after a failed login */
static bool failed;
static unsigned logins;

static struct p11s_pin_guard *guard;
static struct p11s_session *session;
static unsigned lines;
static char last_line[1024];

static CK_RV wrapped_token_info(CK_SLOT_ID id, CK_TOKEN_INFO *info)
{
  CK_RV rv = real->C_GetTokenInfo(id, info);

  info->flags &= ~(CK_FLAGS)(CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY);
  if (failed)
    info->flags |= flags_of_failure;
  return rv;
}

static CK_RV wrapped_login(CK_SESSION_HANDLE handle, CK_USER_TYPE user, CK_UTF8CHAR *pin,
                           CK_ULONG len)
{
  CK_RV rv = login_rv != CKR_OK ? login_rv : real->C_Login(handle, user, pin, len);

  logins++;
  failed = rv != CKR_OK;
  return rv;
}

static void sink(enum p11s_log_level level, const char *line)
{
  if (level != P11S_LOG_ERROR)
    return;
  lines++;
  (void)snprintf(last_line, sizeof last_line, "%s", line);
}

static int setup(void **state)
{
  (void)state;
  softhsm_setup();
  (void)softhsm_token("token", USER_PIN);
  return 0;
}

static int teardown(void **state)
{
  (void)state;
  softhsm_teardown();
  return 0;
}

static int each_setup(void **state)
{
  struct p11s_error e;

  (void)state;
  real = softhsm_module();
  wrapped = *real;
  wrapped.C_GetTokenInfo = wrapped_token_info;
  wrapped.C_Login = wrapped_login;
  login_rv = CKR_OK;
  flags_of_failure = 0;
  failed = false;
  logins = lines = 0;
  p11s_log_set_sink(sink);
  guard = p11s_pin_guard_new(NULL);
  if (guard == NULL ||
      p11s_session_open(&wrapped, "token", P11S_SESSION_READ, &session, &e) != P11S_OK)
    return -1;
  return 0;
}

static int each_teardown(void **state)
{
  (void)state;
  p11s_session_close(session);
  p11s_pin_guard_free(guard);
  return 0;
}

static CK_RV last_rv;

static enum p11s_err login(const char *pin)
{
  struct p11s_secret *secret = p11s_secret_new(pin, strlen(pin));
  struct p11s_error e = {0};
  unsigned before = logins;
  bool tried;
  enum p11s_err result =
      p11s_login(guard, session, (struct p11s_login_how){.user = CKU_USER}, secret, &tried, &e);

  assert_int_equal(tried, logins > before);
  assert_int_equal(e.code, result);
  assert_null(strstr(e.text, pin));
  last_rv = e.rv;
  p11s_secret_release(secret);
  return result;
}

/* The token takes the PIN, and is logged out. */
static void right(const char *pin)
{
  assert_int_equal(login(pin), P11S_OK);
  p11s_session_log_out(session);
}

static void many_logins(const char *pin, CK_RV rv, unsigned tries)
{
  unsigned before = logins;

  login_rv = rv;
  for (int i = 0; i < 10; i++)
    assert_int_not_equal(login(pin), P11S_OK);
  login_rv = CKR_OK;
  if (logins - before != tries)
    fail_msg("%s: %u logins", p11s_rv_name(rv), logins - before);
}

static void a_refused_pin_is_tried_once(void **state)
{
  (void)state;
  many_logins("pin~1111", CKR_PIN_INCORRECT, 1);
  many_logins("pin~2222", CKR_PIN_LEN_RANGE, 1);
  many_logins("pin~3333", CKR_PIN_INVALID, 1);
  many_logins("pin~4444", CKR_PIN_LOCKED, 1);
  many_logins("pin~5555", CKR_OK, 1); /* what SoftHSM says */
  assert_int_equal(lines, 6);         /* one more: it is locked, and then that it is not tried */
  right(USER_PIN);
}

/* The token may mean that the PIN is wrong. */
static void no_reason_given(void **state)
{
  static const CK_RV rvs[] = {CKR_FUNCTION_FAILED, CKR_GENERAL_ERROR, CKR_DEVICE_ERROR,
                              CKR_FUNCTION_REJECTED, CKR_VENDOR_DEFINED | 7};
  char pin[] = "pin~0000";

  (void)state;
  for (size_t i = 0; i < sizeof rvs / sizeof rvs[0]; i++) {
    pin[0]++;
    lines = 0;
    many_logins(pin, rvs[i], 2);
    assert_int_equal(lines, 1);
    assert_non_null(strstr(last_line, "unlock-login"));
  }
  right(USER_PIN);
}

static void the_token_was_not_there(void **state)
{
  static const CK_RV rvs[] = {CKR_TOKEN_NOT_PRESENT,       CKR_DEVICE_REMOVED,
                              CKR_SESSION_HANDLE_INVALID,  CKR_SESSION_CLOSED,
                              CKR_DEVICE_MEMORY,           CKR_CRYPTOKI_NOT_INITIALIZED,
                              CKR_USER_PIN_NOT_INITIALIZED};

  (void)state;
  for (size_t i = 0; i < sizeof rvs / sizeof rvs[0]; i++)
    many_logins(USER_PIN, rvs[i], 10);
  assert_int_equal(lines, 0);
  right(USER_PIN);
}

static void a_hiccup_is_got_over(void **state)
{
  (void)state;
  login_rv = CKR_FUNCTION_FAILED;
  assert_int_equal(login(USER_PIN), P11S_ERR_TOKEN);
  assert_int_equal(last_rv, CKR_FUNCTION_FAILED); /* worth a fresh session */
  login_rv = CKR_OK;
  right(USER_PIN);
  /* the token has taken it: nothing that it does not say is held against it */
  many_logins(USER_PIN, CKR_FUNCTION_FAILED, 10);
  right(USER_PIN);
  assert_int_equal(lines, 0);
}

static void the_flags_say_what_the_result_does_not(void **state)
{
  static const CK_FLAGS flags[] = {CKF_USER_PIN_COUNT_LOW, CKF_USER_PIN_FINAL_TRY};

  (void)state;
  for (size_t i = 0; i < 2; i++) {
    char pin[] = "pin~0000";

    right(USER_PIN); /* even that one, when it is not right any more */
    flags_of_failure = flags[i];
    login_rv = CKR_FUNCTION_FAILED;
    pin[0] = (char)('1' + i);
    lines = 0;
    assert_int_equal(login(pin), P11S_ERR_PIN_REFUSED);
    assert_non_null(strstr(last_line, "says that a wrong PIN was given"));
    failed = false;
    many_logins(pin, CKR_FUNCTION_FAILED, 0);
    assert_int_equal(lines, 1);
  }
  right(USER_PIN);
  login_rv = CKR_FUNCTION_FAILED;
  assert_int_equal(login(USER_PIN), P11S_ERR_PIN_REFUSED);
  failed = false;
  many_logins(USER_PIN, CKR_FUNCTION_FAILED, 0);
}

static void logged_in_by_others(void **state)
{
  (void)state;
  login_rv = CKR_USER_ALREADY_LOGGED_IN;
  assert_int_equal(login("pin~1111"), P11S_OK);
  login_rv = CKR_PIN_INCORRECT;
  assert_int_equal(login("pin~1111"), P11S_ERR_PIN_REFUSED); /* it was not proven */
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, each_setup, each_teardown)
  static const struct CMUnitTest tests[] = {
      TEST(a_refused_pin_is_tried_once),
      TEST(no_reason_given),
      TEST(the_token_was_not_there),
      TEST(a_hiccup_is_got_over),
      TEST(the_flags_say_what_the_result_does_not),
      TEST(logged_in_by_others),
  };
#undef TEST

  return cmocka_run_group_tests_name("login", tests, setup, teardown);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A session's life: what its token says when it is opened and logged in. */
#include "rig/session_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* A token that says more about its PIN than SoftHSM does. */
static CK_FUNCTION_LIST *real;
static CK_FUNCTION_LIST wrapped;
static CK_FLAGS extra_flags;
static CK_RV login_rv;
static int logins;

static enum p11s_err login(struct p11s_session *s, const char *pin, struct p11s_error *e)
{
  int before = logins;
  bool called;
  enum p11s_err result = session_rig_login(s, pin, &called, e);

  if (p11s_session_module(s) == &wrapped)
    assert_int_equal(called, logins > before);
  return result;
}

/* --- opening and logging in ------------------------------------------------ */

static void open_and_close(void **state)
{
  struct p11s_session *s = session_rig_opened(false);

  (void)state;
  assert_int_equal(p11s_session_slot(s)->id, session_rig_slot);
  assert_string_equal(p11s_session_slot(s)->label, "token");
  assert_ptr_equal(p11s_session_module(s), softhsm_module());
  assert_int_not_equal(s->handle, CK_INVALID_HANDLE);
  p11s_session_close(s);
  p11s_session_close(NULL);
}

static void open_what_cannot_be_opened(void **state)
{
  CK_FUNCTION_LIST *module = softhsm_module();
  struct p11s_session *s = NULL;
  struct p11s_error e;
  struct p11s_slot_info info;
  CK_ULONG count = 0;
  CK_SLOT_ID slots[8];
  char number[32];

  (void)state;
  assert_int_equal(p11s_session_open(module, "nowhere", P11S_SESSION_READ, &s, &e),
                   P11S_ERR_NO_TOKEN);
  assert_null(s);
  /* SoftHSM's last session_rig_slot is the uninitialized one. */
  count = 8;
  assert_int_equal(module->C_GetSlotList(CK_TRUE, NULL, &count), CKR_OK);
  count = 8;
  assert_int_equal(module->C_GetSlotList(CK_TRUE, slots, &count), CKR_OK);
  (void)snprintf(number, sizeof number, "%lu", slots[count - 1]);
  assert_int_equal(p11s_slot_find(module, number, &info, &e), P11S_OK);
  assert_int_equal(p11s_session_open(module, number, P11S_SESSION_READ, &s, &e), P11S_ERR_NO_TOKEN);
  assert_non_null(strstr(e.text, "not initialized"));
  assert_null(s);
}

static void log_in(void **state)
{
  struct p11s_session *s = session_rig_opened(false), *other = session_rig_opened(false);
  struct p11s_login_call call;
  struct p11s_error e;

  (void)state;
  assert_false(p11s_session_logged_in(s));
  assert_int_equal(p11s_session_login(s, CKU_USER, NULL, &call, &e), P11S_ERR_NO_PIN);
  assert_int_equal(login(s, "", &e), P11S_ERR_NO_PIN);
  assert_int_equal(login(s, USER_PIN, &e), P11S_OK);
  assert_true(p11s_session_logged_in(s));
  /* Login belongs to the token. */
  assert_true(p11s_session_logged_in(other));
  assert_int_equal(login(other, USER_PIN, &e), P11S_OK);
  p11s_session_close(s);
  assert_true(p11s_session_logged_in(other));
  p11s_session_close(other);
  s = session_rig_opened(false);
  assert_false(p11s_session_logged_in(s));
  p11s_session_close(s);
}

static void user_pin_not_set(void **state)
{
  struct p11s_session *s = session_rig_open(softhsm_module(), "no pin", false);
  struct p11s_error e;

  (void)state;
  assert_int_equal(login(s, USER_PIN, &e), P11S_ERR_TOKEN);
  assert_non_null(strstr(e.text, "no user PIN"));
  assert_non_null(strstr(e.text, "'no pin'"));
  p11s_session_close(s);
}

/* --- what a token says about its PIN --------------------------------------- */

static CK_RV wrapped_token_info(CK_SLOT_ID id, CK_TOKEN_INFO *info)
{
  CK_RV rv = real->C_GetTokenInfo(id, info);

  info->flags |= extra_flags;
  return rv;
}

static CK_RV wrapped_login(CK_SESSION_HANDLE handle, CK_USER_TYPE user, CK_UTF8CHAR *pin,
                           CK_ULONG len)
{
  logins++;
  if (login_rv != CKR_OK)
    return login_rv;
  return real->C_Login(handle, user, pin, len);
}

static int wrapped_setup(void **state)
{
  (void)state;
  real = softhsm_module();
  wrapped = *real;
  wrapped.C_GetTokenInfo = wrapped_token_info;
  wrapped.C_Login = wrapped_login;
  extra_flags = 0;
  login_rv = CKR_OK;
  logins = 0;
  return 0;
}

static void a_wrong_pin_costs_one_try(void **state)
{
  struct p11s_session *s = session_rig_open(&wrapped, "token", false);
  struct p11s_error e;

  (void)state;
  assert_int_equal(login(s, "wrong~4321", &e), P11S_ERR_PIN_REFUSED);
  assert_int_equal(logins, 1);
  assert_null(strstr(e.text, "wrong~4321"));
  assert_non_null(strstr(e.text, "CKR_PIN_INCORRECT"));
  assert_int_equal(e.rv, CKR_PIN_INCORRECT);
  assert_false(p11s_session_logged_in(s));
  assert_int_equal(login(s, USER_PIN, &e), P11S_OK);
  assert_int_equal(logins, 2);
  p11s_session_close(s);
}

static void the_last_tries_are_not_ours(void **state)
{
  static const CK_FLAGS flags[] = {CKF_USER_PIN_LOCKED, CKF_USER_PIN_FINAL_TRY};
  static const char *const words[] = {"is locked", "final try"};
  struct p11s_session *s = session_rig_open(&wrapped, "token", false);
  struct p11s_error e;

  (void)state;
  for (size_t i = 0; i < 2; i++) {
    /* Only now: the session must look anew. */
    extra_flags = flags[i];
    assert_int_equal(login(s, USER_PIN, &e), P11S_ERR_PIN_LOCKED);
    assert_non_null(strstr(e.text, words[i]));
  }
  extra_flags = CKF_PROTECTED_AUTHENTICATION_PATH;
  assert_int_equal(login(s, USER_PIN, &e), P11S_ERR_NO_PIN);
  assert_non_null(strstr(e.text, "keypad"));
  assert_int_equal(logins, 0);
  extra_flags = CKF_USER_PIN_COUNT_LOW;
  assert_int_equal(login(s, USER_PIN, &e), P11S_OK);
  assert_int_equal(logins, 1);
  p11s_session_close(s);
}

static void what_login_can_say(void **state)
{
  static const struct {
    CK_RV rv;
    enum p11s_err code;
  } cases[] = {
      {CKR_PIN_INCORRECT, P11S_ERR_PIN_REFUSED},
      {CKR_PIN_LEN_RANGE, P11S_ERR_PIN_REFUSED},
      {CKR_PIN_INVALID, P11S_ERR_PIN_REFUSED},
      {CKR_PIN_LOCKED, P11S_ERR_PIN_LOCKED},
      {CKR_PIN_EXPIRED, P11S_ERR_TOKEN},
      {CKR_USER_PIN_NOT_INITIALIZED, P11S_ERR_TOKEN},
      {CKR_USER_ALREADY_LOGGED_IN, P11S_OK},
      {CKR_DEVICE_REMOVED, P11S_ERR_TOKEN},
      {CKR_SESSION_HANDLE_INVALID, P11S_ERR_TOKEN},
      {CKR_VENDOR_DEFINED | 7, P11S_ERR_TOKEN},
  };
  struct p11s_session *s = session_rig_open(&wrapped, "token", false);
  struct p11s_error e;

  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    login_rv = cases[i].rv;
    if (login(s, USER_PIN, &e) != cases[i].code)
      fail_msg("%s", p11s_rv_name(cases[i].rv));
    if (cases[i].code != P11S_OK)
      assert_int_equal(e.rv, cases[i].rv);
  }
  p11s_session_close(s);
}

static void what_the_token_says_is_read_again(void **state)
{
  struct p11s_session *s = session_rig_open(&wrapped, "token", false);

  (void)state;
  extra_flags = CKF_USER_PIN_COUNT_LOW;
  p11s_session_reread_flags(s);
  assert_true((p11s_session_slot(s)->flags & CKF_USER_PIN_COUNT_LOW) != 0);
  extra_flags = 0;
  p11s_session_reread_flags(s);
  assert_true((p11s_session_slot(s)->flags & CKF_USER_PIN_COUNT_LOW) == 0);
  p11s_session_close(s);
}

static void write_protected(void **state)
{
  struct p11s_session *s = NULL;
  struct p11s_error e;

  (void)state;
  extra_flags = CKF_WRITE_PROTECTED;
  assert_int_equal(p11s_session_open(&wrapped, "token", P11S_SESSION_WRITE, &s, &e),
                   P11S_ERR_TOKEN);
  assert_non_null(strstr(e.text, "write-protected"));
  assert_null(s);
  s = session_rig_open(&wrapped, "token", false);
  p11s_session_close(s);
}

static CK_RV failing_open(CK_SLOT_ID id, CK_FLAGS flags, void *app, CK_NOTIFY notify,
                          CK_SESSION_HANDLE *session)
{
  (void)id;
  (void)flags;
  (void)app;
  (void)notify;
  *session = 77;
  return login_rv;
}

static void open_fails(void **state)
{
  struct p11s_session *s = NULL;
  struct p11s_error e;

  (void)state;
  wrapped.C_OpenSession = failing_open;
  login_rv = CKR_DEVICE_REMOVED;
  assert_int_equal(p11s_session_open(&wrapped, "token", P11S_SESSION_READ, &s, &e),
                   P11S_ERR_NO_TOKEN);
  login_rv = CKR_SESSION_COUNT;
  assert_int_equal(p11s_session_open(&wrapped, "token", P11S_SESSION_READ, &s, &e), P11S_ERR_TOKEN);
  assert_int_equal(e.rv, CKR_SESSION_COUNT);
  login_rv = CKR_GENERAL_ERROR;
  assert_int_equal(p11s_session_open(&wrapped, "token", P11S_SESSION_READ, &s, &e), P11S_ERR_TOKEN);
  assert_null(s);
}

int main(void)
{
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test(open_and_close),
      cmocka_unit_test(open_what_cannot_be_opened),
      cmocka_unit_test(log_in),
      cmocka_unit_test(user_pin_not_set),
      cmocka_unit_test_setup(a_wrong_pin_costs_one_try, wrapped_setup),
      cmocka_unit_test_setup(the_last_tries_are_not_ours, wrapped_setup),
      cmocka_unit_test_setup(what_login_can_say, wrapped_setup),
      cmocka_unit_test_setup(what_the_token_says_is_read_again, wrapped_setup),
      cmocka_unit_test_setup(write_protected, wrapped_setup),
      cmocka_unit_test_setup(open_fails, wrapped_setup),
  };

  return cmocka_run_group_tests_name("session", tests, session_rig_setup, session_rig_teardown);
}

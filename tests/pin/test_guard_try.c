/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tries that may be the last, logins of which nobody knows how they ended, and unlock-login. */
#include "rig/pin_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* -- a token that says a wrong PIN was given lately */

static void count_low(struct p11s_pin_guard *g)
{
  /* somebody else's fault */
  assert_int_equal(pin_login(g, "a1", PIN_LOW, "pin~1234", P11S_PIN_ACCEPTED), P11S_ERR_PIN_LOCKED);
  pin_right(g, "a1", "pin~1234");
  assert_int_equal(pin_login(g, "a1", PIN_LOW, "pin~1234", P11S_PIN_ACCEPTED), P11S_OK);
  assert_int_equal(pin_login(g, "a1", PIN_LOW, "pin~5678", P11S_PIN_ACCEPTED), P11S_ERR_PIN_LOCKED);
  /* ours: it can be corrected, once */
  pin_wrong(g, "a2", "pin~1111");
  assert_int_equal(pin_login(g, "a2", PIN_LOW, "pin~2222", P11S_PIN_REFUSED), P11S_OK);
  assert_int_equal(pin_login(g, "a2", PIN_LOW, "pin~3333", P11S_PIN_ACCEPTED), P11S_ERR_PIN_LOCKED);
  /* a try that came to nothing uses nothing up */
  pin_wrong(g, "a3", "pin~1111");
  assert_int_equal(pin_login(g, "a3", PIN_LOW, "pin~2222", P11S_PIN_NO_VERDICT), P11S_OK);
  assert_int_equal(pin_login(g, "a3", PIN_LOW, "pin~2222", P11S_PIN_ACCEPTED), P11S_OK);
  /* what was taken once may be wrong today */
  assert_int_equal(pin_login(g, "a1", PIN_LOW, "pin~1234", P11S_PIN_REFUSED), P11S_OK);
  assert_true(pin_refused(g, "a1", "pin~1234"));
  assert_int_equal(pin_login(g, "a1", PIN_LOW, "pin~5678", P11S_PIN_ACCEPTED), P11S_ERR_PIN_LOCKED);
}

static void count_low_in_memory(void **state)
{
  struct p11s_pin_guard *g = pin_guard(NULL);

  (void)state;
  count_low(g);
  p11s_pin_guard_free(g);
}

static void count_low_over_a_restart(void **state)
{
  struct p11s_pin_guard *g = pin_guard(pin_dir);

  (void)state;
  count_low(g);
  pin_right(g, "a4", "pin~1234");
  pin_wrong(g, "a5", "pin~1111");
  p11s_pin_guard_free(g);
  g = pin_guard(pin_dir);
  assert_int_equal(pin_login(g, "a4", PIN_LOW, "pin~1234", P11S_PIN_ACCEPTED), P11S_OK);
  assert_int_equal(pin_login(g, "a4", PIN_LOW, "pin~4321", P11S_PIN_ACCEPTED), P11S_ERR_PIN_LOCKED);
  assert_int_equal(pin_login(g, "a5", PIN_LOW, "pin~2222", P11S_PIN_REFUSED), P11S_OK);
  p11s_pin_guard_free(g);
  g = pin_guard(pin_dir);
  assert_int_equal(pin_login(g, "a5", PIN_LOW, "pin~3333", P11S_PIN_ACCEPTED), P11S_ERR_PIN_LOCKED);
  p11s_pin_guard_free(g);
}

/* -- unlock-login */

static void unlock_reaches_a_running_process(void **state)
{
  struct p11s_pin_guard *server = pin_guard(pin_dir), *tool = pin_guard(pin_dir);

  (void)state;
  pin_wrong(server, "a1", "pin~1111");
  pin_wrong(server, "a2", "pin~1111");
  assert_int_equal(pin_unlock(tool, "a1"), 1);
  assert_false(pin_refused(server, "a1", "pin~1111"));
  assert_true(pin_refused(server, "a2", "pin~1111"));
  assert_int_equal(pin_login(server, "a1", PIN_LOW, "pin~1111", P11S_PIN_REFUSED),
                   P11S_OK); /* one try */
  assert_true(pin_refused(server, "a1", "pin~1111"));
  assert_int_equal(pin_login(server, "a1", PIN_LOW, "pin~2222", P11S_PIN_REFUSED),
                   P11S_ERR_PIN_LOCKED);
  assert_int_equal(pin_unlock(tool, "a3"), 0); /* nothing to forget, but one try */
  assert_int_equal(pin_login(server, "a3", PIN_LOW, "pin~1111", P11S_PIN_ACCEPTED), P11S_OK);
  assert_int_equal(pin_login(server, "a3", PIN_LOW, "pin~2222", P11S_PIN_ACCEPTED),
                   P11S_ERR_PIN_LOCKED);
  p11s_pin_guard_free(server);
  p11s_pin_guard_free(tool);
}

static void unlock_needs_the_directory(void **state)
{
  struct p11s_pin_guard *g = pin_guard(NULL);
  struct p11s_pin_token which = {"a1", "l"};
  struct p11s_error e = {0};
  size_t forgotten;

  (void)state;
  assert_int_equal(p11s_pin_guard_unlock(g, &which, &forgotten, &e), P11S_ERR_HOST);
  p11s_pin_guard_free(g);
  g = pin_guard("/nonexistent/directory");
  assert_int_equal(p11s_pin_guard_unlock(g, &which, &forgotten, &e), P11S_ERR_HOST);
  assert_non_null(strstr(e.text, "No such file"));
  p11s_pin_guard_free(g);
}

static void subjects_are_listed(void **state)
{
  struct p11s_pin_guard *g = pin_guard(pin_dir);
  struct p11s_pin_subject *subjects = NULL;
  size_t count = 0;

  (void)state;
  pin_right(g, "a1", "pin~1111");
  pin_wrong(g, "a2", "pin~1111");
  pin_wrong(g, "a2", "pin~2222");
  assert_int_equal(p11s_pin_guard_subjects(g, &subjects, &count, NULL), P11S_OK);
  assert_int_equal(count, 2);
  assert_string_equal(subjects[0].token.serial, "a1");
  assert_int_equal(subjects[0].refused, 0);
  assert_string_equal(subjects[1].token.serial, "a2");
  assert_string_equal(subjects[1].token.label, "a token");
  assert_int_equal(subjects[1].refused, 2);
  free(subjects);
  p11s_pin_guard_free(g);
}

/* -- a process that dies */

static void a_login_cut_short_is_not_tried_again(void **state)
{
  struct p11s_pin_guard *g;

  (void)state;
  pin_die_in_login("a1", "pin~1234");
  g = pin_guard(pin_dir);
  assert_int_equal(pin_login(g, "a1", 0, "pin~1234", P11S_PIN_ACCEPTED), P11S_ERR_PIN_REFUSED);
  assert_int_equal(pin_login(g, "a1", 0, "pin~4321", P11S_PIN_NO_VERDICT), P11S_OK);
  assert_int_equal(pin_unlock(g, "a1"), 1);
  pin_right(g, "a1", "pin~1234");
  p11s_pin_guard_free(g);
  pin_die_in_login("a1", "pin~1234"); /* a PIN that the token took before is trusted */
  g = pin_guard(pin_dir);
  pin_right(g, "a1", "pin~1234");
  p11s_pin_guard_free(g);
}

/* -- a token that does not say what is wrong */

static void unclear(struct p11s_pin_guard *g, const char *serial, const char *pin)
{
  assert_int_equal(pin_login(g, serial, 0, pin, P11S_PIN_UNCLEAR), P11S_OK);
}

static void twice_unclear(struct p11s_pin_guard *g)
{
  unclear(g, "a1", "pin~1234");
  unclear(g, "a2", "pin~1234"); /* another token */
  unclear(g, "a1", "pin~5678"); /* another PIN */
  unclear(g, "a1", "pin~1234");
  assert_int_equal(pin_login(g, "a1", 0, "pin~1234", P11S_PIN_ACCEPTED), P11S_ERR_PIN_REFUSED);
  assert_false(pin_refused(g, "a1", "pin~1234")); /* nobody has said so */
  unclear(g, "a2", "pin~1234");
  pin_right(g, "a1", "pin~5678"); /* all is forgotten, and nothing is held against it any more */
  for (int i = 0; i < 3; i++)
    unclear(g, "a1", "pin~5678");
  assert_int_equal(pin_login(g, "a1", 0, "pin~1234", P11S_PIN_ACCEPTED), P11S_ERR_PIN_REFUSED);
  pin_wrong(g, "a1", "pin~5678"); /* changed there */
  assert_true(pin_refused(g, "a1", "pin~5678"));
  /* a try that may be used up uses up what allowed it */
  pin_wrong(g, "a3", "pin~1111");
  assert_int_equal(pin_login(g, "a3", PIN_LOW, "pin~2222", P11S_PIN_UNCLEAR), P11S_OK);
  assert_int_equal(pin_login(g, "a3", PIN_LOW, "pin~2222", P11S_PIN_ACCEPTED), P11S_ERR_PIN_LOCKED);
}

static void unclear_in_memory(void **state)
{
  struct p11s_pin_guard *g = pin_guard(NULL);

  (void)state;
  twice_unclear(g);
  p11s_pin_guard_free(g);
}

static void unclear_over_a_restart(void **state)
{
  struct p11s_pin_guard *g = pin_guard(pin_dir);

  (void)state;
  twice_unclear(g);
  unclear(g, "a4", "pin~1234");
  p11s_pin_guard_free(g);
  g = pin_guard(pin_dir);
  unclear(g, "a4", "pin~1234");
  p11s_pin_guard_free(g);
  g = pin_guard(pin_dir);
  assert_int_equal(pin_login(g, "a4", 0, "pin~1234", P11S_PIN_ACCEPTED), P11S_ERR_PIN_REFUSED);
  assert_int_equal(pin_unlock(g, "a4"), 1);
  unclear(g, "a4", "pin~1234"); /* as if nothing had been */
  pin_right(g, "a4", "pin~1234");
  unclear(g, "a5", "pin~1234"); /* one, and then the process dies */
  p11s_pin_guard_free(g);
  pin_die_in_login("a5", "pin~1234");
  g = pin_guard(pin_dir);
  assert_int_equal(pin_login(g, "a5", 0, "pin~1234", P11S_PIN_ACCEPTED), P11S_ERR_PIN_REFUSED);
  p11s_pin_guard_free(g);
}

/* The command that allows one more try, as a shell gives it to the program. */
static void a_command_to_be_pasted(void **state)
{
  /* The last two are not enough: nothing, and what another token has as well. */
  static const char *const serials[] = {"a1", "a 1", "it's $HOME `x`", "\"\\\\;#*", "", "00"};
  static const char *const uris[] = {"pkcs11:token=it%27s%20%24me;serial=",
                                     "pkcs11:token=it%27s%20%24me;serial=00"};
  struct p11s_pin_guard *g = pin_guard(pin_dir);

  (void)state;
  pin_right(g, "00/other label", "pin~1234");
  for (size_t i = 0; i < sizeof serials / sizeof serials[0]; i++) {
    struct p11s_slot_info token = pin_token("a1/it's $me", 0);
    struct p11s_error e;
    char line[2048], expected[256];
    FILE *out;

    (void)snprintf(token.serial, sizeof token.serial, "%s", serials[i]);
    (void)p11s_pin_guard_refused_error(g, &token, &e);
    assert_non_null(strstr(e.text, "say: pkcs11signer "));
    (void)snprintf(line, sizeof line, "pkcs11signer() { printf '%%s|' \"$@\"; }; %s",
                   strstr(e.text, "say: ") + strlen("say: "));
    out = popen(line, "r"); // NOLINT(cert-env33-c): a shell is what is tested
    assert_non_null(out);
    line[fread(line, 1, sizeof line - 1, out)] = '\0';
    assert_int_equal(pclose(out), 0);
    (void)snprintf(expected, sizeof expected, "unlock-login|%s|", i < 4 ? serials[i] : uris[i - 4]);
    assert_string_equal(line, expected);
  }
  p11s_pin_guard_free(g);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, pin_rig_setup, pin_rig_teardown)
  static const struct CMUnitTest tests[] = {
      TEST(count_low_in_memory),
      TEST(count_low_over_a_restart),
      TEST(unlock_reaches_a_running_process),
      TEST(unlock_needs_the_directory),
      TEST(subjects_are_listed),
      TEST(a_login_cut_short_is_not_tried_again),
      TEST(unclear_in_memory),
      TEST(unclear_over_a_restart),
      TEST(a_command_to_be_pasted),
  };
#undef TEST

  return cmocka_run_group_tests_name("pin_guard_tries", tests, NULL, NULL);
}

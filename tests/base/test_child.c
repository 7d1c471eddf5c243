/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A program of its own: how long it may take, and what is seen of what it says. */
#include "base/child.h"

#include "rig/rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SILENCE_MS 2000

static const char *const *shell(const char *script)
{
  static const char *argument[3] = {"-c"};

  argument[1] = script;
  assert_int_equal(setenv("PKCS11SIGNER_PROBE", "/bin/sh", 1), 0);
  return argument;
}

static void count(struct p11s_buf *output, void *arg)
{
  unsigned *times = arg;

  assert_true(output->len > 0);
  ++*times;
}

/* Longer than it may be silent. */
static void one_that_goes_on_may_go_on(void **state)
{
  struct p11s_buf output = P11S_BUF_INIT;
  unsigned times = 0;

  (void)state;
  assert_int_equal(
      p11s_child_follow(shell("for i in 1 2 3 4 5 6 7 8 9 10 11 12; do echo $i; sleep 0.25; done"),
                        SILENCE_MS, count, &times, &output, NULL),
      P11S_OK);
  assert_true(times > 1);
  assert_non_null(strstr(p11s_buf_text(&output), "12\n"));
  p11s_buf_clear(&output);
}

static void one_that_falls_silent_is_ended(void **state)
{
  struct p11s_buf output = P11S_BUF_INIT;
  unsigned times = 0;

  (void)state;
  assert_int_equal(
      p11s_child_follow(shell("echo 1; sleep 600"), SILENCE_MS, count, &times, &output, NULL),
      P11S_ERR_TIMEOUT);
  assert_int_equal(times, 1);
  p11s_buf_clear(&output);
}

static void one_that_is_late_is_ended(void **state)
{
  struct p11s_buf output = P11S_BUF_INIT;

  (void)state;
  assert_int_equal(
      p11s_child_run(shell("while sleep 0.1; do echo 1; done"), 100, NULL, NULL, &output, NULL),
      P11S_ERR_TIMEOUT);
  p11s_buf_clear(&output);
  assert_int_equal(p11s_child_run(shell("echo good"), 60000, NULL, NULL, &output, NULL), P11S_OK);
  assert_string_equal(p11s_buf_text(&output), "good\n");
  p11s_buf_clear(&output);
}

static int setup(void **state)
{
  (void)state;
  rig_watchdog();
  return 0;
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(one_that_goes_on_may_go_on),
      cmocka_unit_test(one_that_falls_silent_is_ended),
      cmocka_unit_test(one_that_is_late_is_ended),
  };

  return cmocka_run_group_tests(tests, setup, NULL);
}

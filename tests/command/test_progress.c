/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How far a command has come: the line, and Ctrl-C. */
#include "command/progress.h"
#include "rig/rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void the_line(void **state)
{
  char text[200];

  (void)state;
  p11s_progress_format(text, sizeof text, 80, "signed", 0, 100, 0);
  assert_string_equal(text, "signed: [........................................] 0 of 100");
  p11s_progress_format(text, sizeof text, 80, "signed", 25, 100, 5000);
  assert_string_equal(text,
                      "signed: [##########..............................] 25 of 100, 5.0/s, 15 s "
                      "left");
  p11s_progress_format(text, sizeof text, 80, "signed", 100, 100, 5000);
  assert_string_equal(text, "signed: [########################################] 100 of 100, "
                            "20/s, 0 s left");
  p11s_progress_format(text, sizeof text, 80, "signed", 0, 0, 0);
  assert_non_null(strstr(text, "] 0 of 0"));
}

static void it_fits_the_terminal(void **state)
{
  char text[200];

  (void)state;
  for (unsigned columns = 60; columns <= 160; columns++) {
    p11s_progress_format(text, sizeof text, columns, "signed", 123456, 1000000, 100000);
    assert_true(strlen(text) < columns);
  }
  p11s_progress_format(text, sizeof text, 20, "signed", 1, 3, 0); /* no room for a bar */
  assert_string_equal(text, "signed: 1 of 3");
}

static void interrupts_are_noted_in_between_only(void **state)
{
  struct sigaction before, after;
  struct p11s_progress p;

  (void)state;
  assert_int_equal(sigaction(SIGINT, NULL, &before), 0);
  p11s_progress_begin(&p, "signed", 3);
  assert_false(p11s_progress_interrupted());
  p11s_progress_show(&p, 1);
  assert_int_equal(raise(SIGINT), 0);
  assert_true(p11s_progress_interrupted());
  p11s_progress_end(&p);
  assert_int_equal(sigaction(SIGINT, NULL, &after), 0);
  assert_true(after.sa_handler == before.sa_handler);
  p11s_progress_begin(&p, "signed", 3);
  assert_false(p11s_progress_interrupted());
  assert_int_equal(raise(SIGTERM), 0);
  assert_true(p11s_progress_interrupted());
  p11s_progress_end(&p);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_line),
      cmocka_unit_test(it_fits_the_terminal),
      cmocka_unit_test(interrupts_are_noted_in_between_only),
  };

  rig_watchdog();
  return cmocka_run_group_tests(tests, NULL, NULL);
}

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

static void draw(unsigned columns, uint64_t done, uint64_t total, uint64_t elapsed_ms, char *text,
                 size_t size)
{
  const struct p11s_progress p = {.what = "signed", .total = total, .columns = columns};

  p11s_progress_format(&p, done, elapsed_ms, text, size);
}

static void the_line(void **state)
{
  char text[200];

  (void)state;
  draw(80, 0, 100, 0, text, sizeof text);
  assert_string_equal(text, "signed: [........................................] 0 of 100");
  draw(80, 25, 100, 5000, text, sizeof text);
  assert_string_equal(text,
                      "signed: [##########..............................] 25 of 100, 5.0/s, 15 s "
                      "left");
  draw(80, 100, 100, 5000, text, sizeof text);
  assert_string_equal(text, "signed: [########################################] 100 of 100, "
                            "20/s, 0 s left");
  draw(80, 0, 0, 0, text, sizeof text);
  assert_non_null(strstr(text, "] 0 of 0"));
}

static void it_fits_the_terminal(void **state)
{
  char text[200];

  (void)state;
  for (unsigned columns = 60; columns <= 160; columns++) {
    draw(columns, 123456, 1000000, 100000, text, sizeof text);
    assert_true(strlen(text) < columns);
  }
  draw(20, 1, 3, 0, text, sizeof text); /* no room for a bar */
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

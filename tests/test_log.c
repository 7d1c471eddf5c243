/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char last[4096];
static int calls;

static void keep(const char *line)
{
  calls++;
  (void)snprintf(last, sizeof last, "%s", line);
}

static void test_no_sink(void **state)
{
  (void)state;
  p11s_log_set_sink(NULL);
  calls = 0;
  p11s_log_debug("unheard %d", 1);
  assert_int_equal(calls, 0);
}

static void test_sink(void **state)
{
  (void)state;
  calls = 0;
  p11s_log_set_sink(keep);
  p11s_log_debug("slot %d: %s", 4, "two\nlines\x1b");
  assert_int_equal(calls, 1);
  assert_string_equal(last, "slot 4: two?lines?");
  p11s_log_set_sink(NULL);
  p11s_log_debug("unheard");
  assert_int_equal(calls, 1);
}

static void test_long_line(void **state)
{
  char text[3000];

  (void)state;
  memset(text, 'l', sizeof text - 1);
  text[sizeof text - 1] = '\0';
  p11s_log_set_sink(keep);
  p11s_log_debug("%s", text);
  assert_int_equal(strlen(last), 1023);
  assert_int_equal(strspn(last, "l"), 1023);
  p11s_log_set_sink(NULL);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_no_sink),
      cmocka_unit_test(test_sink),
      cmocka_unit_test(test_long_line),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}

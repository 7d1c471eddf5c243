/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/log.h"

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
static enum p11s_log_level last_level;
static uint64_t now = 1000;

uint64_t __wrap_p11s_now_ms(void);
uint64_t __wrap_p11s_now_ms(void)
{
  return now;
}

static void keep(enum p11s_log_level level, const char *line)
{
  calls++;
  last_level = level;
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

static void test_event(void **state)
{
  (void)state;
  calls = 0;
  p11s_log_set_sink(keep);
  p11s_log_event(P11S_LOG_ERROR, "token '%s' is away", "t");
  p11s_log_event(P11S_LOG_NOTICE, "token '%s' is back", "t");
  assert_int_equal(calls, 2);
  assert_int_equal(last_level, P11S_LOG_NOTICE);
  assert_string_equal(last, "token 't' is back");
  p11s_log_set_sink(NULL);
}

static void test_limited(void **state)
{
  (void)state;
  calls = 0;
  p11s_log_set_sink(keep);
  for (int i = 0; i < 1000; i++)
    p11s_log_limited(P11S_LOG_WARNING, "a", "number %d", i);
  assert_int_equal(calls, 1);
  assert_string_equal(last, "number 0");
  p11s_log_limited(P11S_LOG_WARNING, "b", "another cause");
  assert_int_equal(calls, 2);
  now += P11S_LOG_EVERY_MS;
  p11s_log_limited(P11S_LOG_WARNING, "a", "number %d", 1000);
  assert_int_equal(calls, 3);
  assert_string_equal(last, "number 1000 (999 more like this were not logged)");
  p11s_log_set_sink(NULL);
}

/* Many causes, again and again within a minute: each is said once. More than can be told apart: not
   more lines than that. */
static void test_many_causes(void **state)
{
  char cause[32];

  (void)state;
  calls = 0;
  p11s_log_set_sink(keep);
  now += P11S_LOG_EVERY_MS;
  for (int i = 0; i < 5 * 500; i++) {
    now += i % 50 == 0;
    (void)snprintf(cause, sizeof cause, "many %d", i % 500);
    p11s_log_limited(P11S_LOG_WARNING, cause, "x");
  }
  assert_int_equal(calls, 500);
  now += P11S_LOG_EVERY_MS;
  calls = 0;
  for (int i = 0; i < 2 * 10000; i++) {
    (void)snprintf(cause, sizeof cause, "more %d", i % 10000);
    p11s_log_limited(P11S_LOG_WARNING, cause, "x");
  }
  assert_in_range(calls, 1000, 2048);
  p11s_log_set_sink(NULL);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_no_sink),   cmocka_unit_test(test_sink),
      cmocka_unit_test(test_long_line), cmocka_unit_test(test_event),
      cmocka_unit_test(test_limited),   cmocka_unit_test(test_many_causes),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}

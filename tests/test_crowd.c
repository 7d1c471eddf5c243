/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "crowd.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void limits(void **state)
{
  (void)state;
  assert_int_equal(p11s_crowd_limit(0), 0);
  assert_int_equal(p11s_crowd_limit(2), 0);
  assert_int_equal(p11s_crowd_limit(7), 0);
  assert_int_equal(p11s_crowd_limit(8), 6);
  assert_int_equal(p11s_crowd_limit(32), 24);
}

static void keeps_some_out(void **state)
{
  struct p11s_crowd crowd = {0, 2};

  (void)state;
  assert_true(p11s_crowd_enter(&crowd));
  assert_true(p11s_crowd_enter(&crowd));
  for (int i = 0; i < 10; i++)
    assert_false(p11s_crowd_enter(&crowd));
  p11s_crowd_leave(&crowd);
  assert_true(p11s_crowd_enter(&crowd));
  assert_false(p11s_crowd_enter(&crowd));
}

static void no_limit(void **state)
{
  struct p11s_crowd crowd = {0, 0};

  (void)state;
  for (int i = 0; i < 1000; i++)
    assert_true(p11s_crowd_enter(&crowd));
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(limits),
      cmocka_unit_test(keeps_some_out),
      cmocka_unit_test(no_limit),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}

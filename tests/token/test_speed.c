/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How fast a token signs. */
#include "token/speed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void add(struct p11s_speed *rate, unsigned times, unsigned sessions, uint64_t us)
{
  while (times-- > 0)
    p11s_speed_add(rate, sessions, us);
}

static int near(double a, double b)
{
  return a > b * 0.999 && a < b * 1.001;
}

static void sessions_that_help_and_sessions_that_do_not(void **state)
{
  struct p11s_speed network = {0}, card = {0};

  (void)state;
  add(&network, 50, 1, 20000);
  add(&network, 50, 8, 20000); /* at the same time */
  assert_true(near(p11s_speed_at(&network, 0), 50));
  assert_true(near(p11s_speed_at(&network, 3), 400));
  assert_int_equal(p11s_speed_best(&network), 3);
  assert_true(near(p11s_speed_sessions(&network, 3), 8));
  add(&card, 50, 1, 200000);
  add(&card, 50, 8, 1600000); /* one after the other */
  assert_true(near(p11s_speed_at(&card, 0), 5));
  assert_true(near(p11s_speed_at(&card, 3), 5));
}

static void each_number_of_sessions_has_a_level(void **state)
{
  static const struct {
    unsigned sessions, level;
  } cases[] = {{0, 0}, {1, 0}, {2, 1},  {3, 2},  {4, 2},  {5, 3},
               {8, 3}, {9, 4}, {16, 4}, {32, 5}, {33, 6}, {1000, 6}};

  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    struct p11s_speed rate = {0};

    add(&rate, P11S_SPEED_ENOUGH, cases[i].sessions, 1000);
    assert_int_equal(p11s_speed_best(&rate), cases[i].level);
  }
}

static void a_few_say_nothing(void **state)
{
  struct p11s_speed rate = {0};

  (void)state;
  assert_int_equal(p11s_speed_best(&rate), P11S_SPEED_LEVELS);
  add(&rate, P11S_SPEED_ENOUGH - 1, 1, 1000);
  assert_int_equal(p11s_speed_best(&rate), P11S_SPEED_LEVELS);
  add(&rate, 1, 1, 0);
  assert_int_equal(p11s_speed_best(&rate), 0);
}

/* A token that has become slower: soon that is what counts. */
static void what_is_old_counts_for_less(void **state)
{
  struct p11s_speed rate = {0};

  (void)state;
  add(&rate, 100000, 1, 1000);
  add(&rate, 50000, 1, 100000);
  assert_true(p11s_speed_at(&rate, 0) < 12);
  assert_true(rate.level[0].count <= 10000);
}

static void as_text_and_back(void **state)
{
  struct p11s_speed rate = {0}, read = {0}, sum = {0};
  struct p11s_buf out = P11S_BUF_INIT;

  (void)state;
  p11s_speed_format(&rate, &out);
  assert_string_equal(p11s_buf_text(&out), "-");
  assert_true(p11s_speed_parse("-", &read));
  assert_memory_equal(&read, &rate, sizeof rate);
  p11s_buf_clear(&out);
  add(&rate, 5, 1, 20000);
  add(&rate, 7, 64, 30000);
  p11s_speed_format(&rate, &out);
  assert_string_equal(p11s_buf_text(&out), "0:5:5:100000,6:7:448:210000");
  assert_true(p11s_speed_parse(p11s_buf_text(&out), &read));
  assert_memory_equal(&read, &rate, sizeof rate);
  p11s_speed_merge(&sum, &read);
  p11s_speed_merge(&sum, &read);
  assert_int_equal(sum.level[6].count, 14);
  assert_true(near(p11s_speed_at(&sum, 0), p11s_speed_at(&rate, 0)));
  p11s_buf_clear(&out);
}

static void text_that_is_none(void **state)
{
  static const char *const bad[] = {"x",        "0",        "0:1",      "0:1:1",
                                    "7:1:1:1",  "0:1:1:x",  "0:1:1:1;", "-1:1:1:1",
                                    "0:1:1:1:", " 0:1:1:1", "0::1:1",   "0:1:1:1,,1"};
  struct p11s_speed rate;

  (void)state;
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
    assert_false(p11s_speed_parse(bad[i], &rate));
}

int main(void)
{
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test(sessions_that_help_and_sessions_that_do_not),
      cmocka_unit_test(each_number_of_sessions_has_a_level),
      cmocka_unit_test(a_few_say_nothing),
      cmocka_unit_test(what_is_old_counts_for_less),
      cmocka_unit_test(as_text_and_back),
      cmocka_unit_test(text_that_is_none),
  };

  return cmocka_run_group_tests_name("rate", tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/counters.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void a_counter_counts_for_itself(void **state)
{
  (void)state;
  p11s_counter_count(P11S_STAT_SIGNATURES);
  p11s_counter_add(P11S_STAT_SIGNATURES, (uint64_t)1 << 40);
  assert_int_equal(p11s_counter_get(P11S_STAT_SIGNATURES), ((uint64_t)1 << 40) + 1);
  for (unsigned i = P11S_STAT_SIGNATURES + 1; i < P11S_STAT_COUNT; i++)
    assert_int_equal(p11s_counter_get((enum p11s_counter)i), 0);
}

static void latencies_up_to_a_limit_are_within_it(void **state)
{
  static const struct {
    uint64_t ms;
    enum p11s_counter counter;
  } known[] = {
      {0, P11S_STAT_LATENCY_1},       {1, P11S_STAT_LATENCY_1},
      {2, P11S_STAT_LATENCY_5},       {5, P11S_STAT_LATENCY_5},
      {6, P11S_STAT_LATENCY_20},      {20, P11S_STAT_LATENCY_20},
      {21, P11S_STAT_LATENCY_100},    {100, P11S_STAT_LATENCY_100},
      {101, P11S_STAT_LATENCY_500},   {500, P11S_STAT_LATENCY_500},
      {501, P11S_STAT_LATENCY_2000},  {2000, P11S_STAT_LATENCY_2000},
      {2001, P11S_STAT_LATENCY_SLOW}, {UINT64_MAX, P11S_STAT_LATENCY_SLOW},
  };

  (void)state;
  for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
    uint64_t before = p11s_counter_get(known[i].counter);

    p11s_counter_latency(known[i].ms);
    assert_int_equal(p11s_counter_get(known[i].counter), before + 1);
  }
}

/* PowerDNS takes letters, digits and hyphens, and shows a line of explanation. */
static void each_has_a_name_of_its_own(void **state)
{
  (void)state;
  for (unsigned i = 0; i < P11S_STAT_COUNT; i++) {
    const char *name = p11s_counter_name((enum p11s_counter)i);
    const char *text = p11s_counter_explain((enum p11s_counter)i);

    assert_non_null(name);
    assert_in_range(strlen(name), 1, 30);
    for (const char *c = name; *c != '\0'; c++)
      assert_true(islower((unsigned char)*c) || isdigit((unsigned char)*c) || *c == '-');
    for (unsigned j = 0; j < i; j++)
      assert_string_not_equal(name, p11s_counter_name((enum p11s_counter)j));
    assert_in_range(strlen(text), 1, 80);
    assert_null(strchr(text, '\n'));
  }
}

int main(void)
{
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_counter_counts_for_itself),
      cmocka_unit_test(latencies_up_to_a_limit_are_within_it),
      cmocka_unit_test(each_has_a_name_of_its_own),
  };

  return cmocka_run_group_tests_name("counters", tests, NULL, NULL);
}

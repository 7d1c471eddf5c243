/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void durations(void **state)
{
  static const struct {
    uint64_t seconds;
    const char *text;
  } known[] = {{0, "0 s"},           {89, "89 s"},         {90, "2 min"},       {3600, "60 min"},
               {5400, "1 h 30 min"}, {7500, "2 h 5 min"},  {172800, "2 d 0 h"}, {273600, "3 d 4 h"},
               {5369, "89 min"},     {86399, "24 h 0 min"}};
  char text[32];

  (void)state;
  for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
    p11s_duration(text, sizeof text, known[i].seconds);
    assert_string_equal(text, known[i].text);
  }
}

int main(void)
{
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test(durations),
  };

  return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}

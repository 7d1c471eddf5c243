/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/array.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

/* Out of memory is an answer here, also with the address sanitizer. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
  return "allocator_may_return_null=1";
}

struct item {
  uint64_t number;
  char rest[3];
};

static void append(struct item **items, size_t *count)
{
  struct item *item = P11S_ARRAY_ADD(*items, *count);

  assert_non_null(item);
  assert_ptr_equal(item, *items + *count - 1);
  assert_int_equal(item->number, 0);
  assert_int_equal(item->rest[2], 0);
  *item = (struct item){*count, {1, 1, 1}};
}

static void check(const struct item *items, size_t count)
{
  for (size_t i = 0; i < count; i++)
    assert_int_equal(items[i].number, i + 1);
}

static void items_are_zero_and_stay(void **state)
{
  struct item *items = NULL;
  size_t count = 0;

  (void)state;
  while (count < 1000)
    append(&items, &count);
  check(items, 1000);
  free(items);
}

/* Whatever the count falls to, there is room for what comes next (a sanitizer tells). */
static void grows_again_from_any_count(void **state)
{
  struct item *items = NULL;
  size_t count = 0;

  (void)state;
  for (size_t kept = 0; kept < 70; kept++) {
    while (count < 100)
      append(&items, &count);
    check(items, 100);
    count = kept;
  }
  free(items);
}

static void without_memory_nothing_changes(void **state)
{
  struct item *items = NULL;
  size_t count = 0, many = SIZE_MAX / 4 + 1;

  (void)state;
  append(&items, &count);
  assert_null(p11s_array_add(&items, &many, sizeof *items));
  assert_int_equal(many, SIZE_MAX / 4 + 1);
  check(items, 1);
  free(items);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(items_are_zero_and_stay),
      cmocka_unit_test(grows_again_from_any_count),
      cmocka_unit_test(without_memory_nothing_changes),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}

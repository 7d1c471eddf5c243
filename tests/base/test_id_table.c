/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/id_table.h"
#include "rig/rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define MANY 100000u

static uint64_t id_of(uint32_t i)
{
  return (uint64_t)i << 20; /* all on one place at first */
}

static void what_is_put_is_found(void **state)
{
  struct p11s_id_table map = P11S_ID_TABLE_INIT;

  (void)state;
  assert_int_equal(p11s_id_table_find(&map, 1), P11S_ID_TABLE_NONE);
  for (uint32_t i = 0; i < 2000; i++) {
    uint32_t *at = p11s_id_table_at(&map, id_of(i));

    assert_non_null(at);
    assert_int_equal(*at, P11S_ID_TABLE_NONE);
    *at = i;
  }
  assert_int_equal(map.count, 2000);
  for (uint32_t i = 0; i < 2000; i++) {
    assert_int_equal(p11s_id_table_find(&map, id_of(i)), i);
    assert_int_equal(*p11s_id_table_at(&map, id_of(i)), i);
    assert_int_equal(p11s_id_table_find(&map, id_of(i) + 1), P11S_ID_TABLE_NONE);
  }
  assert_int_equal(map.count, 2000);
  p11s_id_table_clear(&map);
  assert_int_equal(p11s_id_table_find(&map, id_of(1)), P11S_ID_TABLE_NONE);
}

static void it_grows(void **state)
{
  struct p11s_id_table map = P11S_ID_TABLE_INIT;

  (void)state;
  for (uint32_t i = 0; i < MANY; i++)
    *p11s_id_table_at(&map, i * 0x9e3779b97f4a7c15u) = i;
  for (uint32_t i = 0; i < MANY; i++)
    assert_int_equal(p11s_id_table_find(&map, i * 0x9e3779b97f4a7c15u), i);
  assert_true(map.count * 4 <= map.size * 3 && map.size < 4 * MANY);
  p11s_id_table_clear(&map);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_is_put_is_found),
      cmocka_unit_test(it_grows),
  };

  rig_watchdog();
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is deleted from a fleet's table that has too many rows, and what is not written into it. */
#include "rig/message_rig.h"
#include "rig/table_rig.h"
#include "base/counters.h"
#include "store/fleet/internal.h"
#include "store/fleet/trim.h"
#include "store/record.h"
#include "format/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MOST 1000

static unsigned of_keys; /* the first ones */

static size_t make(unsigned row, unsigned char *ret_message, bool *ret_claim)
{
  uint32_t week = p11s_week_start(p11s_record_now());
  char name[64];

  *ret_claim = false;
  (void)snprintf(name, sizeof name, "z%u.example.org", row);
  return row < of_keys ? message_rig_dnskey(name, 1, week + P11S_WEEK_SECONDS, ret_message)
                       : message_rig_a("example.org", name, 1, week, ret_message);
}

enum p11s_fleet_result __wrap_p11s_connection_run(struct p11s_connection *conn,
                                                  struct p11s_buf *sql, p11s_fleet_row_fn fn,
                                                  void *arg, uint64_t *ret_affected,
                                                  struct p11s_error *e)
{
  uint64_t gone = table_rig_run(sql, make, fn, arg);

  (void)conn;
  (void)e;
  if (ret_affected != NULL)
    *ret_affected = gone;
  return P11S_FLEET_DONE;
}

static struct p11s_fleet_config config = {.most_rows = MOST};
static char where[] = "here";
static struct p11s_fleet fleet = {.config = &config, .where = where};

static void trim(unsigned keys)
{
  struct p11s_fleet_trim *t = p11s_fleet_trim_new(&fleet);
  bool more = true;

  of_keys = keys;
  assert_non_null(t);
  while (more)
    assert_int_equal(p11s_fleet_trim_step(t, NULL, &more), P11S_FLEET_DONE);
  p11s_fleet_trim_free(t);
}

static bool refuses(unsigned row, uint32_t days)
{
  unsigned char message[MESSAGE_RIG_MAX];
  bool claim;
  size_t len = make(row, message, &claim);
  const struct p11s_store_record record = {message, message,           len, message,
                                           9,       p11s_record_now(), days};

  return p11s_fleet_trim_refuses(&fleet, &record);
}

static int fill(void **state)
{
  (void)state;
  memset(table_rig_there, true, sizeof table_rig_there);
  atomic_store(&fleet.full, false);
  return 0;
}

static void signatures_of_keys_stay(void **state)
{
  (void)state;
  trim(300);
  assert_int_equal(table_rig_count(0, 300), 300);
  assert_in_range(table_rig_count(0, TABLE_RIG_ROWS), MOST - MOST / 4,
                  MOST - MOST / 10); /* keys are larger */
  assert_false(refuses(0, 0));
  assert_false(refuses(TABLE_RIG_ROWS - 1, 1));
}

static void a_table_full_of_them_takes_no_more(void **state)
{
  (void)state;
  trim(1100);
  assert_int_equal(table_rig_count(0, 1100), 1100);
  assert_int_equal(table_rig_count(1100, TABLE_RIG_ROWS), 0);
  assert_true(refuses(0, 0));  /* signed ahead */
  assert_false(refuses(0, 1)); /* for a query */
  assert_true(refuses(TABLE_RIG_ROWS - 1, 1));
  /* Until there is room. */
  memset(table_rig_there, false, 200);
  trim(1100);
  assert_false(refuses(0, 0));
  assert_false(refuses(TABLE_RIG_ROWS - 1, 1));
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(signatures_of_keys_stay, fill),
      cmocka_unit_test_setup(a_table_full_of_them_takes_no_more, fill),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}

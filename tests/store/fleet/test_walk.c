/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Looking through a fleet's table, and deleting what somebody has chosen in it. */
#include "store/fleet/internal.h"
#include "rig/table_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ROWS 500

static const char message[] = "message";
static unsigned opened;
static unsigned again;    /* so many statements are to be tried once more */
static bool lost, closed; /* no connection; one was given up */

enum p11s_err __wrap_p11s_connection_open(const struct p11s_fleet_config *config, unsigned answer_s,
                                          struct p11s_connection **ret, struct p11s_error *e);
enum p11s_err __wrap_p11s_connection_open(const struct p11s_fleet_config *config, unsigned answer_s,
                                          struct p11s_connection **ret, struct p11s_error *e)
{
  static char connection;

  (void)config;
  (void)answer_s;
  opened++;
  if (lost)
    return p11s_error_set(e, P11S_ERR_HOST, "nobody is there");
  *ret = (struct p11s_connection *)(void *)&connection;
  return P11S_OK;
}

void __wrap_p11s_connection_close(struct p11s_connection *conn);
void __wrap_p11s_connection_close(struct p11s_connection *conn)
{
  closed = closed || conn != NULL;
}

/* Every tenth is one. */
static bool is_claim(unsigned row)
{
  return row % 10 == 0;
}

static size_t make(unsigned row, unsigned char *ret_message, bool *ret_claim)
{
  *ret_claim = is_claim(row);
  memcpy(ret_message, message, sizeof message);
  return sizeof message;
}

enum p11s_fleet_result __wrap_p11s_connection_run(struct p11s_connection *conn,
                                                  struct p11s_buf *sql, p11s_fleet_row_fn fn,
                                                  void *arg, uint64_t *ret_affected,
                                                  struct p11s_error *e)
{
  uint64_t gone = 0;

  assert_non_null(conn);
  if (again == 0)
    gone = table_rig_run(sql, make, fn, arg);
  p11s_buf_clear(sql);
  if (ret_affected != NULL)
    *ret_affected = gone;
  if (again == 0)
    return P11S_FLEET_DONE;
  again--;
  (void)p11s_error_set(e, P11S_ERR_HOST, "a deadlock");
  return P11S_FLEET_AGAIN;
}

static struct p11s_fleet_config config;
static char where[] = "'here'";
static struct p11s_fleet fleet = {.config = &config, .where = where};

struct seen {
  unsigned rows, last, most; /* stops behind so many */
};

static unsigned row_of(const struct p11s_store_record *record)
{
  return (unsigned)record->key_id[2] << 8 | record->key_id[3];
}

static bool look(const struct p11s_store_record *record, void *arg)
{
  struct seen *seen = arg;

  assert_int_equal(record->message_len, sizeof message);
  assert_memory_equal(record->message, message, sizeof message);
  assert_int_equal(record->signature_len, 9);
  assert_memory_equal(record->signature, "signature", 9);
  assert_true(seen->rows == 0 || row_of(record) > seen->last);
  seen->last = row_of(record);
  return ++seen->rows < seen->most;
}

static int fill(void **state)
{
  (void)state;
  memset(table_rig_there, true, ROWS);
  table_rig_selects = opened = again = 0;
  lost = closed = false;
  return 0;
}

static void all_are_seen_in_order_but_claims(void **state)
{
  struct seen seen = {.most = ROWS};

  (void)state;
  assert_int_equal(p11s_fleet_walk(&fleet, look, &seen, NULL, NULL), P11S_OK);
  assert_int_equal(seen.rows, ROWS - ROWS / 10);
  assert_int_equal(seen.last, ROWS - 1);
  assert_int_equal(table_rig_selects, 3);
  assert_int_equal(table_rig_count(0, ROWS), ROWS);
  assert_int_equal(opened, 1);
  assert_true(closed);
}

static void an_empty_table(void **state)
{
  struct seen seen = {.most = ROWS};

  (void)state;
  memset(table_rig_there, false, ROWS);
  assert_int_equal(p11s_fleet_walk(&fleet, look, &seen, NULL, NULL), P11S_OK);
  assert_int_equal(seen.rows, 0);
  assert_int_equal(table_rig_selects, 1);
}

static void who_has_seen_enough_is_asked_no_more(void **state)
{
  struct seen seen = {.most = 5};

  (void)state;
  assert_int_equal(p11s_fleet_walk(&fleet, look, &seen, NULL, NULL), P11S_OK);
  assert_int_equal(seen.rows, 5);
  assert_int_equal(table_rig_selects, 1);
}

static bool is_even(const struct p11s_store_record *record, void *arg)
{
  (void)arg;
  return row_of(record) % 2 == 0;
}

static void what_is_chosen_goes_and_no_claim(void **state)
{
  uint64_t deleted = 7;

  (void)state;
  assert_int_equal(p11s_fleet_walk(&fleet, is_even, NULL, &deleted, NULL), P11S_OK);
  assert_int_equal(deleted, ROWS / 2 - ROWS / 10);
  for (unsigned row = 0; row < ROWS; row++)
    assert_int_equal(table_rig_there[row], row % 2 == 1 || is_claim(row));
}

static void everything_is_claims_too(void **state)
{
  uint64_t deleted = 7;

  (void)state;
  assert_int_equal(p11s_fleet_walk(&fleet, NULL, NULL, &deleted, NULL), P11S_OK);
  assert_int_equal(deleted, ROWS);
  assert_int_equal(table_rig_count(0, ROWS), 0);
}

static void a_deadlock_is_got_over(void **state)
{
  uint64_t deleted = 7;

  (void)state;
  again = 9;
  assert_int_equal(p11s_fleet_walk(&fleet, NULL, NULL, &deleted, NULL), P11S_OK);
  assert_int_equal(deleted, ROWS);
}

static void what_fails_says_where(void **state)
{
  uint64_t deleted = 7;
  struct p11s_error e;

  (void)state;
  again = 1000;
  assert_int_equal(p11s_fleet_walk(&fleet, NULL, NULL, &deleted, &e), P11S_ERR_HOST);
  assert_string_equal(e.text, "fleet store 'here': a deadlock");
  assert_int_equal(deleted, 0);
  assert_in_range(again, 980, 995); /* it ends */
  assert_true(closed);
  again = 0;
  lost = true;
  closed = false;
  assert_int_equal(p11s_fleet_walk(&fleet, NULL, NULL, &deleted, &e), P11S_ERR_HOST);
  assert_string_equal(e.text, "fleet store 'here': nobody is there");
  assert_false(closed);
  assert_int_equal(table_rig_count(0, ROWS), ROWS);
}

int main(void)
{
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(all_are_seen_in_order_but_claims, fill),
      cmocka_unit_test_setup(an_empty_table, fill),
      cmocka_unit_test_setup(who_has_seen_enough_is_asked_no_more, fill),
      cmocka_unit_test_setup(what_is_chosen_goes_and_no_claim, fill),
      cmocka_unit_test_setup(everything_is_claims_too, fill),
      cmocka_unit_test_setup(a_deadlock_is_got_over, fill),
      cmocka_unit_test_setup(what_fails_says_where, fill),
  };

  return cmocka_run_group_tests_name("walk", tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is deleted from a fleet's table that has too many rows, and what is not written into it. */
#include "rig/message_rig.h"
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

#define ROWS 1200
#define MOST 1000
#define WALKED 200 /* rows, by one statement */

/* -- the database: rows by their number, which is the first four bytes of the id */

static bool there[ROWS];
static unsigned of_keys; /* the first ones */

static size_t make(unsigned row, unsigned char *ret_message)
{
  uint32_t week = p11s_week_start(p11s_record_now());
  char name[64];

  (void)snprintf(name, sizeof name, "z%u.example.org", row);
  return row < of_keys ? message_rig_dnskey(name, 1, week + P11S_WEEK_SECONDS, ret_message)
                       : message_rig_a("example.org", name, 1, week, ret_message);
}

static void give_number(unsigned number, p11s_fleet_row_fn fn, void *arg)
{
  char text[16];
  const struct p11s_fleet_field field = {(const unsigned char *)text,
                                         (size_t)snprintf(text, sizeof text, "%u", number)};

  fn(&field, 1, arg);
}

/* The row of the next id in the statement, and the rest; NULL: there is none. */
static const char *next_row(const char *sql, unsigned *ret)
{
  const char *hex = strstr(sql, "x'");
  char digits[9] = "";

  if (hex == NULL)
    return NULL;
  memcpy(digits, hex + 2, 8);
  *ret = (unsigned)strtoul(digits, NULL, 16);
  return hex + 2;
}

static void give_rows(const char *sql, p11s_fleet_row_fn fn, void *arg)
{
  unsigned char id[P11S_STORE_ID_LEN] = {0}, message[MESSAGE_RIG_MAX];
  unsigned row = 0, given = 0;

  if (next_row(sql, &row) != NULL)
    row++;
  for (; row < ROWS && given < WALKED; row++) {
    const struct p11s_fleet_field fields[] = {
        {id, sizeof id},
        {id, sizeof id},
        {NULL, 0},
        {NULL, 0},
        {(const unsigned char *)"0", 1},
        {message, make(row, message)},
        {(const unsigned char *)"signature", 9},
    };

    if (!there[row])
      continue;
    id[2] = (unsigned char)(row >> 8);
    id[3] = (unsigned char)row;
    given++;
    fn(fields, 7, arg);
  }
}

static unsigned count_rows(unsigned from, unsigned until)
{
  unsigned rows = 0;

  for (unsigned row = from; row < until; row++)
    rows += there[row];
  return rows;
}

enum p11s_fleet_result __wrap_p11s_connection_run(struct p11s_connection *conn,
                                                  struct p11s_buf *sql, p11s_fleet_row_fn fn,
                                                  void *arg, uint64_t *ret_affected,
                                                  struct p11s_error *e);
enum p11s_fleet_result __wrap_p11s_connection_run(struct p11s_connection *conn,
                                                  struct p11s_buf *sql, p11s_fleet_row_fn fn,
                                                  void *arg, uint64_t *ret_affected,
                                                  struct p11s_error *e)
{
  unsigned row, had = count_rows(0, ROWS);

  const char *text = p11s_buf_text(sql);

  (void)conn;
  (void)e;
  assert_int_equal(strlen(text), sql->len);
  if (strncmp(text, "SELECT COUNT", 12) == 0)
    give_number(had, fn, arg);
  else if (strncmp(text, "SELECT GET_LOCK", 15) == 0)
    give_number(1, fn, arg);
  else if (strncmp(text, "SELECT", 6) == 0)
    give_rows(text, fn, arg);
  else if (strncmp(text, "DELETE", 6) == 0)
    while ((text = next_row(text, &row)) != NULL)
      there[row] = false;
  p11s_buf_clear(sql);
  if (ret_affected != NULL)
    *ret_affected = had - count_rows(0, ROWS);
  return P11S_FLEET_DONE;
}

/* -- */

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
  size_t len = make(row, message);
  const struct p11s_store_record record = {message, message,           len, message,
                                           9,       p11s_record_now(), days};

  return p11s_fleet_trim_refuses(&fleet, &record);
}

static int fill(void **state)
{
  (void)state;
  memset(there, true, sizeof there);
  atomic_store(&fleet.full, false);
  return 0;
}

static void signatures_of_keys_stay(void **state)
{
  (void)state;
  trim(300);
  assert_int_equal(count_rows(0, 300), 300);
  assert_in_range(count_rows(0, ROWS), MOST - MOST / 4, MOST - MOST / 10); /* keys are larger */
  assert_false(refuses(0, 0));
  assert_false(refuses(ROWS - 1, 1));
}

static void a_table_full_of_them_takes_no_more(void **state)
{
  (void)state;
  trim(1100);
  assert_int_equal(count_rows(0, 1100), 1100);
  assert_int_equal(count_rows(1100, ROWS), 0);
  assert_true(refuses(0, 0));  /* signed ahead */
  assert_false(refuses(0, 1)); /* for a query */
  assert_true(refuses(ROWS - 1, 1));
  /* Until there is room. */
  memset(there, false, 200);
  trim(1100);
  assert_false(refuses(0, 0));
  assert_false(refuses(ROWS - 1, 1));
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(signatures_of_keys_stay, fill),
      cmocka_unit_test_setup(a_table_full_of_them_takes_no_more, fill),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}

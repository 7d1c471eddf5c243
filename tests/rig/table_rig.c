/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "rig/table_rig.h"

#include "store/fleet/sql.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

bool table_rig_there[TABLE_RIG_ROWS];
unsigned table_rig_selects;

unsigned table_rig_count(unsigned from, unsigned until)
{
  unsigned rows = 0;

  for (unsigned row = from; row < until; row++)
    rows += table_rig_there[row];
  return rows;
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
  assert_in_range(*ret, 0, TABLE_RIG_ROWS - 1);
  return hex + 2;
}

static void give_rows(const char *sql, table_rig_row_fn content, p11s_fleet_row_fn fn, void *arg)
{
  const char *limit = strstr(sql, " LIMIT ");
  unsigned char id[P11S_STORE_ID_LEN] = {0}, message[TABLE_RIG_MESSAGE];
  unsigned long most;
  unsigned row = 0;

  table_rig_selects++;
  assert_non_null(limit);
  most = strtoul(limit + strlen(" LIMIT "), NULL, 10);
  if (next_row(sql, &row) != NULL)
    row++;
  for (; row < TABLE_RIG_ROWS && most > 0; row++) {
    bool claim = false;
    size_t len = content(row, message, &claim);
    const struct p11s_fleet_field fields[] = {
        {id, sizeof id},
        {id, sizeof id},
        {(const unsigned char *)"a server", P11S_FLEET_SERVER_LEN},
        {NULL, 0},
        {(const unsigned char *)"0", 1},
        {message, len},
        {(const unsigned char *)"signature", claim ? 0 : 9},
    };

    if (!table_rig_there[row])
      continue;
    id[2] = (unsigned char)(row >> 8);
    id[3] = (unsigned char)row;
    most--;
    fn(fields, 7, arg);
  }
}

uint64_t table_rig_run(struct p11s_buf *sql, table_rig_row_fn content, p11s_fleet_row_fn fn,
                       void *arg)
{
  unsigned row, had = table_rig_count(0, TABLE_RIG_ROWS);
  const char *text = p11s_buf_text(sql);

  assert_int_equal(strlen(text), sql->len);
  if (strncmp(text, "SELECT COUNT", 12) == 0)
    give_number(had, fn, arg);
  else if (strncmp(text, "SELECT GET_LOCK", 15) == 0)
    give_number(1, fn, arg);
  else if (strncmp(text, "SELECT", 6) == 0)
    give_rows(text, content, fn, arg);
  else if (strncmp(text, "DELETE", 6) == 0)
    while ((text = next_row(text, &row)) != NULL)
      table_rig_there[row] = false;
  p11s_buf_clear(sql);
  return had - table_rig_count(0, TABLE_RIG_ROWS);
}

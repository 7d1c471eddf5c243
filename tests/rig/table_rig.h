/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "store/fleet/connection.h"

#include <stdbool.h>

/*
 * A fleet's table in memory. A row goes by its number, which is the first four bytes of its id. It
 * knows the statements that walk through a table and delete rows (store/fleet/sql.h).
 */
#define TABLE_RIG_ROWS 1200
#define TABLE_RIG_MESSAGE 512

extern bool table_rig_there[TABLE_RIG_ROWS];
extern unsigned table_rig_selects; /* statements that read rows */

/* Of the rows from number `from` on, those before `until`, that are there. */
unsigned table_rig_count(unsigned from, unsigned until);

/* Writes a row's message, and returns its length; *ret_claim: the row has no signature yet. */
typedef size_t (*table_rig_row_fn)(unsigned row, unsigned char *ret_message, bool *ret_claim);

/* Does what p11s_connection_run() would, and returns how many rows went. Empties the buffer. */
uint64_t table_rig_run(struct p11s_buf *sql, table_rig_row_fn row, p11s_fleet_row_fn fn, void *arg);

/* Every test of the fleet has its own (-Wl,--wrap). */
enum p11s_fleet_result __wrap_p11s_connection_run(struct p11s_connection *conn,
                                                  struct p11s_buf *sql, p11s_fleet_row_fn fn,
                                                  void *arg, uint64_t *ret_affected,
                                                  struct p11s_error *e);

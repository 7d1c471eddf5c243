/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "store/fleet/connection.h"
#include "store/fleet/sql.h"

/*
 * Reads all rows of the fleet's table in the order of their ids, a few hundred a statement, and
 * deletes those that are chosen. For one thread and its connection; no locks.
 */
#define P11S_FLEET_SCAN_ROWS 200

struct p11s_fleet_scan {
  /* Set by the caller. Whether the row is to be deleted; row: NULL when it cannot be read. */
  bool (*choose)(const struct p11s_fleet_row *row, void *arg);
  void *arg;
  unsigned tries; /* of a statement, when another server has been quicker */

  bool begun;
  bool at_end;
  size_t rows;                           /* of this step */
  unsigned char last[P11S_STORE_ID_LEN]; /* of them */
  unsigned char chosen[P11S_FLEET_SCAN_ROWS * P11S_STORE_ID_LEN];
  size_t count; /* of chosen ones */
};

/* Reads the next rows, and deletes the chosen ones of them; adds to *deleted how many. */
enum p11s_fleet_result p11s_fleet_scan_step(struct p11s_fleet_scan *scan,
                                            struct p11s_connection *conn, uint64_t *deleted,
                                            struct p11s_error *e);

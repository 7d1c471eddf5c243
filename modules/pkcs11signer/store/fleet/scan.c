/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "store/fleet/scan.h"

#include <string.h>

static void take_row(const struct p11s_fleet_field *fields, unsigned count, void *arg)
{
  struct p11s_fleet_scan *scan = arg;
  struct p11s_fleet_row row;
  bool good = p11s_fleet_row_parse(fields, count, &row);

  if (count == 0 || fields[0].len != P11S_STORE_ID_LEN || scan->rows == P11S_FLEET_SCAN_ROWS)
    return;
  scan->rows++;
  memcpy(scan->last, fields[0].data, sizeof scan->last);
  if (scan->choose(good ? &row : NULL, scan->arg))
    memcpy(scan->chosen + scan->count++ * P11S_STORE_ID_LEN, scan->last, P11S_STORE_ID_LEN);
}

enum p11s_fleet_result p11s_fleet_scan_step(struct p11s_fleet_scan *scan,
                                            struct p11s_connection *conn, uint64_t *deleted,
                                            struct p11s_error *e)
{
  enum p11s_fleet_result result = P11S_FLEET_AGAIN;
  struct p11s_buf sql = P11S_BUF_INIT;
  uint64_t gone = 0;

  scan->rows = 0;
  scan->count = 0;
  for (unsigned i = 0; i < scan->tries && result == P11S_FLEET_AGAIN; i++) {
    p11s_fleet_sql_walk(&sql, scan->begun ? scan->last : NULL, P11S_FLEET_SCAN_ROWS);
    result = p11s_connection_run(conn, &sql, take_row, scan, NULL, e);
  }
  if (result != P11S_FLEET_DONE)
    return result;
  scan->begun = true;
  scan->at_end = scan->rows < P11S_FLEET_SCAN_ROWS;
  if (scan->count > 0)
    result = P11S_FLEET_AGAIN;
  for (unsigned i = 0; i < scan->tries && result == P11S_FLEET_AGAIN; i++) {
    p11s_fleet_sql_delete(&sql, scan->chosen, scan->count);
    result = p11s_connection_run(conn, &sql, NULL, NULL, &gone, e);
  }
  if (result == P11S_FLEET_DONE)
    *deleted += gone;
  return result;
}

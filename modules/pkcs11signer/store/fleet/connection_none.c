/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Instead of store/fleet/connection.c in a build without a MySQL client library. */
#include "store/fleet/connection.h"

bool p11s_fleet_is_built(void)
{
  return false;
}

enum p11s_err p11s_connection_open(const struct p11s_fleet_config *config, unsigned answer_s,
                                   struct p11s_connection **ret, struct p11s_error *e)
{
  (void)config;
  (void)answer_s;
  (void)ret;
  return p11s_error_set(e, P11S_ERR_HOST,
                        "this build has no MySQL client library; on Debian: apt-get install "
                        "libmariadb-dev, then build again");
}

void p11s_connection_close(struct p11s_connection *conn)
{
  (void)conn;
}

void p11s_connection_cut(struct p11s_connection *conn)
{
  (void)conn;
}

enum p11s_fleet_result p11s_connection_run(struct p11s_connection *conn, struct p11s_buf *sql,
                                           p11s_fleet_row_fn fn, void *arg, uint64_t *ret_affected,
                                           struct p11s_error *e)
{
  (void)conn;
  (void)fn;
  (void)arg;
  (void)ret_affected;
  p11s_buf_clear(sql);
  (void)p11s_error_set(e, P11S_ERR_HOST, "this build has no MySQL client library");
  return P11S_FLEET_REFUSED;
}

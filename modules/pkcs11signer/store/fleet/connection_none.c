/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Instead of store/fleet/connection.c in a build without a MySQL client library. */
#include "store/fleet/connection.h"

bool p11s_mysql_is_built(void)
{
  return false;
}

enum p11s_err p11s_mysqlconn_open(const struct p11s_mysql_config *config, unsigned answer_s,
                                  struct p11s_mysqlconn **ret, struct p11s_error *e)
{
  (void)config;
  (void)answer_s;
  (void)ret;
  return p11s_error_set(e, P11S_ERR_HOST,
                        "this build has no MySQL client library; on Debian: apt-get install "
                        "libmariadb-dev, then build again");
}

void p11s_mysqlconn_close(struct p11s_mysqlconn *conn)
{
  (void)conn;
}

void p11s_mysqlconn_cut(struct p11s_mysqlconn *conn)
{
  (void)conn;
}

enum p11s_mysql_result p11s_mysqlconn_run(struct p11s_mysqlconn *conn, const char *sql, size_t len,
                                          p11s_mysql_row_fn fn, void *arg, uint64_t *ret_affected,
                                          struct p11s_error *e)
{
  (void)conn;
  (void)sql;
  (void)len;
  (void)fn;
  (void)arg;
  (void)ret_affected;
  (void)p11s_error_set(e, P11S_ERR_HOST, "this build has no MySQL client library");
  return P11S_MYSQL_REFUSED;
}

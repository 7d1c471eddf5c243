/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "store/fleet/connection.h"

#include "base/secret_source.h"
#include "store/fleet/sql.h"

#include <errmsg.h>
#include <mysql.h>
#include <mysqld_error.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define GROUP "pkcs11signer" /* of option files, beside [client] */

/* MariaDB's and MySQL's headers do not have all of each other's. */
#define NO_SECURE_TRANSPORT 3159
#define READ_ONLY_MODE 1836
#define RECORD_CHANGED 1020
#define KILLED 1927

struct p11s_connection {
  MYSQL *mysql;
};

bool p11s_fleet_is_built(void)
{
  return mysql_library_init(0, NULL, NULL) == 0;
}

/* -- what to do about it */

static const char *advice(unsigned code)
{
  switch (code) {
  case ER_ACCESS_DENIED_ERROR:
    return "; check pkcs11signer-mysql-user, its password and where it may connect from; an "
           "account that requires TLS: see \"Fleet\" in docs/signature-store.md";
  case ER_BAD_DB_ERROR:
  case ER_DBACCESS_DENIED_ERROR:
    return "; check pkcs11signer-mysql-dbname and the user's rights in it";
  case ER_NO_DB_ERROR:
    return "; set pkcs11signer-mysql-dbname";
  case ER_NO_SUCH_TABLE:
    return "; create it with docs/schema.mysql.sql";
  case ER_BAD_FIELD_ERROR:
    return "; the table is not that of this version: drop it and create it with "
           "docs/schema.mysql.sql";
  case ER_TABLEACCESS_DENIED_ERROR:
  case ER_COLUMNACCESS_DENIED_ERROR:
    return "; the user needs SELECT, INSERT, UPDATE and DELETE on " P11S_FLEET_TABLE;
  case ER_OPTION_PREVENTS_STATEMENT:
  case READ_ONLY_MODE:
    return "; pkcs11signer-mysql-host must be the primary";
  case NO_SECURE_TRANSPORT:
  case CR_SSL_CONNECTION_ERROR:
    return "; TLS is set in group [" GROUP "] of an option file: \"Fleet\" in "
           "docs/signature-store.md";
  case CR_CONNECTION_ERROR:
  case CR_CONN_HOST_ERROR:
  case CR_UNKNOWN_HOST:
    return "; is it running? Check pkcs11signer-mysql-host, -socket and -port";
  default:
    return "";
  }
}

static enum p11s_err fail(MYSQL *mysql, struct p11s_error *e)
{
  unsigned code = mysql_errno(mysql);

  return p11s_error_set(e, P11S_ERR_HOST, "%s (%u)%s", mysql_error(mysql), code, advice(code));
}

static enum p11s_fleet_result classify(unsigned code)
{
  switch (code) {
  case ER_LOCK_DEADLOCK:
  case ER_LOCK_WAIT_TIMEOUT:
  case RECORD_CHANGED:
  case ER_ERROR_DURING_COMMIT: /* the cluster has refused it, or does not answer */
  case ER_UNKNOWN_ERROR:
    return P11S_FLEET_AGAIN;
  case ER_SERVER_SHUTDOWN:
  case ER_UNKNOWN_COM_ERROR: /* a Galera node that has left the cluster */
  case ER_QUERY_INTERRUPTED:
  case ER_OPTION_PREVENTS_STATEMENT: /* it is the primary no more; another one may be */
  case READ_ONLY_MODE:
  case KILLED:
    return P11S_FLEET_LOST;
  default:
    return code >= CR_MIN_ERROR && code <= CR_MAX_ERROR ? P11S_FLEET_LOST : P11S_FLEET_REFUSED;
  }
}

/* -- connecting */

static const char *or_null(const char *text)
{
  return text != NULL && text[0] != '\0' ? text : NULL;
}

static enum p11s_err get_password(const struct p11s_fleet_config *config, struct p11s_secret **ret,
                                  struct p11s_error *e)
{
  enum p11s_err result = P11S_OK;

  *ret = NULL;
  if (or_null(config->password_file) != NULL)
    result = p11s_pin_read_file("password", config->password_file, ret, e);
  else if (p11s_secret_len(config->password) > 0)
    result = p11s_pin_read("password", config->password, ret, e);
  return result;
}

static void set_options(MYSQL *mysql, unsigned answer_s)
{
  unsigned connect_s = P11S_FLEET_CONNECT_S, no = 0;

  (void)mysql_options(mysql, MYSQL_READ_DEFAULT_GROUP, GROUP);
  (void)mysql_options(mysql, MYSQL_OPT_CONNECT_TIMEOUT, &connect_s);
  (void)mysql_options(mysql, MYSQL_OPT_READ_TIMEOUT, &answer_s);
  (void)mysql_options(mysql, MYSQL_OPT_WRITE_TIMEOUT, &answer_s);
  (void)mysql_options(mysql, MYSQL_OPT_LOCAL_INFILE, &no);
  /* Nothing is cut off silently; nobody waits long for somebody else's lock. */
  (void)mysql_options(mysql, MYSQL_INIT_COMMAND,
                      "SET SESSION sql_mode='STRICT_ALL_TABLES',innodb_lock_wait_timeout=2,"
                      "autocommit=1");
}

/* With statements that change nothing but need each right, and each column. */
static enum p11s_err check_table(struct p11s_connection *conn, struct p11s_error *e)
{
  static const char *const statement[] = {
      "SELECT " P11S_FLEET_COLUMNS " FROM " P11S_FLEET_TABLE " WHERE 1=0",
      "INSERT INTO " P11S_FLEET_TABLE " (" P11S_FLEET_COLUMNS ") SELECT " P11S_FLEET_COLUMNS
      " FROM " P11S_FLEET_TABLE " WHERE 1=0",
      "UPDATE " P11S_FLEET_TABLE " SET last_used=UTC_DATE() WHERE 1=0",
      "DELETE FROM " P11S_FLEET_TABLE " WHERE 1=0",
  };

  for (unsigned i = 0; i < sizeof statement / sizeof statement[0]; i++) {
    struct p11s_buf sql = P11S_BUF_INIT;

    p11s_buf_addstr(&sql, statement[i]);
    if (p11s_connection_run(conn, &sql, NULL, NULL, NULL, e) != P11S_FLEET_DONE)
      return P11S_ERR_HOST;
  }
  return P11S_OK;
}

static enum p11s_err connect_to(const struct p11s_fleet_config *config, MYSQL *mysql,
                                struct p11s_error *e)
{
  struct p11s_secret *password;
  enum p11s_err result = get_password(config, &password, e);

  if (result != P11S_OK)
    return result;
  if (mysql_real_connect(mysql, or_null(config->host), or_null(config->user),
                         password != NULL ? (const char *)p11s_secret_data(password) : NULL,
                         or_null(config->dbname), config->port, or_null(config->socket), 0) == NULL)
    result = fail(mysql, e);
  /* For reconnecting, which is not its business. */
  if (mysql->passwd != NULL)
    p11s_wipe(mysql->passwd, strlen(mysql->passwd));
  p11s_secret_release(password);
  return result;
}

enum p11s_err p11s_connection_open(const struct p11s_fleet_config *config, unsigned answer_s,
                                   struct p11s_connection **ret, struct p11s_error *e)
{
  struct p11s_connection *conn = calloc(1, sizeof *conn);
  enum p11s_err result;

  if (conn != NULL)
    conn->mysql = mysql_init(NULL);
  if (conn == NULL || conn->mysql == NULL) {
    free(conn);
    return p11s_error_no_memory(e);
  }
  set_options(conn->mysql, answer_s);
  result = connect_to(config, conn->mysql, e);
  if (result == P11S_OK)
    result = check_table(conn, e);
  if (result == P11S_OK)
    *ret = conn;
  else
    p11s_connection_close(conn);
  return result;
}

void p11s_connection_close(struct p11s_connection *conn)
{
  if (conn == NULL)
    return;
  mysql_close(conn->mysql);
  free(conn);
}

void p11s_connection_cut(struct p11s_connection *conn)
{
#ifdef LIBMARIADB
  int fd = (int)mysql_get_socket(conn->mysql);
#else
  int fd = (int)conn->mysql->net.fd;
#endif

  if (fd >= 0)
    (void)shutdown(fd, SHUT_RDWR);
}

/* -- statements */

#define MAX_FIELDS 16

static enum p11s_fleet_result read_rows(MYSQL *mysql, p11s_fleet_row_fn fn, void *arg,
                                        struct p11s_error *e)
{
  MYSQL_RES *rows = mysql_store_result(mysql);
  struct p11s_fleet_field fields[MAX_FIELDS];
  unsigned count;
  MYSQL_ROW row;

  if (rows == NULL) {
    if (mysql_errno(mysql) == 0)
      return P11S_FLEET_DONE; /* it has none */
    (void)fail(mysql, e);
    return classify(mysql_errno(mysql));
  }
  count = mysql_num_fields(rows) < MAX_FIELDS ? mysql_num_fields(rows) : MAX_FIELDS;
  while (fn != NULL && (row = mysql_fetch_row(rows)) != NULL) {
    const unsigned long *lengths = mysql_fetch_lengths(rows);

    for (unsigned i = 0; i < count; i++)
      fields[i] = (struct p11s_fleet_field){(const unsigned char *)row[i], lengths[i]};
    fn(fields, count, arg);
  }
  mysql_free_result(rows);
  return P11S_FLEET_DONE;
}

enum p11s_fleet_result p11s_connection_run(struct p11s_connection *conn, struct p11s_buf *sql,
                                           p11s_fleet_row_fn fn, void *arg, uint64_t *ret_affected,
                                           struct p11s_error *e)
{
  enum p11s_fleet_result result = P11S_FLEET_REFUSED;

  if (sql->failed) {
    (void)p11s_error_no_memory(e);
  } else if (mysql_real_query(conn->mysql, sql->data, sql->len) != 0) {
    (void)fail(conn->mysql, e);
    result = classify(mysql_errno(conn->mysql));
  } else {
    if (ret_affected != NULL)
      *ret_affected = mysql_affected_rows(conn->mysql);
    result = read_rows(conn->mysql, fn, arg, e);
  }
  p11s_buf_clear(sql);
  return result;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/buf.h"
#include "store/fleet/fleet.h"

/*
 * One connection to the fleet's database. The only place that knows the client library; in a build
 * without it, opening one fails and says so (store/fleet/connection_none.c).
 *
 * Calls block: for a connection up to P11S_FLEET_CONNECT_S and as long as the resolver takes, for
 * an answer up to the seconds it was opened with. One thread at a time, but for
 * p11s_connection_cut().
 *
 * Option files are read as the client library does: groups [client] and [pkcs11signer], where TLS
 * is set. The password is wiped from the library's memory when the connection stands. A server may
 * not ask for files (LOAD DATA LOCAL).
 */
struct p11s_connection;

#define P11S_FLEET_CONNECT_S 2

/* Connects, and looks whether the table is there and may be read and written. The error says what
   to do. */
enum p11s_err p11s_connection_open(const struct p11s_fleet_config *config, unsigned answer_s,
                                   struct p11s_connection **ret, struct p11s_error *e);
/* NULL is allowed. */
void p11s_connection_close(struct p11s_connection *conn);

/* Any thread: what is under way on it fails at once. Does not block. */
void p11s_connection_cut(struct p11s_connection *conn);

enum p11s_fleet_result {
  P11S_FLEET_DONE,
  P11S_FLEET_AGAIN,   /* a deadlock, or another node was quicker: the same statement once more */
  P11S_FLEET_LOST,    /* the connection is of no use any more */
  P11S_FLEET_REFUSED, /* the statement is, and will be again */
};
struct p11s_fleet_field {
  const unsigned char *data; /* NULL: NULL */
  size_t len;
};
typedef void (*p11s_fleet_row_fn)(const struct p11s_fleet_field *fields, unsigned count, void *arg);

/* Runs one statement, and empties the buffer, whatever comes of it. fn gets the statement's rows,
   if it has some. *ret_affected may be NULL. */
enum p11s_fleet_result p11s_connection_run(struct p11s_connection *conn, struct p11s_buf *sql,
                                           p11s_fleet_row_fn fn, void *arg, uint64_t *ret_affected,
                                           struct p11s_error *e);

/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/buf.h"
#include "store/fleet/fleet.h"
#include "store/op.h"

/*
 * The statements on the fleet's table, and what a row of it says (docs/schema.mysql.sql).
 *
 * Values are written as hexadecimal literals, so nothing has to be quoted, whatever the
 * connection's character set. Each statement is a transaction of its own and names its rows by
 * their primary key: small for Galera, the same on replicas whatever the binary log's format.
 *
 * A row is a signature, or a claim: no signature, but who is making it and since when, by the
 * database's clock.
 *
 * Pure functions; no locks. Failed allocations are in the buffer.
 */
#define P11S_FLEET_TABLE "pkcs11signer_signatures"
#define P11S_FLEET_COLUMNS "id,key_id,expires,last_used,claimed_by,claimed_at,message,signature"
#define P11S_FLEET_SERVER_LEN 8  /* names a process, at random */
#define P11S_FLEET_CLAIM_MS 2000 /* a claim older than this counts for nothing */

/* What is looked for. */
struct p11s_fleet_wanted {
  const unsigned char *id;
  const unsigned char *key_id;
  uint32_t expires;
};

/* SHA-256 of the key in the file (store/record.h). false: the digest failed. */
bool p11s_fleet_id(const unsigned char *key, unsigned char *ret_id);

/* When a signature of this message is of no use any more, seconds since 1970; of a message that is
   none of DNSSEC's, three weeks from now. */
uint32_t p11s_fleet_expires(const unsigned char *message, size_t len, uint32_t now);

/* ops: of one kind, with their ids. now: in seconds since 1970. */
void p11s_fleet_sql_write(struct p11s_buf *sql, struct p11s_op *const *ops, size_t count,
                          const unsigned char *server, uint32_t now);
/* The bytes that an op takes in a statement, at most. */
size_t p11s_fleet_op_size(const struct p11s_op *op);

void p11s_fleet_sql_find(struct p11s_buf *sql, const struct p11s_fleet_wanted *wanted,
                         size_t count);
void p11s_fleet_sql_claim(struct p11s_buf *sql, const struct p11s_fleet_wanted *wanted,
                          size_t count, const unsigned char *server);

/* A row of p11s_fleet_sql_find(). Points into the fields. */
struct p11s_fleet_row {
  const unsigned char *id;
  const unsigned char *key_id;
  const unsigned char *message;
  size_t message_len;
  const unsigned char *signature;
  size_t signature_len;        /* 0: a claim */
  const unsigned char *server; /* of a claim */
  uint64_t age_ms;             /* likewise */
  uint32_t idle_days;          /* since its use was noted last */
};
struct p11s_fleet_field;
/* For rows of one number: *arg is an uint64_t. A negative one, or none, is 0. */
void p11s_fleet_take_number(const struct p11s_fleet_field *fields, unsigned count, void *arg);
/* false when it is none of ours. */
bool p11s_fleet_row_parse(const struct p11s_fleet_field *fields, unsigned count,
                          struct p11s_fleet_row *ret);

/* How many rows there are; and the database's clock, in seconds since 1970. */
#define P11S_FLEET_SQL_COUNT "SELECT COUNT(*) FROM " P11S_FLEET_TABLE
#define P11S_FLEET_SQL_NOW "SELECT UNIX_TIMESTAMP()"
/* Takes a lock of the table's name, or says 0 at once; or gives it back, as the connection's end
   does. */
void p11s_fleet_sql_lock(struct p11s_buf *sql, bool take);
/* Ids of signatures that have expired an hour ago by the database's clock and by ours, the oldest
   first; to delete those among them. */
void p11s_fleet_sql_expired(struct p11s_buf *sql, uint32_t now, unsigned most);
void p11s_fleet_sql_delete(struct p11s_buf *sql, const unsigned char *ids, size_t count);
/* Signatures behind this id (NULL: from the first), as p11s_fleet_sql_find() has them. */
void p11s_fleet_sql_walk(struct p11s_buf *sql, const unsigned char *behind, unsigned most);

/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/secret.h"
#include "store/op.h"

/*
 * The fleet's store: the records of store/store.h in a table of a MySQL or MariaDB database
 * (docs/schema.mysql.sql), which several servers share. What stands in it is trusted as little as
 * what stands in the file.
 *
 * Two threads, each with a connection. One looks up: one statement for all callers that wait at the
 * same time. The other writes: the next statement has all that came in during the last one. No
 * other thread enters the client library, except administrators' commands. A caller waits for the
 * look-up thread until its deadline and no longer.
 *
 * Claims: a server that finds nothing and is about to sign says so in the table, in the same
 * look-up. Servers that look for the same meanwhile wait for its signature instead of making
 * another.
 *
 * When answers are late or the connection is lost, nobody asks any more until the look-up thread
 * has had a good answer again (store/fleet/health.h). Each change of that is a line in the log.
 *
 * Lock: fleet->lock, held for no call but free() and, to end a connection at exit, shutdown(). All
 * functions may be called by any thread, and with NULL. After fork() the child's calls do nothing:
 * it opens its own.
 */
struct p11s_fleet;

/* NULL, "" or 0: as option files say, else as the comment says. */
struct p11s_fleet_config {
  const char *host;             /* this machine, by socket */
  const char *socket;           /* the client library's default */
  unsigned port;                /* 3306 */
  const char *user;             /* the process's user */
  struct p11s_secret *password; /* itself, or a source as in base/secret_source.h; NULL: none */
  const char *password_file;    /* instead of password; read at each connection */
  const char *dbname;
  unsigned most_rows;  /* that the table may have, about; 0: any number */
  unsigned timeout_ms; /* the longest wait of a query for an answer of the database */
};

/* A copy of its own; NULL: no memory. */
struct p11s_fleet_config *p11s_fleet_config_copy(const struct p11s_fleet_config *config);
/* NULL is allowed. */
void p11s_fleet_config_free(struct p11s_fleet_config *config);

/* Whether this build has a client library. Also makes it ready, which must not happen in two
   threads at once: to be called before PowerDNS makes its own connections. */
bool p11s_fleet_is_built(void);

/* Copies the configuration. Starts no thread and connects to nothing: the first use does, or
   p11s_fleet_start(). P11S_ERR_HOST when this build has no client library; P11S_ERR_NOMEM. */
enum p11s_err p11s_fleet_open(const struct p11s_fleet_config *config, struct p11s_fleet **ret,
                              struct p11s_error *e);
void p11s_fleet_start(struct p11s_fleet *fleet);

/* Begins to stop: nothing is looked up any more, what is queued is still written. */
void p11s_fleet_begin_stop(struct p11s_fleet *fleet);
/* Waits for both threads until the deadline; what they are stuck in is cut off a little before. For
   an exit handler. */
bool p11s_fleet_stop(struct p11s_fleet *fleet, uint64_t deadline_ms);
/* Frees it when p11s_fleet_stop() says that both are back; else it is leaked. */
void p11s_fleet_close(struct p11s_fleet *fleet, uint64_t deadline_ms);
/* Waits until what was queued before is written or dropped, as long as the database is there. */
bool p11s_fleet_flush(struct p11s_fleet *fleet, uint64_t deadline_ms);

/* *signature_len: the size of signature, then the length. What is found was stored for this key and
   this message, as the row has it. P11S_STORE_CLAIMED only with ask->claim. */
enum p11s_store_found p11s_fleet_find(struct p11s_fleet *fleet, const struct p11s_question *q,
                                      const struct p11s_store_ask *ask, unsigned char *signature,
                                      size_t *signature_len);

/* These queue a write; one that finds the queue full is dropped and counted. key: the record's in
   the file, P11S_RECORD_KEY_LEN bytes. */
void p11s_fleet_put(struct p11s_fleet *fleet, const unsigned char *key,
                    const struct p11s_store_record *record);
/* Any other kind of write. P11S_OP_ABANDON gives a claim back. */
void p11s_fleet_queue(struct p11s_fleet *fleet, enum p11s_op_kind kind, const unsigned char *key);

struct p11s_fleet_stats {
  bool connected; /* look-ups are answered, as far as is known */
  uint64_t queued;
};
void p11s_fleet_get_stats(struct p11s_fleet *fleet, struct p11s_fleet_stats *ret);

/* -- on the caller's own thread and a connection of its own; may take minutes */

/* All signatures in the order of their ids, a few hundred at a time; those for which fn returns
   true are deleted when ret_deleted is not NULL, else fn returns whether to go on. fn NULL: all.
   P11S_ERR_HOST with what the database said. */
enum p11s_err p11s_fleet_walk(struct p11s_fleet *fleet, p11s_store_fn fn, void *arg,
                              uint64_t *ret_deleted, struct p11s_error *e);

/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/lock.h"
#include "base/service.h"
#include "store/fleet/fleet.h"
#include "store/fleet/health.h"
#include "store/fleet/connection.h"
#include "store/fleet/sql.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

/*
 * Shared by the files of this folder. fleet.c opens and ends the store and starts its threads. It
 * calls lookup.c and ask.c (look-ups, and their thread), write.c (the queue, and its thread) and
 * walk.c. These call link.c (connections, and what becomes known of the database by them).
 */

#define P11S_FLEET_FIND_S 3  /* silence after which a look-up's connection is given up */
#define P11S_FLEET_WRITE_S 5 /* a write's */

/* A thread and its connection. */
struct p11s_fleet_link {
  struct p11s_connection *conn; /* the thread's to use; set and cleared under the lock */
  pthread_cond_t wake;
  struct p11s_service thread; /* it heeds the fleet's `stopping` */
};

struct p11s_fleet {
  struct p11s_fleet_config *config; /* immutable, as the next three */
  char *where;                      /* "'signatures' on 10.0.0.1", for the log */
  unsigned generation;              /* of fork() */
  unsigned char server[P11S_FLEET_SERVER_LEN];
  atomic_bool started;
  atomic_bool full; /* of rows that are never deleted: the writing thread says so, to who puts */

  /* the look-up thread's */
  unsigned late_claims; /* in a row */
  unsigned no_claims_ms;
  uint64_t no_claims_until_ms;

  struct p11s_mutex lock; /* guards the rest */
  bool stopping;
  pthread_cond_t done; /* writes are */
  struct p11s_health health;
  char reason[P11S_ERROR_SIZE]; /* why it is down, as logged; "" */
  bool was_up;
  struct p11s_fleet_link find;
  struct p11s_fleet_link write;

  LIST_HEAD(, p11s_fleet_request) requests; /* those without an answer */
  struct p11s_op_queue queue;
};

/* -- store/fleet/link.c */

/* false: after fork(), or NULL. */
bool p11s_fleet_is_ours(const struct p11s_fleet *fleet);

/* Opens the link's connection. */
enum p11s_err p11s_fleet_connect(struct p11s_fleet *fleet, struct p11s_fleet_link *link,
                                 unsigned answer_s, struct p11s_error *e);
void p11s_fleet_disconnect(struct p11s_fleet *fleet, struct p11s_fleet_link *link);

/* What the look-up thread and its callers have seen of the database. Each change is logged. */
void p11s_fleet_note_answer(struct p11s_fleet *fleet, uint64_t took_ms);
void p11s_fleet_note_late(struct p11s_fleet *fleet);
/* No connection can be had; or, when why is NULL, the one that was there is lost. Then another is
   tried at once, and nothing is said before that has failed. */
void p11s_fleet_note_failure(struct p11s_fleet *fleet, const struct p11s_error *why);

/* Wakes both threads and everybody who waits for them. */
void p11s_fleet_wake_all_locked(struct p11s_fleet *fleet);

/* -- store/fleet/ask.c, store/fleet/lookup.c and store/fleet/write.c; as in store/fleet/fleet.h,
   for a fleet that is ours and has been started */

void p11s_fleet_ask_main(void *fleet);
void p11s_fleet_write_main(void *fleet);
enum p11s_store_found p11s_fleet_lookup(struct p11s_fleet *fleet, const struct p11s_question *q,
                                        const struct p11s_store_ask *ask, unsigned char *signature,
                                        size_t *signature_len);
void p11s_fleet_write_put(struct p11s_fleet *fleet, const unsigned char *key,
                          const struct p11s_store_record *record);
void p11s_fleet_write_queue(struct p11s_fleet *fleet, enum p11s_op_kind kind,
                            const unsigned char *key);

/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef P11S_BASE_LOCK_H
#define P11S_BASE_LOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * Deadlines on the monotonic clock, and condition variables that use it.
 *
 * Lock order of the whole core, outermost first; a thread holding one may only
 * take one further down, and holds none of them across a PKCS#11, database or
 * file call:
 *
 *   1. struct p11s_key_table .lock  keys, their references
 *   1. struct p11s_tokens .lock     which tokens there are
 *   2. struct p11s_flights .lock   signatures under way (sign/sign.c)
 *   3. struct p11s_token   .lock   queue, workers, login state
 *   4. struct p11s_key     .lock   public key until it is known, token handle
 *   5. struct p11s_job     .lock   state of one job
 *   6. struct p11s_pinguard .lock  PINs refused and accepted
 *   7. struct p11s_crowd  .lock    queries that wait, by token
 *   8. base/log.c's own            what was logged when
 *
 * Some are taken by nobody who holds one of these, and their holders take none but the log's:
 * pkcs11/module.c's own (the list of modules), pkcs11/exclusive.c's (who is in which library),
 * token/status_file.c's (what its thread is to do), ahead/ahead.c's and ahead/prepare.c's (the
 * same), struct p11s_store's (what is to be written), struct p11s_lmdb's (read transactions at
 * hand), struct p11s_mysql's (look-ups and writes that wait) and struct p11s_batch's (what a
 * command has signed). struct p11s_pinguard's .hashing is taken by nobody who holds one of these,
 * and its holder takes that struct's .lock. shim/settings.cc's is outermost of all: under it the
 * signer is made, once in a process, which opens files, as nobody can go on without. A lock on
 * STATE_DIR/refused-pins.lock (pin/marks_file.h) is a file's, and held over C_Login: that is what
 * it is for. So is the one on ahead.lock (ahead/key_locks.h), held as long as a plan.
 *
 * Whoever waits on a condition variable does so until a deadline, but for three, and nobody waits
 * for these without one: workers wait for another to come back from C_Finalize or C_Initialize
 * (pkcs11/exclusive.h, pkcs11/module.h), and admin/bulk_sign.c's threads for something to do.
 */

/* Milliseconds since some fixed point (CLOCK_MONOTONIC). */
uint64_t p11s_now_ms(void);

/* The same in microseconds. */
uint64_t p11s_now_us(void);

/* How long somebody waits, and who. */
struct p11s_wait {
  uint64_t deadline_ms; /* p11s_now_ms()'s clock */
  bool query;           /* a thread that answers UDP queries: other answers wait behind it */
  uint64_t waited_ms;   /* already, for the same query */
  bool queued;          /* other questions have been dealt to threads and wait for them */
};

/* A condition variable whose timed waits use CLOCK_MONOTONIC. */
void p11s_cond_init(pthread_cond_t *cond);

/* Waits until signalled or until p11s_now_ms() reaches deadline_ms; false when it has. */
bool p11s_cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t deadline_ms);

/* Locks, or gives up at deadline_ms with false: for an exit handler, which may have interrupted the
   very thread that holds the lock. Looks again every millisecond. */
bool p11s_mutex_lock_until(pthread_mutex_t *mutex, uint64_t deadline_ms);

#endif

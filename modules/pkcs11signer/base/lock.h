/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * Deadlines on the monotonic clock, mutexes with a rank, and condition variables for both.
 *
 * A thread that holds a lock takes only locks of a later rank, and makes no PKCS#11, database or
 * file call. In a build with a sanitizer (P11S_CHECK_LOCKS) the process aborts where a thread
 * breaks the order. shim/signer.cc's lock has no rank: it is outermost, and under it the signer
 * is made, once in a process.
 *
 * A lock on STATE_DIR/refused-pins.lock (pin/marks_file.h) is a file's, and held over C_Login: that
 * is what it is for. So is the one on ahead.lock (ahead/key_locks.h), held as long as a plan.
 *
 * Waits on a condition variable have a deadline. There are three exceptions, and whoever waits for
 * their threads has a deadline: a worker waits until another one has come back from C_Finalize
 * (pkcs11/exclusive.h) or C_Initialize (pkcs11/module.h), and admin/bulk_sign.c's threads wait for
 * work.
 */

enum p11s_rank {
  P11S_RANK_PIN_HASH,  /* one hash of a PIN at a time */
  P11S_RANK_KEY_TABLE, /* keys, their references */
  P11S_RANK_TOKENS,    /* which tokens there are */
  P11S_RANK_FLIGHTS,   /* signatures under way */
  P11S_RANK_TOKEN,     /* queue, workers, login state */
  P11S_RANK_KEY,       /* token handle, the look-up under way */
  P11S_RANK_JOB,       /* state of one job */
  P11S_RANK_PINGUARD,  /* PINs refused and accepted */
  P11S_RANK_CROWD,     /* queries that wait, by token */
  P11S_RANK_ALONE,     /* any that nobody takes who holds another */
  P11S_RANK_LOG,       /* what was logged when */
};

struct p11s_mutex {
  pthread_mutex_t mutex;
  enum p11s_rank rank;
};
#define P11S_MUTEX_INIT(rank)                                                                      \
  {                                                                                                \
    PTHREAD_MUTEX_INITIALIZER, rank                                                                \
  }
void p11s_mutex_init(struct p11s_mutex *mutex, enum p11s_rank rank);
void p11s_mutex_destroy(struct p11s_mutex *mutex);
void p11s_lock(struct p11s_mutex *mutex);
void p11s_unlock(struct p11s_mutex *mutex);
/* false: somebody has it. */
bool p11s_trylock(struct p11s_mutex *mutex);

/* Milliseconds since some fixed point (CLOCK_MONOTONIC). */
uint64_t p11s_now_ms(void);

/* The same in microseconds. */
uint64_t p11s_now_us(void);

/* Sleeps. A signal may end it earlier. */
void p11s_pause(unsigned ms);

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
bool p11s_cond_wait_until(pthread_cond_t *cond, struct p11s_mutex *mutex, uint64_t deadline_ms);

/* Waits until signalled. */
void p11s_cond_wait(pthread_cond_t *cond, struct p11s_mutex *mutex);

/* Locks, or gives up at deadline_ms with false: an exit handler may have interrupted the very
   thread that holds the lock. Tries every millisecond. */
bool p11s_mutex_lock_until(struct p11s_mutex *mutex, uint64_t deadline_ms);

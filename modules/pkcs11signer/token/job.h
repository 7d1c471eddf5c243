/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/lock.h"
#include "base/err.h"
#include "base/secret.h"
#include "pkcs11/session.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

/*
 * One piece of work for a token's worker, and the caller's way to wait for it.
 *
 * A concrete job embeds struct p11s_job as its first member. It is
 * reference-counted: the caller, the token's queue and the worker each hold
 * a reference, so a caller that stops waiting at its deadline leaves nothing
 * dangling, and a worker that hangs holds only what it was given.
 */
struct p11s_job;

/* What a worker has for a job. */
struct p11s_token;
struct p11s_work {
  struct p11s_session *session; /* open, and logged in where the token wants it */
  struct p11s_token *token;
  struct p11s_secret *pin; /* the job's */
  uint64_t epoch;          /* changes whenever object handles may have become invalid */
  bool unasked;            /* the job's */
};

/* In a worker: whether the job's PIN is the one the token is logged in with, however that came
   about. A reference without the right PIN must not use what another one unlocked. Makes no login.
 */
enum p11s_err p11s_work_prove_pin(const struct p11s_work *work, struct p11s_error *e);

/* Tokens that want no login by what they say (CKF_LOGIN_REQUIRED is not set) may hide private keys
 * until there is one. All in a worker. */
/* Whether this one may: nobody is logged in. */
bool p11s_work_may_hide_keys(const struct p11s_work *work);
/* When a key was not to be seen, which *e says: logs in, under the guard's rules. Not P11S_OK: then
 *e is as it was where there is no PIN, else it says why the login failed as well. */
enum p11s_err p11s_work_log_in(const struct p11s_work *work, struct p11s_error *e);
/* That brought the key forth. From then on p11s_work_prove_hidden() does for keys that are
   CKA_PRIVATE what p11s_work_prove_pin() does for other tokens' keys. */
void p11s_work_note_hidden(const struct p11s_work *work);
enum p11s_err p11s_work_prove_hidden(const struct p11s_work *work, CK_OBJECT_HANDLE key,
                                     struct p11s_error *e);

/* In a worker: whether the token signs with the hashing mechanism of this algorithm, although it
   lists the other one, which it refused. Remembered for all its keys. No lock, no wait. */
bool p11s_work_hashes(const struct p11s_work *work, const struct p11s_algorithm *alg);
/* cause: how it refused the other one, for the log. */
void p11s_work_note_hashes(const struct p11s_work *work, const struct p11s_algorithm *alg,
                           bool hashes, const char *cause);

struct p11s_job_ops {
  /* In a worker. Called again, on a fresh session, when it ended with a CK_RV that
     p11s_rv_is_lost() knows, or for another reason that a fresh session may cure; three times in
     all at most. */
  enum p11s_err (*run)(struct p11s_job *job, struct p11s_work *work, struct p11s_error *e);
  /* In a worker, or wherever submitting failed, once, after waiters can see the result. May be
   * NULL. */
  void (*finished)(struct p11s_job *job);
  void (*destroy)(struct p11s_job *job);
  bool rw;      /* wants a read/write session */
  bool unasked; /* no query waits for it: gives no PIN that may be tried anew at each start
                   (pin/guard.h) */
};

TAILQ_HEAD(p11s_job_list, p11s_job);
struct p11s_job {
  const struct p11s_job_ops *ops; /* immutable */
  struct p11s_secret *pin;        /* immutable; the reference's PIN or PIN source, may be NULL */
  uint64_t lane;                  /* immutable once submitted; whose turn: token/queue.h. 0 and */
  bool urgent;                    /* true from p11s_job_init() */
  bool signs; /* immutable likewise; one signature, no more: its time counts (token/speed.h) */
  atomic_uint refs;
  /* guarded by the token's lock from when it is submitted */
  bool background;      /* for when there is nothing else to do, and nobody has asked for it */
  unsigned waiters;     /* as p11s_token_await() counts them, and p11s_token_run() */
  struct p11s_lane *in; /* of the queue; NULL: not queued */
  TAILQ_ENTRY(p11s_job) in_list;

  struct p11s_mutex lock; /* guards the rest */
  pthread_cond_t changed;
  bool done;
  struct p11s_error error; /* code P11S_OK: success */
};

/* The first reference is the caller's; pin gets a reference of its own. */
void p11s_job_init(struct p11s_job *job, const struct p11s_job_ops *ops, struct p11s_secret *pin);
struct p11s_job *p11s_job_acquire(struct p11s_job *job);
/* The last reference calls ops->destroy, which must call p11s_job_fini and free. NULL is allowed.
 */
void p11s_job_release(struct p11s_job *job);
void p11s_job_fini(struct p11s_job *job);

/* Sets the result, wakes the waiters, calls ops->finished. Once per job. */
void p11s_job_finish(struct p11s_job *job, const struct p11s_error *result);

/* Whether there is a result. */
bool p11s_job_is_done(struct p11s_job *job);

/* Waits for the result. P11S_ERR_TIMEOUT when deadline_ms (p11s_now_ms) comes first. */
enum p11s_err p11s_job_wait(struct p11s_job *job, uint64_t deadline_ms, struct p11s_error *e);

/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/lock.h"
#include "token/admission.h"
#include "pin/guard.h"
#include "token/queue.h"
#include "token/token.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

/* Shared by token/token.c (queue), token/token_state.c (what is known of it), token/token_login.c,
   token/token_look.c, token/worker.c (threads) and token/tokens.c; nobody else includes it. */

/* A thread that takes jobs. On its own stack, in token->list from start to end. */
struct p11s_worker {
  struct p11s_token *token;
  struct p11s_session *session;     /* NULL until needed, and after it was lost */
  uint64_t series;                  /* token->series when the session was opened */
  uint64_t life;                    /* the library's, likewise */
  uint64_t opened_ms;               /* when the session was there, and logged in */
  bool counted_out;                 /* no longer among token->workers */
  bool unasked;                     /* no query waits for what it does (pin/guard.h) */
  struct p11s_exclusive *exclusive; /* of the library; immutable */
  /* Starts workers for what was queued while nobody knew how many sessions there are: called with
     token->lock, when the first session is open. immutable */
  void (*start_more_locked)(struct p11s_token *token);

  /* guarded by token->lock */
  LIST_ENTRY(p11s_worker) in_list;
  uint64_t busy_since_ms; /* 0: has no job */
  unsigned sharing;       /* how many were busy when the job began, this one too */
  bool comes_back;        /* from a job, without another call to the token */
};

struct p11s_token {
  SLIST_ENTRY(p11s_token) in_table; /* guarded by the table's lock (token/tokens.c) */
  char *engine;                     /* immutable, like slot and config */
  char *slot;
  struct p11s_token_config config;
  struct p11s_admission_token crowd; /* guarded by config.crowd's lock */

  struct p11s_mutex lock; /* guards everything below */
  pthread_cond_t work;    /* a job was queued, the state changed, or stopping was set */
  pthread_cond_t change;  /* a worker ended, or one of the two …_busy was cleared */
  bool stopping;
  struct p11s_queue *queue;
  bool limit_known;    /* a session has been open: the token has said how many it has */
  unsigned limit;      /* sessions the token has room for, as far as is known; 1 until then */
  unsigned most;       /* what limit may grow to again */
  uint64_t limited_ms; /* when CKR_SESSION_COUNT last made limit smaller, or it grew again */
  unsigned alive;      /* worker threads that may still touch the token */
  bool have_ended;
  pthread_t ended;       /* the one that ended last; it joins the one before it */
  unsigned workers;      /* those that take jobs */
  unsigned idle;         /* of these, those that wait for a job or come back for one */
  unsigned with_session; /* workers that hold a session or are about to open one */
  LIST_HEAD(worker_list, p11s_worker) list;
  bool login_busy;      /* one worker is in C_Login */
  bool asked;           /* for more than what nobody waits for (p11s_job_ops) */
  bool consent_busy;    /* one worker signs with a key that wants a login for it (always_auth.h) */
  uint64_t login_tries; /* how often one began */
  uint64_t epoch;
  uint64_t life; /* the library's when a session was last opened */
  struct p11s_token_stats stats;

  /* token/token_state.c */
  uint64_t idle_us;       /* no worker was at a job, until idle_from_us, */
  uint64_t idle_from_us;  /* and since then; 0: one is */
  atomic_bool retired;    /* written under the lock */
  atomic_bool rw_only;    /* it refused a read-only session and gave a read/write one; no lock */
  atomic_bool hides_keys; /* p11s_work_note_hidden(); no lock */
  atomic_uint hashes;     /* p11s_work_hashes(), a bit for each number of an algorithm; no lock */
  enum p11s_token_state state; /* never STUCK or NO_LOGIN: stuck and no_login say that */
  uint64_t since_ms;
  struct p11s_error trouble;        /* why it is away */
  struct p11s_error no_login;       /* why the last login failed; its text is "" when it did not, */
  uint64_t no_login_ms;             /* else since when none has succeeded, */
  struct p11s_secret *no_login_pin; /* and with which PIN of a reference; NULL: the setting's */
  uint64_t series;                  /* sessions of an earlier one are of no use */
  bool stuck;                       /* no call comes back */
  unsigned overdue;                 /* queries that met their deadline since progress_ms */
  uint64_t progress_ms;             /* a job ended, or began when none was running */
  uint64_t tried_ms;                /* when a query was last let through although stuck */
  struct p11s_worker *prober;       /* looks for a token that is away, or at one that nobody asks */
  uint64_t probe_ms;                /* when it does so next */
  uint64_t seen_ms; /* the token was seen to be as state and no_login say; 0: never */
  bool have_probe_pin;
  struct p11s_secret *probe_pin; /* the last login's; without one, the job's that found it away */
  struct p11s_slot_info found;   /* as the token last said */
};

/* -- token/worker.c */

/* Starts a worker; it counts itself out of token->workers when it ends. token->lock is held. */
bool p11s_worker_start_locked(struct p11s_token *token);

/* -- token/worker_session.c; in a worker, without locks */

/* A session for the job: the worker's own, or one for this job alone when it must write (the
   worker closes it). Opened and logged in when there is none of use. */
enum p11s_err p11s_worker_session_for(struct p11s_worker *w, const struct p11s_job *job,
                                      struct p11s_session **ret, struct p11s_error *e);
/* Opens and logs in a session, read/write for one job alone, or else for the worker to keep. */
enum p11s_err p11s_worker_new_session(struct p11s_worker *w, bool rw, struct p11s_secret *pin,
                                      struct p11s_session **ret, struct p11s_error *e);
/* Whether the worker's session, which it must have, is there still and logged in; *ret_info is then
   what the token says now. */
bool p11s_worker_session_is_good(struct p11s_worker *w, struct p11s_slot_info *ret_info);
/* Closes the worker's session if it has one; handles found through it are not to be believed any
   more. */
void p11s_worker_drop_session(struct p11s_worker *w);
/* Behind calls to the token: somebody in this process may have finalized its library. */
void p11s_worker_look_after_module(const struct p11s_worker *w, enum p11s_err result,
                                   const struct p11s_error *error);
/* After a failure: does what some libraries need besides a fresh session (pkcs11/restart.h). epoch:
   the token's when there was a session for it; NULL when there was none. True: it is worth another
   try, whatever it was. */
bool p11s_worker_recover(struct p11s_worker *w, const struct p11s_error *error,
                         const uint64_t *epoch);
/* The same after the second failure in a row with a session. */
bool p11s_worker_recover_again(struct p11s_worker *w, const struct p11s_error *error);

/* -- token/token_login.c */

/* In a worker: logs the session in with the PIN given, or the one that pkcs11signer-pin-source has
   when NULL, unless the token is logged in already. One worker at a time; a PIN known to be
   refused is not tried. unasked: as in p11s_pin_guard_enter(). token->lock is not held. */
enum p11s_err p11s_token_log_in(struct p11s_token *token, struct p11s_session *session,
                                struct p11s_secret *given, bool unasked, struct p11s_error *e);
/* In a worker: after a failed login, whether a job would still fail for a reason that can be told
   without a try; notes the reason of now, or that there is none. false: that cannot be told. */
bool p11s_token_review_login(struct p11s_token *token, CK_FUNCTION_LIST *module,
                             const struct p11s_slot_info *info);

/* -- token/token_look.c */

/* In a worker: looks at a token that nobody has asked for a while, and at the worker's session if
   it has one. A session that is not good any more is replaced, with a login. */
void p11s_worker_look(struct p11s_worker *w);
/* Whether this worker has to look for the token, or at it, now; it becomes the one who does so.
   When not yet: *ret_wake_ms is made earlier, to when it has to. */
bool p11s_token_probe_due_locked(struct p11s_token *token, struct p11s_worker *w,
                                 uint64_t *ret_wake_ms);
/* What the token says of itself. */
void p11s_token_note_found(struct p11s_token *token, const struct p11s_slot_info *info);
/* Looks for a token that is away as a job would: with a session and a login. */
void p11s_worker_probe(struct p11s_worker *w);

/* -- token/token_state.c */

/* How often a token that is away is looked for. */
#define P11S_PROBE_EVERY_MS 1000
/* How often a limit that CKR_SESSION_COUNT has set is raised by one again. */
#define P11S_LIMIT_GROWS_EVERY_MS 60000

/* What the outcome of a job, or of looking for the token, says about it. series: of the session
   that the job had, NULL when it got none. Logs a change. Not locked. */
void p11s_token_note_outcome(struct p11s_token *token, enum p11s_err result,
                             const struct p11s_error *error, const uint64_t *series,
                             struct p11s_secret *pin);

/* Workers that have been at a job, or a look at the token, for so long. */
unsigned p11s_token_busy_locked(const struct p11s_token *token, unsigned for_ms);

/* A worker begins a job, or has ended it (or handed it back) with a session to go on with (good);
   true: it took so long that the session is not to be trusted any more. */
void p11s_token_note_begin_locked(struct p11s_token *token, struct p11s_worker *w);
bool p11s_token_note_end(struct p11s_token *token, struct p11s_worker *w, bool ended, bool good);

/* Whether one more worker may be started: fewer than the token has sessions, or, while it is stuck,
   than it would have without those that hang. */
bool p11s_token_has_room_locked(struct p11s_token *token);

/* Whether to wait for the token at all; see p11s_token_await(). error is filled when not.
 *ret_signature_ms: how long a signature takes; 0: not known. */
enum p11s_err p11s_token_admit(struct p11s_token *token, bool query, uint64_t *ret_signature_ms,
                               struct p11s_error *error);
/* A query's deadline has passed. */
void p11s_token_note_overdue(struct p11s_token *token);

/* Which PIN (NULL: the setting's) looking for the token takes; the former one is the caller's to
   release when the lock is not held any more. */
struct p11s_secret *p11s_token_set_probe_pin_locked(struct p11s_token *token,
                                                    struct p11s_secret *pin);

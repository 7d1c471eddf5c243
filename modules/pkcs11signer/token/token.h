/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/err.h"
#include "token/job.h"
#include "base/lock.h"
#include "token/speed.h"
#include "pkcs11/slot.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * A token as references name it (Engine + Slot): a queue of jobs (token/queue.h), and
 * worker threads that each hold one PKCS#11 session. Only these threads enter
 * the PKCS#11 library on behalf of PowerDNS.
 *
 * Workers are started when work waits and none is idle, at most `sessions`,
 * fewer when the token says so (ulMaxSessionCount, CKR_SESSION_COUNT), and one
 * until the first session has told how many there can be. A worker
 * that holds no session ends after a minute without work, but for the one that
 * looks at the token. Signals are blocked in them, so that PowerDNS handles its own.
 *
 * Workers of a pdnsutil that root runs use the token as the state directory's owner (base/owner.h).
 *
 * Login belongs to the token: one worker at a time logs in, with the PIN of
 * the job at hand. A PIN that the token refused is not tried again (pin/guard.h).
 *
 * token->lock guards queue, workers, login and epoch; it is not held across a
 * PKCS#11 call (base/lock.h has the order). Threads do not survive fork(): a child
 * needs a signer, and so tokens, of its own (base/fork.h).
 */
struct p11s_token;
struct p11s_admission;
struct p11s_pin_guard;

struct p11s_token_config {
  unsigned sessions;      /* most workers, at least 1 */
  const char *pin_source; /* pkcs11signer-pin-source, may be NULL; borrowed for the token's life */
  struct p11s_pin_guard *guard; /* shared by all tokens of the process; borrowed likewise */
  struct p11s_admission *crowd; /* the queries that wait, likewise; NULL: not counted */
  unsigned stuck_ms;            /* a call that takes longer hangs; 0: none ever does */
};

/*
 * What is known of a token without asking it:
 *
 *   untried  no job has ended yet
 *   ready    the last one got as far as a session
 *   no-login the same, but the last login failed: what needs a new signature fails for the same
 *            reason, until a login succeeds or there is nothing any more that is against one.
 *            Each job may try one (pin/guard.h says which are).
 *   away     there was no token, module or session to be had, twice in a row.
 *            Requests fail at once with the reason. One worker looks for it
 *            every second; when it is back, sessions, login and handles are new.
 *   stuck    three queries have met their deadline, and no call has come back
 *            for stuck_ms. Queries fail at once, others may wait; one query in
 *            five seconds is let through on a session of its own. The first
 *            call that comes back ends it.
 *
 * A token that no job has asked for P11S_LOOK_EVERY_MS is looked at (token/token_look.c): a
 * session, if one is open, else the slots, and what the token says of its PIN. No login is tried,
 * but to replace a session that was lost. Not while another call hangs: what is known is then as
 * old as seen_ms says.
 */
#define P11S_LOOK_EVERY_MS 30000
enum p11s_token_state {
  P11S_TOKEN_UNTRIED,
  P11S_TOKEN_READY,
  P11S_TOKEN_NO_LOGIN,
  P11S_TOKEN_AWAY,
  P11S_TOKEN_STUCK,
};
/* "ready". Static. */
const char *p11s_token_state_name(enum p11s_token_state state);

/* Copies the two names; starts no thread and makes no call. NULL: no memory. */
struct p11s_token *p11s_token_new(const char *engine, const char *slot,
                                  const struct p11s_token_config *config);
/* Stops and frees; a worker that does not come back is left behind together with the token. NULL is
   allowed. */
void p11s_token_free(struct p11s_token *token);

const char *p11s_token_engine(const struct p11s_token *token);
const char *p11s_token_slot(const struct p11s_token *token);

/* Queues the job (with a reference of its own); nobody waits for it yet. What keeps the token away
   when it is, P11S_ERR_STOPPED, P11S_ERR_NOMEM when no thread can be had; the job is then not
   finished here. When too many are like that (token/queue.h), the oldest is finished with
   P11S_ERR_BUSY, in this thread. */
enum p11s_err p11s_token_submit(struct p11s_token *token, struct p11s_job *job,
                                struct p11s_error *e);

/* Submits, waits, and returns the job's result; a job that could not be submitted is finished with
   the error, so that others who wait for it see it too. */
enum p11s_err p11s_token_run(struct p11s_token *token, struct p11s_job *job, uint64_t deadline_ms,
                             struct p11s_error *e);

/* Waits for a job, submitting it first when it is new, as p11s_token_run() does, but no longer than
   makes sense: not at all for a token that is away, nor, for a query, when the token is
   stuck or too many queries wait already (token/admission.h; P11S_ERR_BUSY). In the last case the
   signature is made when nobody waits for another one. A job that was submitted with
   job->background set is one of the others from now on. */
enum p11s_err p11s_token_await(struct p11s_token *token, struct p11s_job *job, bool is_new,
                               struct p11s_wait wait, struct p11s_error *e);

/* For who has work that can wait: whether the token has nothing to do, and is not known to be away
   or stuck. *ret_idle_us: for how long, in all, no call to it was under way since it was made. */
bool p11s_token_is_free(struct p11s_token *token, uint64_t *ret_idle_us);

/* No row names the token any more: its sessions are closed, its workers end, and nobody looks for
   it until p11s_token_revive() or the next job. Says so in the log. false: it has work to do. */
bool p11s_token_retire(struct p11s_token *token);
/* A row names it. No lock when it is not retired. */
void p11s_token_revive(struct p11s_token *token);

/* Finishes waiting jobs with P11S_ERR_STOPPED and waits for the workers until deadline_ms; false
   when one did not come back. Safe in an exit handler: gives up on a lock that is not to be had. */
bool p11s_token_stop(struct p11s_token *token, uint64_t deadline_ms);

/* Counters, for tests and statistics. */
struct p11s_token_stats {
  unsigned workers;
  unsigned queued;
  uint64_t jobs;     /* finished */
  uint64_t sessions; /* opened */
  uint64_t logins;   /* C_Login calls */
  enum p11s_token_state state;
  bool retired;                  /* no row names it */
  uint64_t since_ms;             /* of the state, on p11s_now_ms()'s clock; 0 while untried */
  uint64_t seen_ms;              /* when the token was last seen in it, likewise */
  uint64_t reconnects;           /* away and back again */
  struct p11s_speed rate;        /* of its signatures */
  unsigned room;                 /* sessions it has for us, as far as is known; 0: not yet */
  struct p11s_slot_info found;   /* the token of that name as it last said; zeros: never found */
  char trouble[P11S_ERROR_SIZE]; /* why it is away or there is no login; else "" */
};
void p11s_token_get_stats(struct p11s_token *token, struct p11s_token_stats *ret);

/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef P11S_AHEAD_INTERNAL_H
#define P11S_AHEAD_INTERNAL_H

#include "ahead/ahead.h"
#include "ahead/key_locks.h"
#include "ahead/gone.h"
#include "ahead/plan.h"
#include "ahead/retire.h"
#include "store/store.h"
#include "ahead/zones.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Shared by ahead/ahead.c (the thread), ahead/look.c (what there is to do), ahead/keys.c (whose
   keys they are), ahead/work.c (one token's signatures) and the command sign-ahead. */

/* -- ahead/keys.c */

/* The keys of this process that a plan needs; held until they are let go. */
struct p11s_ahead_keys {
  struct p11s_key **key; /* by the plan's number; NULL: not known here */
  size_t count;
};
/* Finds them by their public halves; of several references to one key, the one that is in use, or
   was last. false: no memory. */
bool p11s_ahead_keys_find(struct p11s_ahead_keys *keys, const struct p11s_plan *plan,
                          struct p11s_key_table *table);
void p11s_ahead_keys_release(struct p11s_ahead_keys *keys);

/* -- ahead/work.c */

/* A token at work on its part of a plan. */
struct p11s_ahead_token {
  struct p11s_token *token;
  uint32_t number; /* in the plan */
  struct p11s_plan_cursor cursor;
  bool exhausted; /* nothing is left */
  bool elsewhere; /* something was left to other servers since the cursor's beginning */
  size_t left;    /* to begin */

  struct p11s_job *job; /* under way */
  struct p11s_plan_task task;
  bool begun;
  uint64_t begun_us;
  uint64_t idle_at_us; /* the token's idle time then */
  uint64_t took_us;
  unsigned failures; /* in a row */
  uint64_t not_before_us;
};

struct p11s_ahead_work {
  struct p11s_flights *flights;
  struct p11s_store *store;
  struct p11s_plan *plan;
  struct p11s_zones *zones; /* NULL: the plan is not asked whether it still holds */
  struct p11s_ahead_keys keys;
  unsigned rate;
  bool shared;              /* what another server of the fleet is making is left to it */
  uint32_t deadline;        /* seconds since 1970; when all is to be done */
  void (*ended)(void *arg); /* a job has; called in a worker */
  void *ended_arg;
};

/* Does what there is to do for the token now; never waits. *ret_wait_us: when to call again at the
   latest, unless ended() is called before. true: a signature has been made since. */
bool p11s_ahead_step(struct p11s_ahead_work *work, struct p11s_ahead_token *token,
                     uint64_t *ret_wait_us);

/* The next signature of the plan that is not there yet: begins it. false: there is none
   (exhausted), or none now; or it failed, and e says why. */
bool p11s_ahead_begin(struct p11s_ahead_work *work, struct p11s_ahead_token *token,
                      struct p11s_error *e);
/* Its result, when there is one: true. */
bool p11s_ahead_end(struct p11s_ahead_work *work, struct p11s_ahead_token *token,
                    struct p11s_error *ret_result);

/* -- ahead/ahead.c and ahead/look.c, in the thread */

struct p11s_ahead {
  struct p11s_ahead_config config; /* immutable */
  pthread_t thread;
  atomic_bool stop; /* for who is in the middle of something */
  _Atomic(uint64_t) missing;
  _Atomic(uint64_t) until;

  pthread_mutex_t lock; /* guards the next three */
  pthread_cond_t wake;  /* a signature is made, to stop, or the thread has ended */
  bool woken;
  bool stopping;
  bool ended;

  /* the thread's own */
  struct p11s_ahead_work work; /* plan: NULL when there is nothing to be done */
  struct p11s_claims claims;
  struct p11s_ahead_token *tokens;
  size_t token_count;
  uint32_t week; /* of the last look */
  bool looked;
  bool zones_changed; /* since then */
  bool doubtful;      /* of some RRset there were several contents */
  struct p11s_gone gone;
  struct p11s_retire retire;
  uint64_t refreshed_ms;
  uint64_t looked_ms; /* when it ended, */
  uint64_t look_ms;   /* how long it took, */
  uint64_t activity;  /* and what had been asked for until then */
  uint64_t budget_ms;
  bool budget_stale;
  bool crowded;
  uint64_t made;            /* since the last that was said */
  uint64_t said_until;      /* in the log */
  enum p11s_budget_why why; /* likewise */
  uint32_t warned;          /* the week for which it was said that it is late */
};

/* Whether it is time for another look: something was asked for since, or the week has turned. */
bool p11s_ahead_look_is_due(const struct p11s_ahead *a);
/* Asks the database about zones whose answers are old, and which tokens its rows name. */
void p11s_ahead_refresh(struct p11s_ahead *a);
/* Makes the plan anew, and says which token makes what: work.plan is NULL when the store cannot be
   read, or memory is short. */
void p11s_ahead_look(struct p11s_ahead *a);
/* Lets go of plan, keys and claims. What is under way is made and stored all the same. */
void p11s_ahead_drop_plan(struct p11s_ahead *a);
/* Counts what is missing and until when the store suffices. There is a plan. */
void p11s_ahead_update_budget(struct p11s_ahead *a);

#endif

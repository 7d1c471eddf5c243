/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "ahead/plan.h"
#include "ahead/zones.h"
#include "base/err.h"
#include "sign/key_table.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Making what a plan says is missing: the keys it is about, and one token's part of it. For the
 * thread that signs ahead, and for the command sign-ahead. No locks: one thread at a time.
 */
struct p11s_flights;
struct p11s_job;

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
  uint64_t begun_us;   /* 0: nothing has yet */
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
  bool crowded;             /* the store keeps DNSKEY signatures only: no others are begun */
  uint32_t deadline;        /* seconds since 1970; when all is to be done */
  void (*ended)(void *arg); /* a job has; called in a worker */
  void *ended_arg;
};

/* Does what there is to do for the token now; never waits. *ret_wait_us: when to call again at the
   latest, unless ended() is called before. true: a signature has been made since. */
bool p11s_ahead_step(struct p11s_ahead_work *work, struct p11s_ahead_token *token,
                     uint64_t *ret_wait_us);

/* To the beginning of the token's part. */
void p11s_ahead_rewind(const struct p11s_ahead_work *work, struct p11s_ahead_token *token);
/* The next signature of the plan that is not there yet: begins it. false: there is none
   (exhausted), or none now; or it failed, and e says why. */
bool p11s_ahead_begin(struct p11s_ahead_work *work, struct p11s_ahead_token *token,
                      struct p11s_error *e);
/* Its result, when there is one: true. */
bool p11s_ahead_end(struct p11s_ahead_work *work, struct p11s_ahead_token *token,
                    struct p11s_error *ret_result);

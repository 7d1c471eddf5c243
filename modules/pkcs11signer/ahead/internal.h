/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/service.h"
#include "ahead/ahead.h"
#include "ahead/gone.h"
#include "ahead/key_locks.h"
#include "ahead/retire.h"
#include "ahead/work.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Shared by ahead/ahead.c (the thread) and ahead/look.c (what there is to do). */

struct p11s_ahead {
  struct p11s_ahead_config config; /* immutable */
  struct p11s_service thread;
  _Atomic(uint64_t) missing;
  _Atomic(uint64_t) until;
  bool woken; /* a signature has been made since the last step; guarded by thread.lock */

  /* the thread's own */
  struct p11s_ahead_work work; /* plan: NULL when there is nothing to be done */
  struct p11s_key_locks key_locks;
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
/* Lets go of plan, keys and their locks. What is under way is made and stored all the same. */
void p11s_ahead_drop_plan(struct p11s_ahead *a);
/* Counts what is missing and until when the store suffices. There is a plan. */
void p11s_ahead_update_budget(struct p11s_ahead *a);

/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "store/calendar.h"
#include "store/bar.h"
#include "store/lmdb.h"

#include <stdatomic.h>

/*
 * Keeps a store's file below its limit, and deletes signatures from it.
 *
 * Expired signatures go within about two hours, as far as the clock can be believed
 * (store/calendar.h). When the file is nearly full, signatures of least use go as well: first those
 * that were made up for one question (store/worth.h), then those of zones that have more than their
 * share of the file (store/share.h). The file notes which zones have lost something of use. What is
 * worth no more than that is not taken until there is room again (store/bar.h). "Nearly full"
 * leaves the space that one batch of writes needs while other processes still read what the batch
 * replaces.
 *
 * A page stays in use until nearly all of its signatures are deleted; new ones are written where
 * the deleted ones were. So there may be room although as many pages are in use as may be.
 *
 * All deletions are short transactions. For the store's thread only; no locks.
 */
struct p11s_eviction {
  struct p11s_lmdb *db; /* set by the caller, as the next three */
  uint64_t limit_bytes;
  bool (*goes_on)(void *arg); /* asked between transactions that make room */
  void *arg;

  /* the sweep, which deletes expired signatures */
  struct p11s_lmdb_place place;
  int64_t round_s; /* CLOCK_BOOTTIME when this round began */
  struct p11s_calendar calendar;
  struct p11s_census counted; /* in this round */
  struct p11s_census census;  /* in the last round */
  bool has_census;            /* there was a round since the clock has jumped */
  int days_off;               /* of the clock, as the log says */

  /* room */
  struct p11s_lmdb_place hand; /* where the last eviction has ended */
  atomic_bool crowded;         /* signatures of use had to go, until a fifth is free; any thread */
  struct p11s_bar bar;         /* while it is crowded */
  uint64_t bytes;              /* of records, about; since the first eviction */
  uint64_t most_bytes;         /* of records that go into the pages that may be in use */
  atomic_bool full;            /* of signatures that never go; any thread */
  int64_t full_s;              /* CLOCK_BOOTTIME when that was found out */
  bool said_full;              /* in the log */
};

/* How much of a store of that size may be in use before signatures of least use go. */
uint64_t p11s_evict_most(uint64_t limit_bytes);
/* How much of it may be in use at all. */
uint64_t p11s_evict_brim(uint64_t limit_bytes);
/* How large a store must be for so many bytes to be in use. */
uint64_t p11s_evict_limit_for(uint64_t bytes);

/* Goes on with the sweep by a few thousand records. A round through the file begins once an hour at
   most. The first round, and the first one after a jump of the clock, deletes nothing: it sees of
   which weeks the signatures are. Says in the log when the clock is not theirs. */
void p11s_evict_expired(struct p11s_eviction *ev);

/* To be called before each batch of writes. Deletes signatures when the file is nearly full, until
   a tenth of it is free: the expired ones, and of the others no more than that takes. Takes two
   seconds for a million signatures when there is something to delete. */
void p11s_evict_for(struct p11s_eviction *ev, const struct p11s_ops *batch);

/* Nothing that may go is left: found out in the last minute. */
bool p11s_evict_is_full(const struct p11s_eviction *ev);
/* Whether so many bytes can be written when pages of used_bytes are in use. */
bool p11s_evict_has_room(const struct p11s_eviction *ev, uint64_t used_bytes, uint64_t bytes);
/* The bytes that a write takes. */
uint64_t p11s_evict_size(const struct p11s_op *op);
/* The write has been done. */
void p11s_evict_note_written(struct p11s_eviction *ev, const struct p11s_op *op);

/* As p11s_lmdb_add_losses(); a failure is said in the log. */
void p11s_evict_note_losses(struct p11s_eviction *ev, const struct p11s_lmdb_loss *losses,
                            size_t count);

/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef P11S_STORE_EVICT_H
#define P11S_STORE_EVICT_H

#include "store/calendar.h"
#include "store/bar.h"
#include "store/lmdb.h"

/*
 * What is deleted from a store: signatures that have expired, within two hours or so, as far as the
 * clock can be believed (store/calendar.h); and when the file is nearly full those of least use:
 * what was made up for one question first (store/worth.h), then of zones that have more than their
 * share of the file (store/share.h). Which zones have lost something of use is noted in the file;
 * what is worth no more than that is not taken until there is room again (store/bar.h). Nearly full
 * leaves room for what one batch of writes needs while other processes still read what it replaces.
 *
 * A page from which signatures are deleted stays in use until nearly all of it are gone; others are
 * written where they were. So there may be room though as many pages are in use as may be.
 *
 * All in short transactions. For the store's thread only; no locks.
 */
struct p11s_room {
  size_t limit_bytes;
  struct p11s_place place; /* of the sweep */
  struct p11s_place hand;  /* up to where the last signatures were deleted to make room */
  struct p11s_calendar calendar;
  int64_t round_s;            /* when the sweep began at the beginning, of CLOCK_BOOTTIME */
  struct p11s_census counted; /* in this round, and */
  struct p11s_census census;  /* in the last one; */
  bool has_census;            /* there was one since the clock has jumped */
  int days_off;               /* of the clock, as was said */
  bool crowded;               /* more than what is past had to go; until a fifth is free */
  struct p11s_bar bar;        /* while it is crowded */
  uint64_t bytes;             /* of records in it, about, since some had to go, */
  uint64_t most_bytes;        /* and how many go into so many pages as may be in use */
  bool full;                  /* of what never goes; */
  int64_t full_s;             /* as was found out then, of CLOCK_BOOTTIME, */
  bool said_full;             /* and said */
};

/* How much of a store of that size may be in use before signatures of least use go. */
uint64_t p11s_room_most(uint64_t limit_bytes);
/* And how much at most. */
uint64_t p11s_room_brim(uint64_t limit_bytes);
/* How large a store must be for so many bytes to be in use. */
uint64_t p11s_room_limit_for(uint64_t bytes);

/* Goes on with the sweep: a few thousand records. Once through the file in an hour at most: the
   first time, and again when the clock has jumped, to see of which weeks they are, only then to
   delete. Says in the log when the clock is not theirs. */
void p11s_room_sweep(struct p11s_lmdb *db, struct p11s_room *room);

/* Deletes signatures when the file is nearly full, until a tenth of it is free: what has expired,
   and of the others no more than that takes. Called before each batch; two seconds for a million of
   them when there is something to do. goes_on() is asked between transactions. */
void p11s_room_make(struct p11s_lmdb *db, struct p11s_room *room, const struct p11s_op *batch,
                    bool (*goes_on)(void *arg), void *arg);

/* Nothing is left that may go: found out in the last minute. */
bool p11s_room_is_full(const struct p11s_room *room);
/* Whether so much can be written when pages of used_bytes are in use. */
bool p11s_room_is_there(const struct p11s_room *room, uint64_t used_bytes, uint64_t bytes);
/* What a write takes; it has been done. */
uint64_t p11s_room_size(const struct p11s_op *op);
void p11s_room_wrote(struct p11s_room *room, const struct p11s_op *op);

/* As p11s_lmdb_add_losses(); a failure is said in the log. */
void p11s_room_note(struct p11s_lmdb *db, const struct p11s_lmdb_loss *losses, size_t count);

#endif

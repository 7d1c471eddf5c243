/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "ahead/plan.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What of the store belongs to no zone any more: signatures for a zone that is not there, or by a
 * key that no row of the zone names; and since when. After P11S_GONE_KEEP it may be deleted, if the
 * database says just then that it is so: a zone that comes back before loses nothing, however the
 * clock jumps. A restart begins the time anew.
 *
 * Times are seconds since 1970. No locks: one thread at a time.
 */
#define P11S_GONE_KEEP 86400u

struct p11s_gone_item;
struct p11s_gone {
  struct p11s_gone_item *items; /* in order */
  size_t count;
};

/* What the plan says now, in place of what it said before; what is still gone keeps its time.
   false: no memory, and nothing is known. */
bool p11s_gone_note(struct p11s_gone *gone, const struct p11s_plan *plan, uint32_t now);
/* Whether something may be deleted, if it is confirmed. */
bool p11s_gone_is_due(const struct p11s_gone *gone, uint32_t now);
/* Whether what was noted is still so, by a fresh answer of the database. */
enum p11s_gone_answer {
  P11S_GONE_STILL,
  P11S_GONE_NOT,  /* or nobody knows: the day begins anew */
  P11S_GONE_LATER /* there is no time to ask */
};
typedef enum p11s_gone_answer (*p11s_gone_fn)(const unsigned char *zone,
                                              const unsigned char *key_id, void *arg);
/* Asks about all that is due: only what is confirmed may be deleted, until something is noted. */
void p11s_gone_confirm(struct p11s_gone *gone, uint32_t now, p11s_gone_fn ask, void *arg);
/* Whether that signature may be deleted. */
bool p11s_gone_has(const struct p11s_gone *gone, const struct p11s_store_record *record);
/* What was confirmed is deleted. */
void p11s_gone_drop_confirmed(struct p11s_gone *gone);
void p11s_gone_clear(struct p11s_gone *gone);

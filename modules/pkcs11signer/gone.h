/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef P11S_GONE_H
#define P11S_GONE_H

#include "plan.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What of the store belongs to no zone any more: signatures for a zone that is not there, or by a
 * key that no row of the zone names; and since when. After P11S_GONE_KEEP it may be deleted: a zone
 * that comes back before loses nothing. A restart begins the time anew.
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
/* Whether something may be deleted. */
bool p11s_gone_is_due(const struct p11s_gone *gone, uint32_t now);
/* Whether that signature may. */
bool p11s_gone_has(const struct p11s_gone *gone, const struct p11s_store_record *record,
                   uint32_t now);
/* It is deleted. */
void p11s_gone_drop_due(struct p11s_gone *gone, uint32_t now);
void p11s_gone_clear(struct p11s_gone *gone);

#endif

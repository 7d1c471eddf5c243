/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "store/store.h"

/*
 * Whether this machine's clock can be believed: what it says decides which signatures are too old
 * to be kept. It may be that of 1970 until NTP has set it, or weeks ahead.
 *
 * Two witnesses: CLOCK_BOOTTIME, which knows how long the clock has gone evenly (a suspended
 * machine's too), and the stored signatures themselves, which PowerDNS asks for in the week that
 * they are of.
 *
 * One thread at a time; no locks.
 */

/* -- evenly */

#define P11S_CALENDAR_SETTLED_S 3600 /* nothing is deleted for its age before */
/* A jump; a smaller one does no harm, as PowerDNS asks for no signature in its last week. */
#define P11S_CALENDAR_JUMP_S 7200

struct p11s_calendar {
  bool begun;
  int64_t apart;  /* of the two clocks, at first or after the last jump */
  int64_t from_s; /* CLOCK_BOOTTIME then */
};

/* Looks at the clocks, in seconds since 1970 and of CLOCK_BOOTTIME. *ret_jumped: it has jumped
   since the last look, or this is the first. true: it has gone evenly for P11S_CALENDAR_SETTLED_S.
 */
bool p11s_calendar_look(struct p11s_calendar *c, int64_t now, int64_t boot_s, bool *ret_jumped);

int64_t p11s_calendar_boot_s(void);

/* -- what the signatures say */

#define P11S_CENSUS_WEEKS 7102 /* in 2^32 seconds */

struct p11s_census {
  uint64_t all;
  uint32_t of_week[P11S_CENSUS_WEEKS];
};

/* Counts the record, if it was asked for. A p11s_store_fn; arg is the census. */
bool p11s_census_add(const struct p11s_store_record *record, void *census);

/* The time by which signatures are to be judged. It is now, unless that is more than a day before
   the week that the most signatures are of, or more than a day after the week that follows it: then
   it is the beginning of that week. *ret_days: by how many days the clock is ahead, or (negative)
   behind; 0: it may be right. */
uint32_t p11s_census_now(const struct p11s_census *census, uint32_t now, int *ret_days);

/* "40 days ahead of the signatures in the store" */
void p11s_census_format(int days, char *text, size_t size);

/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * When the next signature that nobody waits for may begin on a token. A pure function; times in
 * microseconds.
 *
 * With a rate: so many begin in a second, whatever else the token does.
 *
 * Without one, as the token allows: it is idle half of the time at least, whatever it is asked for
 * by others; but P11S_PACE_LEAST_PART of it is taken in any case, so that a token that is never
 * idle gets there too. And no sooner than is needed to be done in time, but for the urgent; that
 * part of the token is taken in any case, too, as it is no load.
 */
struct p11s_pace {
  unsigned rate;         /* signatures a second; 0: as the token allows */
  uint64_t since_us;     /* since the last one began */
  uint64_t idle_us;      /* for how much of that the token had nothing to do */
  uint64_t took_us;      /* how long it kept the token busy */
  uint64_t time_left_us; /* until all is to be done; 0: it should be by now */
  size_t left;           /* how many there are still to begin */
  bool urgent;           /* the next one is */
};
#define P11S_PACE_LEAST_PART 20 /* one part in so many */

/* 0: now. Else how long at least until then. */
uint64_t p11s_pace_wait(const struct p11s_pace *pace);

/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef P11S_CROWD_H
#define P11S_CROWD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * How many of PowerDNS's query threads wait for signatures. Some must stay
 * free to answer what needs none: when every thread waits, everything waits,
 * and a flood of names that were never asked for stops the server.
 *
 * A burst may have all threads: beyond the limit a query still waits, but only
 * until P11S_CROWD_BURST_MS after the limit was reached, though never less than
 * P11S_CROWD_LEAST_MS. From then on the limit holds, until no more than half as
 * many wait; but not while so many are served that the wait is short
 * (P11S_CROWD_SHORT_MS): a token that keeps up refuses nobody.
 *
 * Atomic, no lock. One per process.
 */
struct p11s_crowd {
  atomic_uint waiting;
  atomic_ullong full_since_ms; /* 0: it is not */
  atomic_uint left;            /* those that have left since then */
  unsigned limit;              /* immutable; 0: none */
};

#define P11S_CROWD_BURST_MS 500
#define P11S_CROWD_LEAST_MS 250 /* time enough where the wait is short */
#define P11S_CROWD_SHORT_MS 50

/* The limit for so many query threads: three quarters of them from 8 on, none below, where each
   thread that may not wait would be a sizable part of the server. */
unsigned p11s_crowd_limit(unsigned threads);

/* Whether one more may wait, and has to leave afterwards; its deadline may be made earlier. */
bool p11s_crowd_enter(struct p11s_crowd *crowd, uint64_t now_ms, uint64_t *deadline_ms);
void p11s_crowd_leave(struct p11s_crowd *crowd);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef P11S_CROWD_H
#define P11S_CROWD_H

#include <stdatomic.h>
#include <stdbool.h>

/*
 * How many of PowerDNS's query threads wait for signatures. The rest must stay
 * free to answer what needs none: when every thread waits, everything waits.
 *
 * Atomic, no lock. One per process.
 */
struct p11s_crowd {
  atomic_uint waiting;
  unsigned limit; /* immutable; 0: none */
};

/* The limit for so many query threads: three quarters of them from 8 on, none below, where each
   thread that may not wait would be a sizable part of the server. */
unsigned p11s_crowd_limit(unsigned threads);

/* Whether one more may wait; it then has to leave. */
bool p11s_crowd_enter(struct p11s_crowd *crowd);
void p11s_crowd_leave(struct p11s_crowd *crowd);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef P11S_BASE_COUNTERS_H
#define P11S_BASE_COUNTERS_H

#include <stdint.h>

/*
 * Counters of the process, for PowerDNS's statistics. Relaxed atomics: any
 * thread, no lock, never reset. Off the warm path: an answer whose signature
 * PowerDNS has cached counts nothing here.
 */
enum p11s_counter {
  P11S_STAT_SIGNATURES,       /* made by a token and handed on */
  P11S_STAT_SHARED,           /* requests that waited for another's signature */
  P11S_STAT_LATE_USED,        /* signatures that came too late for one and served the next */
  P11S_STAT_TIMEOUTS,         /* requests whose deadline passed */
  P11S_STAT_OVERLOADED,       /* requests refused because the queue was full */
  P11S_STAT_FAILURES,         /* requests refused for any other reason */
  P11S_STAT_BAD_SIGNATURES,   /* signatures that did not verify */
  P11S_STAT_RETRIES,          /* jobs tried again on a fresh session */
  P11S_STAT_RECONNECTS,       /* tokens that were away and came back */
  P11S_STAT_SESSIONS,         /* C_OpenSession */
  P11S_STAT_LOGINS,           /* C_Login */
  P11S_STAT_LOGINS_REFUSED,   /* PINs that a token refused */
  P11S_STAT_KEY_LOOKUPS,      /* searches for a private key */
  P11S_STAT_STORE_HITS,       /* requests that the signature store answered */
  P11S_STAT_STORE_MISSES,     /* requests that it could not answer */
  P11S_STAT_STORE_INVALID,    /* signatures found in it that did not verify */
  P11S_STAT_STORE_WRITTEN,    /* signatures written to it, */
  P11S_STAT_STORE_DROPPED,    /* not written because too much was waiting to be, */
  P11S_STAT_STORE_FAILED,     /* not written because writing failed, */
  P11S_STAT_STORE_REFUSED,    /* not written because what it is full of is worth more */
  P11S_STAT_STORE_EXPIRED,    /* signatures deleted from it because they had expired, */
  P11S_STAT_STORE_EVICTED,    /* because it was full */
  P11S_STAT_FLEET_HITS,       /* look-ups that the fleet's store answered, */
  P11S_STAT_FLEET_MISSES,     /* could not answer, */
  P11S_STAT_FLEET_TIMEOUTS,   /* did not answer in time; */
  P11S_STAT_FLEET_AWAITED,    /* that waited for a signature another server was making */
  P11S_STAT_FLEET_WRITTEN,    /* signatures written to it, */
  P11S_STAT_FLEET_DROPPED,    /* not written because too much was waiting to be, */
  P11S_STAT_FLEET_FAILED,     /* not written because writing failed */
  P11S_STAT_AHEAD_SIGNATURES, /* signatures made for a week to come */
  P11S_STAT_LATENCY_1,        /* signatures made within 1 ms, */
  P11S_STAT_LATENCY_5,        /* within 5 ms but not 1, and so on; from queueing to result */
  P11S_STAT_LATENCY_20,
  P11S_STAT_LATENCY_100,
  P11S_STAT_LATENCY_500,
  P11S_STAT_LATENCY_2000,
  P11S_STAT_LATENCY_SLOW, /* more than 2000 ms */
  P11S_STAT_COUNT,
};

void p11s_counter_count(enum p11s_counter counter);
void p11s_counter_add(enum p11s_counter counter, uint64_t number);
/* Counts into the P11S_STAT_LATENCY_… that ms falls into. */
void p11s_counter_latency(uint64_t ms);
uint64_t p11s_counter_get(enum p11s_counter counter);

/* Name ("signatures") and one line of explanation, for P11S_STAT_… below P11S_STAT_COUNT. */
const char *p11s_counter_name(enum p11s_counter counter);
const char *p11s_counter_explain(enum p11s_counter counter);

#endif

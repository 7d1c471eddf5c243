/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/counters.h"

#include <stdatomic.h>

static _Atomic uint64_t value[P11S_STAT_COUNT];

static const struct {
  const char *name;
  const char *text;
} about[P11S_STAT_COUNT] = {
    [P11S_STAT_SIGNATURES] = {"signatures", "signatures made by tokens"},
    [P11S_STAT_SHARED] = {"shared", "requests that waited for a signature already being made"},
    [P11S_STAT_LATE_USED] = {"late-used", "signatures too late for one query that served the next"},
    [P11S_STAT_TIMEOUTS] = {"timeouts", "requests refused at the deadline"},
    [P11S_STAT_OVERLOADED] = {"overloaded", "requests refused because too many were waiting"},
    [P11S_STAT_FAILURES] = {"failures", "requests refused for any other reason"},
    [P11S_STAT_BAD_SIGNATURES] = {"bad-signatures", "signatures of a token that did not verify"},
    [P11S_STAT_RETRIES] = {"retries", "jobs tried again on a fresh session"},
    [P11S_STAT_RECONNECTS] = {"reconnects", "tokens that were away and came back"},
    [P11S_STAT_SESSIONS] = {"sessions-opened", "sessions opened on tokens"},
    [P11S_STAT_LOGINS] = {"logins", "logins tried"},
    [P11S_STAT_LOGINS_REFUSED] = {"logins-refused", "PINs refused by a token"},
    [P11S_STAT_KEY_LOOKUPS] = {"key-lookups", "searches for a private key on a token"},
    [P11S_STAT_STORE_HITS] = {"store-hits", "requests answered from the signature store"},
    [P11S_STAT_STORE_MISSES] = {"store-misses", "requests not found in the signature store"},
    [P11S_STAT_STORE_INVALID] = {"store-invalid", "stored signatures that did not verify"},
    [P11S_STAT_STORE_WRITTEN] = {"store-written", "signatures written to the store"},
    [P11S_STAT_STORE_DROPPED] = {"store-dropped", "signatures not stored: too many waited for it"},
    [P11S_STAT_STORE_FAILED] = {"store-failed", "signatures not stored: writing failed"},
    [P11S_STAT_STORE_REFUSED] = {"store-refused",
                                 "signatures not stored: it is full of better ones"},
    [P11S_STAT_STORE_EXPIRED] = {"store-expired", "stored signatures deleted when expired"},
    [P11S_STAT_STORE_EVICTED] = {"store-evicted", "stored signatures deleted to make room"},
    [P11S_STAT_FLEET_HITS] = {"fleet-hits", "look-ups that the fleet's store answered"},
    [P11S_STAT_FLEET_MISSES] = {"fleet-misses", "look-ups not found in the fleet's store"},
    [P11S_STAT_FLEET_TIMEOUTS] = {"fleet-timeouts", "look-ups it did not answer in time"},
    [P11S_STAT_FLEET_AWAITED] = {"fleet-awaited",
                                 "look-ups that waited for another server's signature"},
    [P11S_STAT_FLEET_WRITTEN] = {"fleet-written", "signatures written to the fleet's store"},
    [P11S_STAT_FLEET_DROPPED] = {"fleet-dropped", "records not written there: too many waited"},
    [P11S_STAT_FLEET_FAILED] = {"fleet-failed", "records not written there: writing failed"},
    [P11S_STAT_AHEAD_SIGNATURES] = {"ahead-signatures", "signatures made for a week to come"},
    [P11S_STAT_LATENCY_1] = {"signed-within-1ms", "signatures that took up to 1 ms"},
    [P11S_STAT_LATENCY_5] = {"signed-within-5ms", "signatures that took 2 to 5 ms"},
    [P11S_STAT_LATENCY_20] = {"signed-within-20ms", "signatures that took 6 to 20 ms"},
    [P11S_STAT_LATENCY_100] = {"signed-within-100ms", "signatures that took 21 to 100 ms"},
    [P11S_STAT_LATENCY_500] = {"signed-within-500ms", "signatures that took 101 to 500 ms"},
    [P11S_STAT_LATENCY_2000] = {"signed-within-2000ms", "signatures that took 501 to 2000 ms"},
    [P11S_STAT_LATENCY_SLOW] = {"signed-slower", "signatures that took longer than 2000 ms"},
};

void p11s_counter_count(enum p11s_counter counter)
{
  p11s_counter_add(counter, 1);
}

void p11s_counter_add(enum p11s_counter counter, uint64_t number)
{
  atomic_fetch_add_explicit(&value[counter], number, memory_order_relaxed);
}

void p11s_counter_latency(uint64_t ms)
{
  static const unsigned limit[] = {1, 5, 20, 100, 500, 2000};
  unsigned i = 0;

  while (i < sizeof limit / sizeof limit[0] && ms > limit[i])
    i++;
  p11s_counter_count((enum p11s_counter)(P11S_STAT_LATENCY_1 + i));
}

uint64_t p11s_counter_get(enum p11s_counter counter)
{
  return atomic_load_explicit(&value[counter], memory_order_relaxed);
}

const char *p11s_counter_name(enum p11s_counter counter)
{
  return about[counter].name;
}

const char *p11s_counter_explain(enum p11s_counter counter)
{
  return about[counter].text;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdint.h>

/*
 * The module's metrics, all of them; docs/metrics.md is made of these lists. Counters are of the
 * process: relaxed atomics, any thread, no lock, never reset. Off the warm path: an answer whose
 * signature PowerDNS has cached counts nothing here.
 */
/* X(name, name in the statistics, explanation). The latencies stand in a row, the shortest first.
 */
#define P11S_COUNTERS(X)                                                                           \
  X(SIGNATURES, "signatures", "signatures made by tokens")                                         \
  X(SHARED, "shared", "requests that waited for a signature already being made")                   \
  X(LATE_USED, "late-used", "signatures too late for one query that served the next")              \
  X(TIMEOUTS, "timeouts", "requests refused at the deadline")                                      \
  X(OVERLOADED, "overloaded", "requests refused because too many were waiting")                    \
  X(FAILURES, "failures", "requests refused for any other reason")                                 \
  X(BAD_SIGNATURES, "bad-signatures", "signatures of a token that did not verify")                 \
  X(RETRIES, "retries", "jobs tried again on a fresh session")                                     \
  X(RECONNECTS, "reconnects", "tokens that were away and came back")                               \
  X(SESSIONS, "sessions-opened", "sessions opened on tokens")                                      \
  X(LOGINS, "logins", "logins tried")                                                              \
  X(LOGINS_REFUSED, "logins-refused", "PINs refused by a token")                                   \
  X(KEY_LOOKUPS, "key-lookups", "searches for a private key on a token")                           \
  X(STORE_HITS, "store-hits", "requests answered from the signature store")                        \
  X(STORE_MISSES, "store-misses", "requests not found in the signature store")                     \
  X(STORE_INVALID, "store-invalid", "stored signatures that did not verify")                       \
  X(STORE_WRITTEN, "store-written", "signatures written to the store")                             \
  X(STORE_DROPPED, "store-dropped", "signatures not stored: too many waited for it")               \
  X(STORE_FAILED, "store-failed", "signatures not stored: writing failed")                         \
  X(STORE_REFUSED, "store-refused", "signatures not stored: it is full of better ones")            \
  X(STORE_EXPIRED, "store-expired", "stored signatures deleted when expired")                      \
  X(STORE_EVICTED, "store-evicted", "stored signatures deleted to make room")                      \
  X(FLEET_HITS, "fleet-hits", "look-ups that the fleet's store answered")                          \
  X(FLEET_MISSES, "fleet-misses", "look-ups not found in the fleet's store")                       \
  X(FLEET_TIMEOUTS, "fleet-timeouts", "look-ups it did not answer in time")                        \
  X(FLEET_AWAITED, "fleet-awaited", "look-ups that waited for another server's signature")         \
  X(FLEET_WRITTEN, "fleet-written", "signatures written to the fleet's store")                     \
  X(FLEET_DROPPED, "fleet-dropped", "records not written there: too many waited")                  \
  X(FLEET_FAILED, "fleet-failed", "records not written there: writing failed")                     \
  X(AHEAD_SIGNATURES, "ahead-signatures", "signatures made for a week to come")                    \
  X(LATENCY_1, "signed-0-to-1ms", "signatures that took up to 1 ms")                               \
  X(LATENCY_5, "signed-2-to-5ms", "signatures that took 2 to 5 ms")                                \
  X(LATENCY_20, "signed-6-to-20ms", "signatures that took 6 to 20 ms")                             \
  X(LATENCY_100, "signed-21-to-100ms", "signatures that took 21 to 100 ms")                        \
  X(LATENCY_500, "signed-101-to-500ms", "signatures that took 101 to 500 ms")                      \
  X(LATENCY_2000, "signed-501-to-2000ms", "signatures that took 501 to 2000 ms")                   \
  X(LATENCY_SLOW, "signed-over-2000ms", "signatures that took longer than 2000 ms")

/* What is so now: X(member of struct p11s_signer_stats, name, explanation). */
#define P11S_GAUGES(X)                                                                             \
  X(queued, "queue", "signatures waiting for a session")                                           \
  X(under_way, "under-way", "signatures being made or waiting")                                    \
  X(workers, "workers", "threads that talk to tokens")                                             \
  X(tokens, "tokens", "tokens in use")                                                             \
  X(away, "tokens-away", "tokens that are not there")                                              \
  X(stuck, "tokens-stuck", "tokens that do not answer")                                            \
  X(pin_state, "pin-state",                                                                        \
    "PIN of the token with the fewest tries left: 0 locked, 1 one try, 2 fewer than all, 3 all")   \
  X(store_signatures, "store-signatures", "signatures in the store")                               \
  X(store_bytes, "store-bytes", "bytes that the store uses")                                       \
  X(store_queued, "store-queue", "records waiting to be written to the store")                     \
  X(fleet_connected, "fleet-connected", "1 when the fleet's store answers")                        \
  X(fleet_queued, "fleet-queue", "records waiting to be written to the fleet's store")             \
  X(ahead_missing, "ahead-missing", "signatures for the weeks to come, still to be made")          \
  X(ahead_until, "ahead-until",                                                                    \
    "until when what was served is stored, in seconds since 1970; 0: not known")                   \
  X(ahead_seconds, "ahead-seconds-left", "seconds until then")                                     \
  X(keys, "keys", "key references in memory")

#define P11S_COUNTER_NAME(name, text, explanation) P11S_STAT_##name,
enum p11s_counter { P11S_COUNTERS(P11S_COUNTER_NAME) P11S_STAT_COUNT };

void p11s_counter_count(enum p11s_counter counter);
void p11s_counter_add(enum p11s_counter counter, uint64_t number);
/* Counts into the P11S_STAT_LATENCY_… that ms falls into. */
void p11s_counter_latency(uint64_t ms);
uint64_t p11s_counter_get(enum p11s_counter counter);

/* Name ("signatures") and one line of explanation, for P11S_STAT_… below P11S_STAT_COUNT. */
const char *p11s_counter_name(enum p11s_counter counter);
const char *p11s_counter_explain(enum p11s_counter counter);

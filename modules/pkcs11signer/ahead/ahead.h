/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * Next week's signatures, made before anybody asks for them.
 *
 * A thread of the server looks through the store now and then, finds out what recurs
 * (ahead/plan.h), and has the token make what is missing: one signature at a time for each token,
 * behind all that somebody waits for (token/queue.h), only when the token has nothing to do, and at
 * a pace that leaves it idle half of the time (ahead/pace.h). It is done P11S_AHEAD_EARLY before
 * the week turns. It needs nothing but the store and the keys that this process uses: after a
 * restart it goes on where it was.
 *
 * What it begins with is verified with the key's public half: who can write to the store cannot
 * have other things signed than those that have been signed before. Keys of which another process
 * of the machine makes the signatures are left to that one (ahead/key_locks.h), and so is each
 * signature that another server of the fleet is making (store/fleet/fleet.h). A token that is away
 * or stuck is waited for; no PIN is tried that a query would not try.
 *
 * What is so of zones and keys it asks of PowerDNS's database (ahead/zones.h): it signs with no key
 * that no row names, deletes what belongs to no zone (ahead/gone.h), and retires tokens
 * (ahead/retire.h).
 *
 * It looks through the store when something was asked for since, at most once in
 * P11S_AHEAD_LOOK_MS and for a hundredth of its time, with little weight against other threads.
 */
struct p11s_ahead;
struct p11s_flights;
struct p11s_host_source;
struct p11s_key_table;
struct p11s_store;
struct p11s_tokens;

#define P11S_AHEAD_EARLY (2 * 86400u) /* seconds */
#define P11S_AHEAD_LOOK_MS 5000

/* All borrowed for ever. */
struct p11s_ahead_config {
  struct p11s_key_table *keys;
  struct p11s_tokens *tokens;
  struct p11s_flights *flights;
  struct p11s_store *store; /* NULL: there is none, and tokens are all there is to look after */
  const char *state_dir;
  unsigned weeks;            /* to sign ahead for, 0…8 */
  unsigned rate;             /* signatures a second; 0: as the token allows (ahead/pace.h) */
  uint32_t expiry_extension; /* seconds; PowerDNS's rrsig-expiry-extend (format/message.h) */
  const struct p11s_host_source *hosts; /* to ask what PowerDNS serves now (ahead/zones.h); NULL: it
                                           is not asked */
};

/* NULL when no thread is to be had: it is said in the log. */
struct p11s_ahead *p11s_ahead_start(const struct p11s_ahead_config *config);
/* Ends the thread; false when it did not come back until deadline_ms. NULL is allowed. */
bool p11s_ahead_stop(struct p11s_ahead *ahead, uint64_t deadline_ms);
/* Behind p11s_ahead_stop() and the end of all workers: they may still call it. */
void p11s_ahead_free(struct p11s_ahead *ahead);

struct p11s_ahead_stats {
  uint64_t missing; /* signatures that are still to be made, as of the last look */
  uint64_t until;   /* seconds since 1970: what was served is stored until then; 0: nothing was, or
                       nobody has looked yet */
};
/* Any thread; no lock. NULL is allowed. */
void p11s_ahead_get_stats(const struct p11s_ahead *ahead, struct p11s_ahead_stats *ret);

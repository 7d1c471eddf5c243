/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "ahead/host.h"
#include "ahead/plan.h"
#include "sign/key_table.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Which zones there are now, which keys sign for them, and what stands at a name of which several
 * contents were used lately, or that is not stored for this week: asked of PowerDNS's database, in
 * the background, and remembered for a while.
 *
 * Only zones that somebody asks about here are looked at: those of which something is stored. An
 * answer counts for the age that the asker allows. When the database does not answer, what it said
 * last counts, and it is asked again after a pause that doubles up to P11S_ZONES_PAUSE_MOST_MS;
 * a zone of which it has never said anything is not known, and nothing follows from that.
 *
 * No locks: one thread at a time. All calls may block on the database, and take no lock but the
 * keys'.
 */
struct p11s_zones;
struct p11s_store;

#define P11S_ZONES_PAUSE_MOST_MS 30000
#define P11S_ZONES_FRESH_MS 20000 /* how old an answer may be that something is signed by */

struct p11s_zone_key {
  unsigned char id[P11S_STORE_ID_LEN]; /* SHA-256 of public key and algorithm (store/store.h) */
  unsigned algorithm;
  bool active;
  bool sep; /* flags 257 */
  bool signs[P11S_PURPOSES];
};
struct p11s_zone {
  struct p11s_zone_state state;
  struct p11s_zone_key *keys; /* that its rows name on tokens */
  size_t key_count;
  bool more_keys; /* among them some whose public half is not known in this process */
};

/* A host that the caller keeps open, or a source to open one from when it is needed; the other one
   is NULL. Both NULL: nothing is ever known. NULL: no memory. */
struct p11s_zones *p11s_zones_new(struct p11s_key_table *keys, const struct p11s_host *host,
                                  const struct p11s_host_source *source);
void p11s_zones_free(struct p11s_zones *zones);

/* name: in wire format, lower case. The answer is no older than max_age_ms, unless the database
   does not answer now. NULL: not known. Borrowed until the next call. */
const struct p11s_zone *p11s_zones_get(struct p11s_zones *zones, const unsigned char *name,
                                       uint64_t max_age_ms);
/* The answer has come since that moment (p11s_now_ms()). NULL: the database gives none now. */
const struct p11s_zone *p11s_zones_get_since(struct p11s_zones *zones, const unsigned char *name,
                                             uint64_t since_ms);
/* What the zone's rows say of the key. */
enum p11s_use_state p11s_zone_use(const struct p11s_zone *zone, const unsigned char *key_id,
                                  enum p11s_purpose purpose);

/* Tells the plan, which is not finished yet, what is so of its zones (the others are forgotten),
   and what they have where it does not know. store: what the plan was made of. Asks about zones of
   which the answers are older than that until so many microseconds have passed. */
void p11s_zones_tell(struct p11s_zones *zones, struct p11s_plan *plan, struct p11s_store *store,
                     uint64_t max_age_ms, uint64_t most_us);
/* Asks again about zones whose answers are older than that, until so many microseconds have passed,
   and goes on there the next time. */
void p11s_zones_refresh(struct p11s_zones *zones, uint64_t max_age_ms, uint64_t most_us);
/* Whether another answer than before has come for some zone since this was asked last. */
bool p11s_zones_take_change(struct p11s_zones *zones);

/* For other questions to the same database: its host, opened if need be; NULL: not now, it has not
   answered lately. Borrowed until the next call. Who gets no answer says so. */
const struct p11s_host *p11s_zones_host(struct p11s_zones *zones);
void p11s_zones_note_failure(struct p11s_zones *zones, const struct p11s_error *e);

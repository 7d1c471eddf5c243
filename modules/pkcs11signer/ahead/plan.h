/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "ahead/host.h"
#include "store/store.h"
#include "format/message.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Which stored signatures will be asked for again in the weeks to come, which of those are not
 * there yet, and until when the store suffices.
 *
 * What PowerDNS asked for this week or last week (and who asks it is answered from its own cache
 * afterwards, so more is not known) is *served*. It recurs, unless
 *
 * - it is not what the zone has now at that owner and type; what it has there instead, if nobody
 *   has asked for it, was not served. Where several contents were used lately and nobody has said
 *   which one it is, it is the one that was asked for last (of SOA records with the same second,
 *   that with the newer serial). Where the database cannot say it, all recur, up to
 *   P11S_PLAN_CONTENTS_MOST, but of SOA records. So they do of DNSKEY, CDS and CDNSKEY when nobody
 *   has asked for what the keys make now;
 * - it is an NSEC3 record made up to cover one hash (NSEC3 narrow: the next hash is the owner's and
 *   two), and was not seen in both weeks nor on two days;
 * - its key does not sign that for the zone any more. Where the zone's rows are not known that is a
 *   key which was used last two days before another one was for the same zone and purpose: a KSK
 *   signs DNSKEY, CDS and CDNSKEY, a ZSK all but DNSKEY. A key that signs neither DNSKEY nor
 *   anything else any more signs no CDS.
 *
 * A message is known from week to week by all of it but inception and expiration, an SOA record
 * also but for its serial: each week has its own, or two (format/soaedit.h). Where the database
 * does not say how they come about, the newest that was served is taken to be served on. Where
 * nobody knows them (EPOCH), the record is never stored, and never signed ahead.
 *
 * Only what has the extension that PowerDNS writes now (format/message.h) counts as stored.
 * Messages whose times no setting explains are *unclear*: of their zones no budget can be stated.
 *
 * To be filled record by record from the store (about 200 bytes of memory for each RRset and key,
 * one microsecond for each record), finished, then asked. Pure functions over records; no locks:
 * one thread at a time.
 */
struct p11s_plan;

#define P11S_PLAN_WEEKS_MOST 8
#define P11S_PLAN_KEY_OFF 2 /* days */
#define P11S_PLAN_CONTENTS_MOST 32

/* now: seconds since 1970. weeks: to be signed ahead, 0 to P11S_PLAN_WEEKS_MOST. zone: a name in
   wire format and its length, of which alone is to be known; NULL: of all. NULL when there is no
   memory. */
struct p11s_plan *p11s_plan_new(uint32_t now, unsigned weeks, const unsigned char *zone,
                                size_t zone_len);
void p11s_plan_free(struct p11s_plan *plan);

/* By how much PowerDNS extends expirations; before anything is added. 0 at first. */
void p11s_plan_set_extension(struct p11s_plan *plan, uint32_t extension);

/* A p11s_store_fn; arg is the plan. false: out of memory. Then the plan can only be freed; who
   walks through a store finds that out here. */
bool p11s_plan_add(const struct p11s_store_record *record, void *plan);
bool p11s_plan_has_failed(const struct p11s_plan *plan);

/* -- what the database says (ahead/zones.h), between adding and finishing */

size_t p11s_plan_zones(const struct p11s_plan *plan);
/* In wire format. Borrowed. */
const unsigned char *p11s_plan_zone_name(const struct p11s_plan *plan, size_t zone);
/* What the zone is like now; without it nothing is known of the zone, and what was served of it
   recurs by the rules above. */
void p11s_plan_set_zone(struct p11s_plan *plan, size_t zone, const struct p11s_zone_state *state);
/* A use: what a key has signed for a zone, for one purpose. */
enum p11s_purpose { P11S_FOR_DNSKEY, P11S_FOR_CDS, P11S_FOR_ALL_ELSE, P11S_PURPOSES };
enum p11s_use_state {
  P11S_USE_UNKNOWN,
  P11S_USE_SIGNS,
  P11S_USE_ENDED,   /* it signs that no more: these messages do not recur */
  P11S_USE_UNNAMED, /* likewise, and no row of the zone names the key, or there is no such zone */
};
struct p11s_plan_use {
  uint32_t key; /* numbers, as is the next one */
  uint32_t zone;
  enum p11s_purpose purpose;
  uint32_t last_used; /* seconds since 1970; 0: never */
  enum p11s_use_state state;
};
size_t p11s_plan_uses(const struct p11s_plan *plan);
/* The caller says which state it has. Borrowed, until something is added. */
struct p11s_plan_use *p11s_plan_use(const struct p11s_plan *plan, size_t use);

/* Once it is said which keys sign: what is not stored for this week. */
void p11s_plan_seek_missing(struct p11s_plan *plan);
/* An RRset of which several contents were used lately, or that is missing: it counts against the
   budget, so it is worth asking whether the zone still has it. One answer that it has suffices for
   a zone. */
struct p11s_plan_doubt {
  uint64_t id; /* of owner and type; the same in each plan */
  size_t set, zone, key;
  const unsigned char *message_id; /* of a stored message of it, by the key. Borrowed */
};
/* The next one of zones that there are. *cursor: 0 at first. false: there are no more. */
bool p11s_plan_next_doubt(const struct p11s_plan *plan, size_t *cursor,
                          struct p11s_plan_doubt *ret);
/* The id of a message's content, as the database has it (ahead/host.h, rrset). false: it is none.
 */
bool p11s_plan_identify(const struct p11s_plan *plan, const unsigned char *message, size_t len,
                        uint64_t *ret_content);
/* What the zone has there now; content: of P11S_SERVED_THIS. */
void p11s_plan_settle(struct p11s_plan *plan, const struct p11s_plan_doubt *doubt,
                      enum p11s_served_kind kind, uint64_t content);

/* When all are added: decides what recurs, and in which order. false: out of memory. */
bool p11s_plan_finish(struct p11s_plan *plan);

/* -- keys: who makes the signatures */

size_t p11s_plan_keys(const struct p11s_plan *plan);
/* SHA-256 of the public key and algorithm, P11S_STORE_ID_LEN bytes. Borrowed. */
const unsigned char *p11s_plan_key_id(const struct p11s_plan *plan, size_t key);
/* The number of the key of that id. false: the plan is not about it. */
bool p11s_plan_find_key(const struct p11s_plan *plan, const unsigned char *key_id, size_t *ret_key);
/* By which of the caller's tokens; P11S_PLAN_NO_TOKEN, as at first: by none. */
#define P11S_PLAN_NO_TOKEN UINT32_MAX
void p11s_plan_set_token(struct p11s_plan *plan, size_t key, uint32_t token);

/* -- what is to be signed */

struct p11s_plan_task {
  uint32_t what;
  size_t zone;
  size_t key;
  enum p11s_purpose purpose;
  const unsigned char *message_id; /* SHA-256 of the stored message to begin with. Borrowed */
  uint32_t week;                   /* start of the week that it is for */
  uint32_t extension;              /* of its expiration */
  bool soa;
  uint32_t serial; /* of an SOA record */
  unsigned ahead;  /* weeks from now; 0: this one, which last week's record needs */
};
/* Where the tasks of one token have come to; all zeros: to begin. */
struct p11s_plan_cursor {
  size_t next;
  bool dnskeys_only; /* for as long as the caller says so */
};
/* The next one: DNSKEY of all weeks first, then week by week; within a week what was served this
   week, on the most days, the latest. false: there are no more. With weeks = 0 there are none. */
bool p11s_plan_next(const struct p11s_plan *plan, uint32_t token, struct p11s_plan_cursor *cursor,
                    struct p11s_plan_task *ret);
/* Makes the message that is to be signed of the stored one: changes its times, and the serial of an
   SOA record, and nothing else. false: it is not of the form that the task is for. */
bool p11s_plan_apply(const struct p11s_plan_task *task, unsigned char *message, size_t len);
/* How many there are from the cursor on. */
size_t p11s_plan_count(const struct p11s_plan *plan, uint32_t token,
                       struct p11s_plan_cursor cursor);
/* It is stored now. */
void p11s_plan_done(struct p11s_plan *plan, const struct p11s_plan_task *task);

/* -- until when the store suffices */

enum p11s_budget_why {
  P11S_BUDGET_GOOD,
  P11S_BUDGET_SERIAL,  /* no longer than now: an SOA record that recurs has a serial that nobody
                          knows before it is asked for */
  P11S_BUDGET_UNCLEAR, /* not known: something was served with times that no setting explains */
};
struct p11s_budget {
  uint64_t recurring; /* messages that recur; 0: nothing was served, and until means nothing */
  uint32_t until;     /* the least of all: end of the last week that is stored without a gap. Not
                         after now: something that recurs is not there this week */
  enum p11s_budget_why why;
};
void p11s_plan_budget(struct p11s_plan *plan, struct p11s_budget *ret);
/* A clause about a zone, to be put behind its name; NULL: P11S_BUDGET_GOOD. */
const char *p11s_budget_why_text(enum p11s_budget_why why);

/* name: in wire format. */
typedef void (*p11s_plan_zone_fn)(const unsigned char *name, const struct p11s_budget *budget,
                                  void *arg);
/* The zones of which something recurs or is unclear, these first, then the least, as of the last
   p11s_plan_budget(). */
void p11s_plan_each_zone(struct p11s_plan *plan, p11s_plan_zone_fn fn, void *arg);
/* "zone example.org: …", of the first of which that is so. false: there is none. */
struct p11s_buf;
bool p11s_plan_why(struct p11s_plan *plan, enum p11s_budget_why why, struct p11s_buf *out);

/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "format/dnsname.h"
#include "base/id_table.h"
#include "ahead/plan.h"

#include <openssl/evp.h>

/* Shared by ahead/plan.c (what is stored), ahead/plan_zones.c (what the database says),
   ahead/plan_soa.c (SOA records), ahead/plan_recur.c (what recurs, what is to be signed) and
   ahead/plan_budget.c. */

/* Weeks are bits: the last one, this one, those to come. */
#define P11S_AT_LAST 0u
#define P11S_AT_THIS 1u
#define P11S_AT_MOST (P11S_AT_THIS + P11S_PLAN_WEEKS_MOST)
#define P11S_BIT(at) (1u << (at))

/* One message, whatever its week. */
struct p11s_line {
  uint64_t content;   /* all but key and times; 0: this is not filled yet */
  uint32_t set;       /* the RRset's number, whatever its key */
  uint32_t zone;      /* numbers, as is */
  uint32_t use;       /* of its key, for its zone and purpose */
  uint32_t last_used; /* 0: never */
  uint32_t serial;    /* of an SOA, the one that was used last */
  uint16_t stored;    /* P11S_BIT()s */
  uint16_t used;
  uint16_t days;
  bool dnskey;
  bool soa;
  unsigned char choice;         /* of an SOA: which of a week's serials it is for */
  bool needless;                /* no week has that */
  bool lie;                     /* NSEC3 narrow */
  unsigned char message_id[32]; /* of the source */
};

/* An RRset: owner and type. */
struct p11s_plan_set {
  uint64_t id;
  bool used;
  uint32_t line; /* if used: one that was, that is missing if one is */
  bool several;  /* contents of it were used lately */
  bool missing;  /* one that may recur is not stored for this week */
  bool told;     /* what the zone has now: */
  enum p11s_served_kind kind;
  uint64_t content; /* THIS */
  bool served;      /* when finished: that content was used */
};

struct p11s_plan_key {
  unsigned char id[P11S_STORE_ID_LEN];
  uint32_t token; /* its number and 1; 0: none */
};

struct p11s_plan_zone {
  unsigned char name[P11S_DNSNAME_MAX];
  uint32_t last_used[P11S_PURPOSES];
  bool known; /* the database has said: */
  struct p11s_zone_state state;
  bool lacks;                /* the database has said that something missing recurs */
  bool said;                 /* when finished: whether edit is what the database says */
  uint32_t soa_used;         /* else, when the SOA with its serial was used */
  struct p11s_soa_edit edit; /* when finished */
  uint64_t unclear;          /* messages */
  struct p11s_budget budget;
};

/* That an SOA record with that serial is stored for a week. */
struct p11s_plan_soa {
  uint32_t line;
  uint32_t serial;
  unsigned char at;
};

/* Items by their ids, numbered as they come. */
struct p11s_plan_table {
  struct p11s_id_table number_of;
  void *items; /* base/array.h */
  size_t count;
};

struct p11s_plan {
  uint32_t now;
  uint32_t week; /* start of this one */
  unsigned weeks;
  unsigned char only[P11S_DNSNAME_MAX]; /* zone */
  size_t only_len;                      /* 0: all */
  EVP_MD_CTX *ctx;
  uint32_t extension;
  struct p11s_plan_table lines, sets, uses, keys, zones;
  struct p11s_plan_soa *soas;
  size_t soa_count;
  uint32_t *order; /* those lines that recur */
  size_t ordered;
  size_t dnskeys; /* how many of these are, they come first */
  bool failed;    /* something could not be added */
};

static inline struct p11s_line *p11s_plan_line(const struct p11s_plan *plan, size_t i)
{
  return (struct p11s_line *)plan->lines.items + i;
}

static inline struct p11s_plan_set *p11s_plan_set(const struct p11s_plan *plan, size_t i)
{
  return (struct p11s_plan_set *)plan->sets.items + i;
}

static inline struct p11s_plan_key *p11s_plan_key(const struct p11s_plan *plan, size_t i)
{
  return (struct p11s_plan_key *)plan->keys.items + i;
}

static inline struct p11s_plan_zone *p11s_plan_zone(const struct p11s_plan *plan, size_t i)
{
  return (struct p11s_plan_zone *)plan->zones.items + i;
}

/* -- ahead/plan.c */

/* What of a message tells contents of one RRset apart: not an SOA record's serial. */
bool p11s_plan_content_id(const struct p11s_plan *plan, const unsigned char *message, size_t len,
                          const struct p11s_message *m, uint64_t *ret_id);
/* What the key has signed for the zone for that purpose; P11S_ID_TABLE_NONE: nothing. */
uint32_t p11s_plan_find_use(const struct p11s_plan *plan, uint32_t key, uint32_t zone,
                            enum p11s_purpose purpose);

/* -- ahead/plan_soa.c */

/* When all is known of the zones: how their serials come about, and which weeks' SOA records are
   stored. */
void p11s_plan_resolve_soas(struct p11s_plan *plan);
/* The serial of an SOA's line in a week; false: it has none there, or nobody knows it. */
bool p11s_plan_serial(const struct p11s_plan *plan, const struct p11s_line *line, unsigned at,
                      uint32_t *ret_serial);
/* Whether nobody knows its serials. */
bool p11s_plan_is_unknowable(const struct p11s_plan *plan, const struct p11s_line *line);

/* -- ahead/plan_recur.c */

/* Whether a is known to have come in the place of b. */
bool p11s_plan_is_newer(const struct p11s_line *a, const struct p11s_line *b);
/* Whether it recurs, if it is what the zone has now. */
bool p11s_plan_may_recur(const struct p11s_plan *plan, const struct p11s_line *line);

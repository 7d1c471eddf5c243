/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "format/dnsname.h"
#include "base/id_table.h"
#include "ahead/zones.h"

#include <sys/queue.h>

/* Shared by ahead/zones.c (which zones and keys there are) and ahead/zones_doubt.c (what stands at
 * a name). */

struct p11s_zones_entry {
  unsigned char name[P11S_DNSNAME_MAX]; /* first: the tree is searched for it */
  TAILQ_ENTRY(p11s_zones_entry) next;
  struct p11s_zone zone;
  bool known;
  uint64_t asked_ms; /* when the answer came */
  bool wanted;       /* it is in the last plan */
};

/* What the database said of an RRset. */
struct p11s_zones_answer {
  enum p11s_served_kind kind;
  uint64_t content;
  uint64_t asked_ms;
};

struct p11s_zones {
  struct p11s_key_table *keys;
  const struct p11s_host_source *source;
  struct p11s_host own;
  const struct p11s_host *host; /* NULL: not open */
  void *by_name;                /* the entries, for tsearch() */
  TAILQ_HEAD(p11s_zones_list, p11s_zones_entry)
  entries; /* p11s_zones_refresh() begins with the first */
  uint64_t pause_ms;
  uint64_t not_before_ms;
  bool changed;

  /* ahead/zones_doubt.c */
  struct p11s_id_table answer_of;
  struct p11s_zones_answer *answers;
  size_t answer_count;
};

/* -- ahead/zones_doubt.c */

/* Tells the plan what the zones have where it does not know; asks until that time at the latest. */
void p11s_zones_settle(struct p11s_zones *zones, struct p11s_plan *plan, struct p11s_store *store,
                       uint64_t until_us);
void p11s_zones_free_doubts(struct p11s_zones *zones);

/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "ahead/host.h"
#include "format/keyref.h"

/*
 * PowerDNS's tables for a test: a few zones and rows in memory. One table per
 * process.
 */
#define FAKEHOST_ROWS 32

struct fakehost_row {
  char zone[64];
  unsigned id;
  unsigned flags;
  bool active, published;
  char *content;
  size_t content_len;
};

/* The table itself, in the order of the database. */
extern struct fakehost_row fakehost_rows[FAKEHOST_ROWS];
extern unsigned fakehost_row_count;

/* Empties the table; the zones are example.org. and example.net. */
void fakehost_reset(void);
/* As a row that was there before. */
void fakehost_put(const char *zone, unsigned flags, const char *content, size_t content_len);
/* The row that assign would store, with its PIN. The reference is freed. */
void fakehost_put_ref(const char *zone, unsigned flags, struct p11s_keyref *ref);
/* The next calls of this kind fail with P11S_ERR_HOST. */
void fakehost_refuse_adding(bool refuse);
void fakehost_refuse_listing(bool refuse);

/* What PowerDNS would have signed of a zone; NULL: nothing. */
extern void (*fakehost_demands)(const char *zone, unsigned weeks,
                                const struct p11s_demand_sink *sink);

/* What all zones that are there are like. */
extern struct p11s_zone_state fakehost_state;
/* What stands at a name; NULL: nobody is sure. */
extern void (*fakehost_rrset)(const char *zone, const char *owner, unsigned type,
                              struct p11s_served *ret);
/* How often one of these two was asked for. */
extern unsigned fakehost_questions;
/* From now on the zone is not there; NULL: all are. Its rows stay. */
void fakehost_hide(const char *zone);

extern const struct p11s_host fakehost;
extern const struct p11s_host_source fakehost_source;

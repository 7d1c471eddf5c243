/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "format/dnsname.h"
#include "store/worth.h"

/*
 * Which signatures have to go from a full store. Each zone keeps its share of it.
 *
 * First go signatures that nobody needs any more or that were made up for one question
 * (P11S_WORTH_ONCE and above), of any zone. When they are a quarter of what has to go, no others
 * go. Else zones that have more than their share lose what is worth least to them. A share is as
 * large as it can be when no zone has more. Signatures of DNSKEY, CDS and CDNSKEY of this week or
 * later never go.
 *
 * To be filled with all records, decided, then asked for each. One thread at a time; no locks.
 * About 500 bytes of memory for each zone.
 */
struct p11s_share;

/* worth: decided. Borrowed. NULL: no memory. */
struct p11s_share *p11s_share_new(const struct p11s_worth *worth);
void p11s_share_free(struct p11s_share *share);

/* false: no memory. */
bool p11s_share_add(struct p11s_share *share, const struct p11s_store_record *record, size_t bytes);
uint64_t p11s_share_all(const struct p11s_share *share);
/* So many bytes are to go. false: that is more than may go. */
bool p11s_share_decide(struct p11s_share *share, uint64_t bytes);

/* Whether the record is to go; it is taken to have gone when it is. *ret_worth: its class. */
bool p11s_share_takes(struct p11s_share *share, const struct p11s_store_record *record,
                      size_t bytes, unsigned *ret_worth);
/* All that was to go has gone. */
bool p11s_share_is_done(const struct p11s_share *share);

/* The next of the zones that have lost something of use; *at: 0 at first. false: no more. */
struct p11s_share_loser {
  const unsigned char *name; /* in wire format; borrowed */
  size_t len;
  uint64_t lost;
  unsigned best; /* class of the best of them */
};
bool p11s_share_next_loser(const struct p11s_share *share, size_t *at,
                           struct p11s_share_loser *ret);

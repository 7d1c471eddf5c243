/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef P11S_STORE_SHARE_H
#define P11S_STORE_SHARE_H

#include "dnsname.h"
#include "store_worth.h"

/*
 * Which signatures have to go from a full store, so that each zone keeps its share of it.
 *
 * What nobody needs any more, or was made up for one question (P11S_WORTH_ONCE and above), goes
 * first, whosever it is. Then zones that have more than their share lose what is worth least to
 * them: a share is as much as leaves enough room when no zone has more. Signatures of DNSKEY, CDS
 * and CDNSKEY go when there is nothing else.
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
/* So many bytes are to go. */
void p11s_share_decide(struct p11s_share *share, uint64_t bytes);

/* Whether the record is to go; it is taken to have gone when it is. *ret_worth: its class. */
bool p11s_share_takes(struct p11s_share *share, const struct p11s_store_record *record,
                      size_t bytes, unsigned *ret_worth);
/* All that was to go has gone. */
bool p11s_share_is_done(const struct p11s_share *share);

/* The zones that have lost something of use, one after the other; NULL: no more. *at: 0 at first.
   Borrowed. */
const unsigned char *p11s_share_next_loser(const struct p11s_share *share, size_t *at,
                                           size_t *ret_len, uint64_t *ret_lost);

#endif

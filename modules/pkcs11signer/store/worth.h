/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "store/calendar.h"
#include "format/message.h"

/*
 * The worth of a stored signature when not all can be kept. It is a class; the highest go first.
 *
 * First all records are looked at: the weeks that they are of (store/calendar.h), the messages that
 * were asked for in each week, and how many contents each RRset had. Then the class of each record
 * can be told.
 *
 * PowerDNS makes some messages up for one question: NSEC3 records that cover one name (narrow
 * mode), and answers that are computed (LUA records: many contents of one RRset). One that was
 * asked for on one day and in one week only may never be asked for again.
 *
 * One thread at a time; no locks. About ten bytes of memory for each record.
 */
#define P11S_WORTH_KEYS 0u      /* of DNSKEY, CDS and CDNSKEY, this week's or later: never go */
#define P11S_WORTH_KEYS_LAST 1u /* the same of last week */
#define P11S_WORTH_USED 2   /* by days since the last use, then on how few days it was used; 16 */
#define P11S_WORTH_AHEAD 18 /* signed ahead and not used, by weeks; 8 */
#define P11S_WORTH_LAST 26  /* last week's: PowerDNS does not ask for it any more */
#define P11S_WORTH_ONCE 27  /* made up for one question */
#define P11S_WORTH_OLD 28   /* of the week before last, or an earlier one */
#define P11S_WORTH_GONE 29  /* has expired */
#define P11S_WORTHS 30

struct p11s_worth;

/* records: how many there are, about. NULL: no memory. */
struct p11s_worth *p11s_worth_new(uint64_t records);
void p11s_worth_free(struct p11s_worth *worth);

/* Looks at one. A p11s_store_fn; arg is the struct. */
bool p11s_worth_look(const struct p11s_store_record *record, void *worth);
/* All have been looked at; now: what this machine's clock says. */
void p11s_worth_decide(struct p11s_worth *worth, uint32_t now);
/* The class of a record; *ret_message: its message, all zeros when it cannot be parsed. */
unsigned p11s_worth_of(const struct p11s_worth *worth, const struct p11s_store_record *record,
                       struct p11s_message *ret_message);
/* The same for one that is to be stored, when nothing is known of the others: what is of a shape
   that PowerDNS makes up was made up. */
unsigned p11s_worth_of_new(const struct p11s_store_record *record, uint32_t now,
                           struct p11s_message *ret_message);

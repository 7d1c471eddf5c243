/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef P11S_STORE_REFUSE_H
#define P11S_STORE_REFUSE_H

#include "store/evict.h"

/*
 * What of a batch is not written into a full store: what store/bar.h says; and when nothing is left
 * that may go, all but signatures of DNSKEY, CDS and CDNSKEY that a query has asked for, in the end
 * these too. Refused is what comes, not what is there.
 *
 * Each is counted, and if it is of use, noted in the file as lost. That nothing may go is said in
 * the log, once. For the store's thread only; no locks.
 */

/* Takes such writes out of the batch, and frees them. Called after p11s_room_make(). */
void p11s_refuse(struct p11s_lmdb *db, struct p11s_room *room, struct p11s_op **batch);

#endif

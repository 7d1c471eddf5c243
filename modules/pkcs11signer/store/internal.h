/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "store/lmdb.h"
#include "store/fleet/fleet.h"

/* Shared by store/store.c (the queue and its thread), store/lookup.c and store/walk.c. */

/* NULL when the store is not to be used (any more). Borrowed. */
struct p11s_lmdb *p11s_store_db(struct p11s_store *store);
/* NULL when there is none, or it is not to be used any more. Borrowed. */
struct p11s_fleet *p11s_store_fleet(struct p11s_store *store);
/* Queues it, or drops it; NULL is counted as dropped. */
void p11s_store_queue(struct p11s_store *store, struct p11s_op *op);

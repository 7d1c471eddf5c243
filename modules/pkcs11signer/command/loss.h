/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "store/store.h"

/*
 * The zones that have lost signatures because the store was full, for `budget`: not all signatures
 * that were served are still stored. A copy of what the store says. No locks.
 */
struct p11s_losses;

/* Of one zone, in wire format, or of all (NULL). Returns NULL when there is no memory. */
struct p11s_losses *p11s_losses_new(struct p11s_store *store, const unsigned char *zone,
                                    size_t zone_len);
void p11s_losses_free(struct p11s_losses *losses);

size_t p11s_losses_count(const struct p11s_losses *losses);
/* How many signatures the zone has lost, 0 if none. p11s_losses_next() leaves this zone out. */
uint64_t p11s_losses_take(struct p11s_losses *losses, const unsigned char *name);
/* The next zone that was not taken, or NULL. Borrowed. */
const unsigned char *p11s_losses_next(struct p11s_losses *losses, uint64_t *ret_lost);

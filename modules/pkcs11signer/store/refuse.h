/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "store/evict.h"

/*
 * Which writes of a batch are not taken into a full store: those that store/bar.h keeps out; and
 * when nothing that may go is left, all but signatures of DNSKEY, CDS and CDNSKEY that a query has
 * asked for, in the end these too. New signatures are refused; stored ones stay.
 *
 * Each refused write is counted and, if it is of use, noted in the file as a loss of its zone. That
 * nothing may go is said in the log once. For the store's thread only; no locks.
 */

/* Takes such writes out of the batch, and frees them. Called before and after p11s_evict_for(). */
void p11s_refuse(struct p11s_eviction *ev, struct p11s_ops *batch);

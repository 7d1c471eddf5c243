/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "store/fleet/internal.h"

/*
 * Keeps the fleet's table to the number of rows that a setting allows.
 *
 * A server counts the rows every ten minutes. When there are too many, and the database gives it a
 * lock that one connection can have, it reads all rows three times, a few hundred a statement, and
 * deletes until a tenth is free: those that would go from a full file (store/worth.h,
 * store/share.h).
 *
 * For the writing thread, when it has nothing to write. No locks of the process's own.
 */
struct p11s_fleet_trim;

/* NULL: no memory. */
struct p11s_fleet_trim *p11s_fleet_trim_new(struct p11s_fleet *fleet);
void p11s_fleet_trim_free(struct p11s_fleet_trim *trim);

/* Goes on: a statement or two. *ret_more: there is more to do, now. */
enum p11s_fleet_result p11s_fleet_trim_step(struct p11s_fleet_trim *trim,
                                            struct p11s_connection *conn, bool *ret_more);

/* Whether a record is not to be written. When the table is full of signatures that are never
   deleted, only such signatures, asked for by a query, are written. For any thread. */
bool p11s_fleet_trim_refuses(const struct p11s_fleet *fleet,
                             const struct p11s_store_record *record);

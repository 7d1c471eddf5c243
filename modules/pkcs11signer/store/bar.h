/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/id_table.h"
#include "format/message.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Which new signatures a full store does not take: those that would be among the first to go, when
 * their zone has lost something of the same worth or more. So the signatures that stay depend
 * neither on the order in which they come nor on when they are written. A signature that a query
 * has just asked for is taken all the same; the least recently used one goes for it.
 *
 * All zeros: nothing has been lost. One thread at a time; no locks. Sixteen bytes for each zone
 * that has lost something.
 */
struct p11s_bar {
  struct p11s_id_table of_zone; /* the best class (store/worth.h) that it has lost */
  bool raised;                  /* some zone has lost something */
};

/* By which tables know a zone, whose name is in wire format. false: no memory. */
bool p11s_bar_zone_id(const unsigned char *zone, size_t len, uint64_t *ret);
/* The zone has lost something of that class. */
void p11s_bar_raise(struct p11s_bar *bar, const unsigned char *zone, size_t len, unsigned worth);
/* Whether a new one of that class is not taken. */
bool p11s_bar_keeps_out(const struct p11s_bar *bar, const struct p11s_message *m, unsigned worth);
/* There is room again. */
void p11s_bar_clear(struct p11s_bar *bar);

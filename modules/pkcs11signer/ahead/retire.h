/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "ahead/zones.h"
#include "token/tokens.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Tokens that no row names any more, as its Slot was corrected or its key has gone elsewhere: found
 * and retired (token/token.h) within a minute.
 *
 * For each token a zone is known that names it; only that zone's rows are read, again and again.
 * When they do not name it any more, all rows of the database are read, until another zone is
 * found; not more often than so that this takes a tenth of the time. A token that no zone was found
 * for twice, P11S_RETIRE_MS apart, is retired. One that zones name stays, asked for or not. When
 * the database does not answer, all stay.
 *
 * No locks: one thread at a time. All calls may block on the database.
 */
#define P11S_RETIRE_MS 20000

struct p11s_retire_token;
struct p11s_retire {
  struct p11s_retire_token *tokens;
  size_t count;
  uint64_t next_ms;
};

/* Looks whether there is something to be done. stop ends it early. */
void p11s_retire_step(struct p11s_retire *retire, struct p11s_tokens *tokens,
                      struct p11s_zones *zones, const atomic_bool *stop);
void p11s_retire_clear(struct p11s_retire *retire);

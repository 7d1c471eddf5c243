/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/lock.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * How many of PowerDNS's query threads wait for signatures, and for which token. Some must stay
 * free to answer what needs none: when every thread waits, everything waits, and a flood of names
 * that were never asked for stops the server.
 *
 * Of 8 threads and more that take questions as they get free, three quarters may wait, of others
 * half. That is so in the long run: an account is charged with the time of the threads that wait,
 * less what may be used. A wait up to P11S_ADMISSION_SHORT_MS costs nothing, so that a token that
 * keeps up refuses nobody. The account is used up when all threads have waited for
 * P11S_ADMISSION_BURST_MS, or four times as long where half may wait. It is crowded when half of it
 * is used, and until nobody has been refused for P11S_ADMISSION_OVER_MS.
 *
 * There is an account for each token, with its share of what may wait, and one for all tokens. Only
 * what both forbid is forbidden: a token may have the threads that no other one needs, and what
 * others use does not count against it.
 *
 * A query that comes when as many as may do wait, is refused when the account is crowded, and else
 * waits no longer than P11S_ADMISSION_BURST_MS, or twice as long where half may wait. When the
 * account is used up, every query is refused. Neither holds for the first query of a zone, which
 * waits for what other zones' queries wait for, too; but when the account is used up, one thread is
 * kept.
 *
 * Where PowerDNS deals questions to threads whether they wait or not, other answers wait behind
 * each that does. So, when the account is crowded, no query waits longer than
 * P11S_ADMISSION_BURST_MS for all of its signatures, or twice as long for a zone of which none was
 * refused. A thread that has waited for a zone of which queries are refused answers what was dealt
 * to it meanwhile before it waits for such a zone again: while questions wait for threads, for
 * P11S_ADMISSION_HURRY_MS.
 *
 * A query that has been let in is let in for its further signatures.
 *
 * crowd->lock guards all; whoever holds it takes no other.
 */
struct p11s_admission_account {
  unsigned waiting;
  uint64_t used;       /* milliseconds of a thread, in thousandths, */
  uint64_t now_ms;     /* as of then */
  uint64_t refused_ms; /* when a query last was; 0: never */
};

/* A token's. Zones are told apart by their lanes (token/queue.h), modulo P11S_ADMISSION_ZONES. */
#define P11S_ADMISSION_ZONES 256
struct p11s_admission_token {
  struct p11s_admission_account account;
  struct p11s_admission_zone {
    unsigned waiting;
    uint64_t refused_ms;
  } zone[P11S_ADMISSION_ZONES];
};

/* One per process. */
struct p11s_admission {
  struct p11s_mutex lock;
  unsigned threads; /* immutable, as is the next; 0: nobody is counted or refused */
  bool dealt;
  unsigned tokens;
  struct p11s_admission_account all;
};

#define P11S_ADMISSION_BURST_MS 500
#define P11S_ADMISSION_SHORT_MS 50
#define P11S_ADMISSION_HURRY_MS 1000
#define P11S_ADMISSION_OVER_MS                                                                     \
  2000 /* longer than queries that are waited for keep others from coming */

/* For so many query threads; dealt: they are dealt their questions in turn, and do not take them as
   they get free. */
void p11s_admission_init(struct p11s_admission *crowd, unsigned threads, bool dealt);
void p11s_admission_fini(struct p11s_admission *crowd);

/* There is one more token, or one less. */
void p11s_admission_add_token(struct p11s_admission *crowd, bool more);

/* Whether one more query may wait for the token, and has to leave afterwards, in the same thread.
   Its deadline may be made earlier, but leaves time for the signature under way, another zone's and
   its own, and for one more to a zone of which none was refused. */
bool p11s_admission_enter(struct p11s_admission *crowd, struct p11s_admission_token *token,
                          uint64_t lane, uint64_t now_ms, uint64_t signature_ms,
                          struct p11s_wait *wait);
void p11s_admission_leave(struct p11s_admission *crowd, struct p11s_admission_token *token,
                          uint64_t lane, uint64_t entered_ms, uint64_t now_ms);

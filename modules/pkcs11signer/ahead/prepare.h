/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * When a server starts: what the first query of each zone would else wait for.
 *
 * A thread reads which keys sign the zones of PowerDNS's database, and has the workers of their
 * tokens log in and find them (p11s_key_prepare()). A query that comes meanwhile waits for that
 * login, and makes none of its own. The thread ends when all is done.
 *
 * Order: zones by when a stored signature of theirs was last used, then the other zones as the
 * database has them. A token has one key at a time under way, P11S_PREPARE_TOKENS tokens have one
 * at the same time, and they take turns; one whose call takes longer than P11S_PREPARE_TURN_MS is
 * not waited for.
 *
 * Bounds: P11S_PREPARE_ZONES of those other zones, P11S_PREPARE_READ_MS for reading,
 * P11S_PREPARE_KEYS of a token, P11S_PREPARE_MS in all. What is left over is found by the query
 * that needs it.
 *
 * PINs: a login goes by the rules of pin/guard.h for one that nobody has asked for. A token that
 * cannot be used, or refuses a PIN, is left alone from then on: a start costs it one try at most,
 * whatever other PINs its rows have. A token with a keypad gets no login (pkcs11/session.h).
 */
struct p11s_prepare;
struct p11s_host_source;
struct p11s_key_table;
struct p11s_lazy_store;

/* All borrowed for ever. */
struct p11s_prepare_config {
  struct p11s_key_table *keys;
  struct p11s_lazy_store *store;
  const struct p11s_host_source *hosts; /* NULL: nobody can be asked which keys there are */
};

#define P11S_PREPARE_ZONES 10000
#define P11S_PREPARE_KEYS 1000
#define P11S_PREPARE_TOKENS 4
#define P11S_PREPARE_TURN_MS 1000
#define P11S_PREPARE_READ_MS 10000
#define P11S_PREPARE_MS 60000

/* NULL when no thread is to be had, or the configuration has no hosts. */
struct p11s_prepare *p11s_prepare_start(const struct p11s_prepare_config *config);
/* Ends the thread; false when it did not come back until deadline_ms. NULL is allowed. */
bool p11s_prepare_stop(struct p11s_prepare *prepare, uint64_t deadline_ms);
/* Waits until each token has been tried once, or, with `end`, until the thread has ended. false:
   not until the deadline. NULL is allowed. */
bool p11s_prepare_await(struct p11s_prepare *prepare, bool end, uint64_t deadline_ms);
/* Behind p11s_prepare_stop() and the end of all workers: they may still call it. */
void p11s_prepare_free(struct p11s_prepare *prepare);

/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/err.h"
#include "sign/key.h"
#include "base/lock.h"

#include <stddef.h>
#include <stdint.h>

/*
 * Signing for PowerDNS's threads: one signature under way, a flight, for each key and message.
 *
 * A signature that the store has is verified and taken from there: the token is neither asked nor
 * waited for, whatever state it is in. A fresh signature is put into the store.
 *
 * A caller that asks for a signature which is already being made waits for that one. A caller whose
 * deadline passes gets P11S_ERR_TIMEOUT. One that may not wait gets P11S_ERR_BUSY, or the reason
 * that keeps the token away (p11s_token_await()). A signature that comes later is kept for the next
 * caller: the last P11S_FLIGHTS_KEPT of them.
 *
 * flights->lock guards the table and each flight's count of waiters; it is not held while hashing,
 * waiting, or calling the token.
 */
struct p11s_flights;
struct p11s_job;
struct p11s_question;

#define P11S_FLIGHTS_KEPT 4096

/* verify: every fresh signature, not only the first of a handle. NULL: no memory. */
struct p11s_flights *p11s_flights_new(bool verify);
/* No signature may be under way. */
void p11s_flights_free(struct p11s_flights *flights);

/* Signs the question's message (RRSIG RDATA without the signature, then the RRset: RFC 4034 section
   3.1.8.1). The question is p11s_sign_question()'s, of the same key. */
enum p11s_err p11s_sign(struct p11s_flights *flights, struct p11s_key *key,
                        const struct p11s_question *question, struct p11s_wait wait,
                        struct p11s_signature *ret, struct p11s_error *e);

struct p11s_sign_ahead {
  bool claimed;             /* by p11s_sign_claim(): given back when it fails, here too */
  void (*ended)(void *arg); /* called when the job has a result: in a worker, or here */
  void *arg;
};
/* Has the message signed when the token has nothing else to do, and put into the store as signed
   ahead. Does not wait, nor look into the store. P11S_ERR_BUSY: it is being signed already;
   P11S_ERR_NOMEM. On success *ret_job is the caller's, to be given back. A p11s_sign() for the same
   makes it an ordinary one. */
enum p11s_err p11s_sign_in_background(struct p11s_flights *flights, struct p11s_key *key,
                                      const struct p11s_question *question,
                                      const struct p11s_sign_ahead *ahead,
                                      struct p11s_job **ret_job, struct p11s_error *e);

struct p11s_flights_stats {
  size_t under_way;
  size_t kept;
};
void p11s_flights_get_stats(struct p11s_flights *flights, struct p11s_flights_stats *ret);

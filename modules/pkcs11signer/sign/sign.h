/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef P11S_SIGN_SIGN_H
#define P11S_SIGN_SIGN_H

#include "base/err.h"
#include "sign/key.h"
#include "base/lock.h"

#include <stddef.h>
#include <stdint.h>

/*
 * Signing for PowerDNS's threads: one signature under way per (key, message).
 *
 * One that the signature store has is verified and taken from there: the token is not asked, nor
 * waited for, whatever state it is in. Fresh ones are put into the store.
 *
 * Whoever asks for a signature that is already being made waits for that one.
 * A caller whose deadline passes gets P11S_ERR_TIMEOUT, and one that may not wait
 * P11S_ERR_BUSY or what keeps the token away (p11s_token_await()); the signature, when it comes, is
 * kept (the last P11S_FLIGHTS_KEPT of them) for the next one who asks.
 *
 * flights->lock guards the table and each flight's count of waiters; it is not
 * held while hashing, waiting, or calling the token.
 */
struct p11s_flights;

#define P11S_FLIGHTS_KEPT 4096
/* RSA-4096 */
#define P11S_SIGNATURE_MAX 512

/* verify: every fresh signature, not only the first of a handle. NULL: no memory. */
struct p11s_flights *p11s_flights_new(bool verify);
/* No signature may be under way. */
void p11s_flights_free(struct p11s_flights *flights);

/* Signs message (RRSIG RDATA without the signature, then the RRset: RFC 4034 section 3.1.8.1). *len
   is the room in signature, at least P11S_SIGNATURE_MAX, then the signature's length. */
enum p11s_err p11s_sign(struct p11s_flights *flights, struct p11s_key *key,
                        const unsigned char *message, size_t message_len, struct p11s_wait wait,
                        unsigned char *signature, size_t *len, struct p11s_error *e);

/* Has message signed when the token has nothing else to do, and put into the store as signed ahead.
   Does not wait, nor look into the store. claimed: by p11s_sign_claim(); given back when it fails,
   here too. ended is called in a worker when the job has a result, or here. P11S_ERR_BUSY: it is
   being signed already; P11S_ERR_NOMEM. On success *ret_job is the caller's, to be given back.
   Whoever asks p11s_sign() for it meanwhile makes it an ordinary one. */
struct p11s_job;
enum p11s_err p11s_sign_in_background(struct p11s_flights *flights, struct p11s_key *key,
                                      const unsigned char *message, size_t message_len,
                                      bool claimed, void (*ended)(void *arg), void *arg,
                                      struct p11s_job **ret_job, struct p11s_error *e);

struct p11s_flights_stats {
  size_t under_way;
  size_t kept;
};
void p11s_flights_get_stats(struct p11s_flights *flights, struct p11s_flights_stats *ret);

#endif

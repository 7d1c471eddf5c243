/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "format/algorithm.h"
#include "base/err.h"
#include "format/keyref.h"
#include "base/lock.h"
#include "format/pubkey.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A reference resolved: the one object in the process for all zones and
 * threads whose references say the same (sign/key_table.h interns them).
 *
 * Its public key is known at once when the reference pins it, else when a
 * worker has read it from the token for the first time, or, while the token cannot be asked, from
 * what the signature store kept of an earlier process; from then on it never
 * changes and is read without a lock. A private key handle is found again in
 * every epoch of its token, compared with that public key, and refused when it differs.
 *
 * key->lock guards the handle and the resolve job under way.
 */
struct p11s_key;
struct p11s_key_table;
struct p11s_lazy_store;
struct p11s_token;

#define P11S_SIGNATURE_MAX 512 /* RSA-4096 */
struct p11s_signature {
  size_t len;
  unsigned char data[P11S_SIGNATURE_MAX];
};

/* Borrowed, for the key's life. */
struct p11s_key_home {
  struct p11s_key_table *table;
  struct p11s_lazy_store *store; /* or NULL */
  struct p11s_token *token;
};

/* The strings and the PIN are copied from ref, whose algorithm is one we know. For the table only.
   P11S_ERR_KEY_TYPE: the pinned public key is not of the algorithm; P11S_ERR_NOMEM. */
enum p11s_err p11s_key_new(const struct p11s_key_home *home, const struct p11s_keyref *ref,
                           const unsigned char *identity, struct p11s_key **ret_key,
                           struct p11s_error *e);
void p11s_key_free(struct p11s_key *key);

const struct p11s_algorithm *p11s_key_algorithm(const struct p11s_key *key);
struct p11s_token *p11s_key_token(const struct p11s_key *key);
struct p11s_secret *p11s_key_pin(const struct p11s_key *key);
/* Borrowed, P11S_KEY_IDENTITY_LEN bytes. */
const unsigned char *p11s_key_identity(const struct p11s_key *key);
/* What the key was made from. Borrowed. */
const struct p11s_keyref *p11s_key_reference(const struct p11s_key *key);

/* The public key if it is known, else NULL. No lock, no wait. Borrowed for the key's life. */
const struct p11s_pubkey *p11s_key_public(const struct p11s_key *key);

/*
 * What follows waits for the token, until the deadline: P11S_ERR_TIMEOUT, and what keeps the job
 * from being done (p11s_token_submit()). Besides that: P11S_ERR_NO_KEY, P11S_ERR_AMBIGUOUS,
 * P11S_ERR_KEY_TYPE, P11S_ERR_KEY_MISMATCH (not the pinned one), P11S_ERR_MECHANISM,
 * P11S_ERR_SIGNATURE (twice in a row), P11S_ERR_TOO_LONG, those of p11s_login(),
 * P11S_ERR_TOKEN. No lock may be held.
 */

/* The public key, asking the token when it is not known yet, as p11s_token_await() does. Borrowed
   for the key's life. */
enum p11s_err p11s_key_resolve(struct p11s_key *key, struct p11s_wait wait,
                               const struct p11s_pubkey **ret_public, struct p11s_error *e);

/* Before a query needs it, and behind all that somebody waits for: has a worker log in, find the
   key and, when it is not pinned, read its public half. Does not wait. ended is called once, with
   no lock held: in a worker, or before this returns. */
void p11s_key_prepare(struct p11s_key *key, void (*ended)(enum p11s_err result, void *arg),
                      void *arg);

/* Goes to the token in any case: finds token and key, logs in, compares the public key with the
   pinned one, makes one signature and verifies it. The public key is known afterwards. */
enum p11s_err p11s_key_check(struct p11s_key *key, uint64_t deadline_ms, struct p11s_error *e);

/* Has the token make one signature that nobody needs, and verifies it: to see how long that takes
   (token/speed.h), or whether it takes a message of that length (0: a short one;
   P11S_ERR_TOO_LONG). */
enum p11s_err p11s_key_try(struct p11s_key *key, size_t message_len, uint64_t deadline_ms,
                           struct p11s_error *e);

/* Whether the token got a whole message at the last signature, not its digest: then it may refuse
   one for its length. */
bool p11s_key_signs_whole(const struct p11s_key *key);

/* Makes the key pair that the reference names, which must not be there yet and not be pinned
   (P11S_ERR_EXISTS); bits: of an RSA key, 0: the default. The public key is known afterwards. What
   a failure may leave on the token, one that comes too late for the caller included, is removed
   again, or the error has the command that removes it. */
enum p11s_err p11s_key_generate(struct p11s_key *key, unsigned bits, uint64_t deadline_ms,
                                struct p11s_error *e);
/* Undoes a p11s_key_generate() of this process: removes the pair from the token, or the error has
   the command for it. P11S_ERR_NO_KEY: there was none. */
enum p11s_err p11s_key_undo_generate(struct p11s_key *key, uint64_t deadline_ms,
                                     struct p11s_error *e);

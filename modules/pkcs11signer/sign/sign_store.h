/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "sign/key.h"
#include "base/lock.h"
#include "store/store.h"

/*
 * Signatures that need no token: what sign/sign.c asks of the store (store/store.h), and gives it.
 * Without a store, or a public key that is known, nothing is found and nothing is kept.
 *
 * The question is p11s_sign_question()'s, of the same key. No locks.
 */

/* The message is hashed here, and nowhere else; it and the key are borrowed. P11S_ERR_NOMEM. */
enum p11s_err p11s_sign_question(const struct p11s_key *key, const unsigned char *message,
                                 size_t len, struct p11s_question *ret, struct p11s_error *e);

/* Anybody may have made what is stored: it is used only when it verifies. *ret_claimed: it is not
   there, and other servers of the fleet wait now until it is put or abandoned. Waits for another
   server that is making it about as long as our own token would take. */
bool p11s_sign_find(struct p11s_key *key, const struct p11s_question *question,
                    struct p11s_wait wait, struct p11s_signature *ret, bool *ret_claimed);
/* For a caller that has time: whether the store has one that verifies, here or in the fleet, so
   that p11s_sign() would ask no token. No use of it, and not counted as a request. */
bool p11s_sign_is_stored(struct p11s_key *key, const struct p11s_question *question);
/* The same for a caller that is to sign it ahead: P11S_STORE_FOUND; P11S_STORE_CLAIMED, and other
   servers of the fleet leave it to us until it is put or abandoned; P11S_STORE_ELSEWHERE, another
   server is making it; P11S_STORE_ABSENT. */
enum p11s_store_found p11s_sign_claim(struct p11s_key *key, const struct p11s_question *question);
/* A signature that the token has made; ahead: nobody has asked for it yet. */
void p11s_sign_put(struct p11s_key *key, const struct p11s_question *question,
                   const struct p11s_signature *signature, bool ahead);
/* The token could not make it. */
void p11s_sign_abandon(struct p11s_key *key, const struct p11s_question *question);

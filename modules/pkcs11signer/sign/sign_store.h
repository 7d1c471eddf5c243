/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef P11S_SIGN_SIGN_STORE_H
#define P11S_SIGN_SIGN_STORE_H

#include "sign/key.h"
#include "base/lock.h"
#include "store/store.h"

/*
 * Signatures that need no token: what sign/sign.c asks of the store (store/store.h), and gives it.
 * Without a store, nothing is found. No locks.
 */

/* What is stored may have been made by anybody: it is used only when it verifies. *len: the room,
   then the length. *ret_claimed: it is not there, and other servers of the fleet wait now until it
   is put or abandoned. Waits for another server that is making it about as long as our own token
   would take. */
bool p11s_sign_find(struct p11s_key *key, const unsigned char *message, size_t message_len,
                    struct p11s_wait wait, unsigned char *signature, size_t *len,
                    bool *ret_claimed);
/* For who has time: whether the store has one that verifies, here or in the fleet, so that
   p11s_sign() would ask no token. No use of it, and not counted as a request. The public key must
   be known. */
bool p11s_sign_is_stored(struct p11s_key *key, const unsigned char *message, size_t message_len);
/* The same for who is to sign it ahead: P11S_STORE_FOUND; P11S_STORE_CLAIMED, and other servers of
   the fleet leave it to us until it is put or abandoned; P11S_STORE_ELSEWHERE, another one is
   making it; P11S_STORE_ABSENT. */
enum p11s_store_found p11s_sign_claim(struct p11s_key *key, const unsigned char *message,
                                      size_t message_len);
/* A signature that the token has made; ahead: nobody has asked for it yet. */
void p11s_sign_put(struct p11s_key *key, const unsigned char *message, size_t message_len,
                   const unsigned char *signature, size_t len, bool ahead);
/* It could not make it. */
void p11s_sign_abandon(struct p11s_key *key, const unsigned char *message, size_t message_len);

#endif

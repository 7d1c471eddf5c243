/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/err.h"

#include <p11-kit/pkcs11.h>
#include <stdatomic.h>
#include <stdbool.h>

/*
 * A new key pair and what is known of it, from before the token is asked to make it until it is
 * somebody's or gone. Tokens fail after they have made a pair, and lose the session with it: so
 * its CKA_ID is chosen first, and by that the pair is found on any later session.
 *
 * Belongs to one worker at a time; only p11s_keypair_cancel() and p11s_keypair_say_left() may be
 * called by another thread meanwhile. Functions that take a session call PKCS#11.
 */
struct p11s_session;

#define P11S_KEYPAIR_ID_LEN 20

enum p11s_keypair_state {
  P11S_PAIR_NONE,      /* the token has nothing of it */
  P11S_PAIR_CANCELLED, /* likewise, and it is not to be made any more */
  P11S_PAIR_BEGUN,     /* C_GenerateKeyPair was called, and what it did is not known */
  P11S_PAIR_THERE,     /* it is on the token, or half of it */
  P11S_PAIR_RENAMED,   /* likewise, but the token has given it another CKA_ID */
};

struct p11s_keypair {
  const char *label; /* borrowed for the pair's life; nothing on the token has it beforehand */
  unsigned bits;     /* of an RSA key, 0: the default */
  unsigned char id[P11S_KEYPAIR_ID_LEN]; /* random: nothing else has it */
  atomic_int state;                      /* enum p11s_keypair_state */
  char tool[512];                        /* pkcs11-tool for its token: p11s_keypair_set_place() */
};

/* P11S_ERR_TOKEN: there are no random numbers. */
enum p11s_err p11s_keypair_init(struct p11s_keypair *pair, const char *label, unsigned bits,
                                struct p11s_error *e);
void p11s_keypair_copy(struct p11s_keypair *to, const struct p11s_keypair *from);
/* Only the first call counts, which must come before the pair is begun. */
void p11s_keypair_set_place(struct p11s_keypair *pair, struct p11s_session *session);

/* To be called right before C_GenerateKeyPair; false: it was cancelled. */
bool p11s_keypair_begin(struct p11s_keypair *pair);
/* false: too late, it has been begun. */
bool p11s_keypair_cancel(struct p11s_keypair *pair);

/* Removes what an earlier try has left, and sees to it that the label is free: P11S_ERR_EXISTS.
   P11S_ERR_SYNTAX for a label that no new key can have, P11S_ERR_TOKEN. */
enum p11s_err p11s_keypair_prepare(struct p11s_session *session, struct p11s_keypair *pair,
                                   struct p11s_error *e);

/* Behind a C_GenerateKeyPair that failed: looks what it has made all the same, and removes that.
   P11S_OK: it had made nothing. P11S_ERR_TOKEN: *ret_made when it had, and the error says what
   became of that; else the session is lost, and nobody knows. */
enum p11s_err p11s_keypair_clean_up(struct p11s_session *session, struct p11s_keypair *pair,
                                    bool *ret_made, struct p11s_error *e);

/* Behind one that succeeded: notes whether the token kept the CKA_ID, and sees to it that both
   halves are found by their label from now on. P11S_ERR_TOKEN says what label the token gave. */
enum p11s_err p11s_keypair_check_name(struct p11s_session *session, struct p11s_keypair *pair,
                                      CK_OBJECT_HANDLE private_key, struct p11s_error *e);

/* Removes both halves, which p11s_keypair_check_name() approved of, on any session. What is not
   found any more is gone. */
enum p11s_err p11s_keypair_remove(struct p11s_session *session, struct p11s_keypair *pair,
                                  struct p11s_error *e);

/* Adds to an error what may be left on the token, and the command that removes it. */
void p11s_keypair_say_left(const struct p11s_keypair *pair, struct p11s_error *e);

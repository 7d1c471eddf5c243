/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef P11S_PINGUARD_H
#define P11S_PINGUARD_H

#include "secret.h"

#include <stdbool.h>

/*
 * What is known of PINs without trying them: which ones a token has refused,
 * so that none is tried twice (smart cards lock after three), and which one
 * it was last logged in with. One per process, as login belongs to token and process,
 * by whatever name a reference calls the token.
 *
 * PINs are remembered as HMAC-SHA-256 under a random key of this process,
 * together with the token's serial number. Any thread; an internal lock, which is
 * the innermost of all.
 */
struct p11s_pinguard;

struct p11s_pinguard *p11s_pinguard_new(void);
void p11s_pinguard_free(struct p11s_pinguard *g);

/* Remembers a refused PIN; of more than 64 the oldest is forgotten. */
void p11s_pinguard_add(struct p11s_pinguard *g, const char *serial, const struct p11s_secret *pin);
bool p11s_pinguard_has(struct p11s_pinguard *g, const char *serial, const struct p11s_secret *pin);

/* Remembers the PIN that a login succeeded with, in place of an earlier one of this token. */
void p11s_pinguard_accept(struct p11s_pinguard *g, const char *serial,
                          const struct p11s_secret *pin);

enum p11s_pin_proof {
  P11S_PIN_UNKNOWN, /* no login to this token was ours */
  P11S_PIN_PROVEN,
  P11S_PIN_OTHER, /* a token has one PIN at a time: while it is logged in, this one is wrong */
};
enum p11s_pin_proof p11s_pinguard_proof(struct p11s_pinguard *g, const char *serial,
                                        const struct p11s_secret *pin);

#endif

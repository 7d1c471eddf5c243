/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef P11S_PINGUARD_H
#define P11S_PINGUARD_H

#include "secret.h"

#include <stdbool.h>

/*
 * Which PINs a token has refused in this process, so that none is tried
 * twice: smart cards lock after three. A PIN is remembered as HMAC-SHA-256,
 * under a random key of this process, together with the token's serial.
 * Not thread-safe: guarded by its owner's lock.
 */
struct p11s_pinguard;

struct p11s_pinguard *p11s_pinguard_new(void);
void p11s_pinguard_free(struct p11s_pinguard *r);

/* Remembers; of more than 64 the oldest is forgotten. */
void p11s_pinguard_add(struct p11s_pinguard *r, const char *serial, const struct p11s_secret *pin);
bool p11s_pinguard_has(const struct p11s_pinguard *r, const char *serial,
                       const struct p11s_secret *pin);

#endif

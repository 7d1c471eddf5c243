/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/err.h"
#include "ahead/host.h"
#include "sign/key.h"
#include "signer/signer.h"

/*
 * Whether a token signs all messages of a zone, or refuses some for their length. For an
 * administrator's command, in one thread; waits for the token and, when that refuses a message as
 * long as any, for the database.
 */

/* The key has just signed a short message. P11S_ERR_TOO_LONG: the error has the limit, and the
   RRsets of the zone that are beyond it. P11S_ERR_HOST, and those of p11s_key_try(). */
enum p11s_err p11s_check_lengths(struct p11s_signer *signer, const struct p11s_host *host,
                                 const char *zone, struct p11s_key *key, struct p11s_error *e);

/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/err.h"
#include "sign/key.h"
#include "token/speed.h"

struct p11s_signer;

/*
 * How fast a token signs, tried out: a few signatures that nobody needs, one after the other, then
 * as many at once as there are sessions, a few seconds in all. For an administrator's command, in
 * its own thread; waits for the token.
 *
 * *ret_rate: what this process has measured of the key's token so far. *ret_room: how many sessions
 * the token has for us, 0: not known. Both are written on success only. Errors: those of
 * p11s_key_try().
 */
enum p11s_err p11s_measure(struct p11s_signer *signer, struct p11s_key *key,
                           struct p11s_speed *ret_rate, unsigned *ret_room, struct p11s_error *e);

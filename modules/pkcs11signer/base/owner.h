/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/err.h"

#include <stdbool.h>

/*
 * When root runs pdnsutil, tokens are used with the rights of the state directory's owner, which is
 * the server's user. Otherwise a key that root makes in SoftHSM's files would be readable for root
 * alone, and a key that root finds might be closed to the server.
 *
 * Rights belong to a thread: its user, group and supplementary groups become the owner's, as after
 * the server's setuid, while all other threads stay root. So the database, pdns.conf, credentials
 * and the terminal are used as root. A thread that is started meanwhile inherits the rights. Root
 * can be taken back, but not by a program that the thread starts.
 *
 * A server has no owner set. Nor has a pdnsutil that root does not run, or whose state directory is
 * missing or root's. No locks: p11s_owner_set() comes before all threads that call the others.
 */

/* false, with errno: the process may not take on the owner's rights, and none is set. */
bool p11s_owner_set(const char *state_dir);

/* This thread uses the owner's rights from now on, or root's. Returns which it used before: true is
   the owner's. Does nothing, and returns false, when no owner is set. */
bool p11s_owner_act(bool as_owner);

/* "user pdns, whom DIRECTORY belongs to" when this thread uses the owner's rights, else NULL.
   Static. */
const char *p11s_owner_name(void);
/* Adds that name to an error that may come of such rights. NULL is allowed. */
void p11s_owner_explain(struct p11s_error *e);

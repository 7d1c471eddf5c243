/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>

/*
 * Runs the program pkcs11signer-probe. There a PKCS#11 library (pkcs11/trial.h) or a file of
 * unknown content (store/recover.h) may crash or hang without harm to this process.
 *
 * The program stands where `make install` puts it; PKCS11SIGNER_PROBE in the environment names
 * another. Its output is its result: a server that ignores SIGCHLD learns no exit status. The calls
 * block until the program has ended; one that is late is killed. No locks.
 */

/* Called in the calling thread whenever there is more output, with all of it so far. The function
   may take from it. */
typedef void (*p11s_child_fn)(struct p11s_buf *output, void *arg);

/* argument: the program's arguments, NULL behind the last. fn: may be NULL. The call ends two
   seconds after the deadline at the latest. P11S_ERR_HOST: the program could not be started.
   P11S_ERR_TIMEOUT: it did not finish. After a crash the output is incomplete, and P11S_OK is
   returned. */
enum p11s_err p11s_child_run(const char *const *argument, unsigned deadline_ms, p11s_child_fn fn,
                             void *arg, struct p11s_buf *output, struct p11s_error *e);

/* The same with another deadline: when the program has written nothing for silence_ms. */
enum p11s_err p11s_child_follow(const char *const *argument, unsigned silence_ms, p11s_child_fn fn,
                                void *arg, struct p11s_buf *output, struct p11s_error *e);

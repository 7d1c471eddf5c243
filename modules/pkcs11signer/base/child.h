/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef P11S_BASE_CHILD_H
#define P11S_BASE_CHILD_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>

/*
 * Runs the program pkcs11signer-probe, in which what may crash or hang does so without
 * harm to this process: PKCS#11 modules (pkcs11/trial.h), files of unknown content
 * (store/recover.h).
 *
 * It is looked for where `make install` puts it; PKCS11SIGNER_PROBE in the environment names
 * another. What it finds out is what it writes: a server that ignores SIGCHLD learns no exit
 * status. Blocks until the program has ended; one that is late is killed. No locks.
 */

/* Called, in the calling thread, with the output so far whenever there is more; it may take from
   it. */
typedef void (*p11s_child_fn)(struct p11s_buf *output, void *arg);

/* argument: what follows the program's name, NULL behind the last. fn: may be NULL. At the latest
   it ends two seconds after the deadline. P11S_ERR_HOST: it could not be started; P11S_ERR_TIMEOUT:
   it did not finish. A crash is not seen here: the output is incomplete. */
enum p11s_err p11s_child_run(const char *const *argument, unsigned deadline_ms, p11s_child_fn fn,
                             void *arg, struct p11s_buf *output, struct p11s_error *e);

/* The same for what takes as long as it takes, but says so: it may go on until it has written
   nothing for so long. */
enum p11s_err p11s_child_follow(const char *const *argument, unsigned silence_ms, p11s_child_fn fn,
                                void *arg, struct p11s_buf *output, struct p11s_error *e);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "ahead/host.h"
#include "signer/signer.h"

/*
 * The command line of `pdnsutil backend-cmd pkcs11signer "COMMAND …"`:
 * those that help lists (docs/commands.md).
 *
 * Words are separated by blanks; '…' and "…" keep blanks together, a
 * backslash keeps the next character (not inside '…'). `--json` anywhere
 * behind the command asks for JSON instead of a table. A PIN given as `-` is
 * asked for on the terminal. line is left as it is: pdnsutil has shown it already.
 *
 * Output goes to out, complete lines. On failure *e says why, and out may hold what was found
 * out before: the caller shows both (`check` lists all, then fails). Runs in the calling thread and
 * may wait for the token: administrative use only.
 */
enum p11s_err p11s_command_run(struct p11s_signer *signer, const struct p11s_host *host,
                               const char *line, struct p11s_buf *out, struct p11s_error *e);

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
 * backslash keeps the next character (not inside '…'). Words behind the command
 * that begin with "--", or with '-' and a letter, are options: `--json` asks for JSON instead of a
 * table, `--help` explains the command; none is behind `--`. A PIN given as `-` is
 * asked for on the terminal. line is left as it is: pdnsutil has shown it already.
 *
 * Output goes to out, complete lines. On failure *e says why, and out may hold what was found
 * out before: the caller shows both (`check` lists all, then fails). Runs in the calling thread and
 * may wait for the token: administrative use only.
 */
enum p11s_err p11s_command_run(struct p11s_signer *signer, const struct p11s_host *host,
                               const char *line, struct p11s_buf *out, struct p11s_error *e);

/* For a command line of pdnsutil with several lines: when one of them is no command, somebody has
   left out the quotes around a single one. P11S_ERR_SYNTAX says so, without a PIN. Runs nothing. */
enum p11s_err p11s_command_check_lines(const char *const *lines, size_t count,
                                       struct p11s_error *e);

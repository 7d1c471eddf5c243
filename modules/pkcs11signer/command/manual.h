/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/buf.h"
#include "base/err.h"

/*
 * What there is to read of each command. `help`, the manual pages, `pkcs11signer` and completion
 * take all of it from here. Needs nothing of the module but base/. Static; no locks.
 */
struct p11s_manual {
  const char *name;
  const char *args;    /* in order; those in [] may be left out; a|b: one of these words */
  const char *purpose; /* one sentence */
  const char *details; /* lines for a terminal, each with its newline; `…`: a command's name */
};

/* The program `pkcs11signer` itself. */
extern const struct p11s_manual p11s_manual_program;

/* The commands, and the options of that program, in the order of `help`. After NULL the first; NULL
   after the last. */
const struct p11s_manual *p11s_manual_next(const struct p11s_manual *after);
const struct p11s_manual *p11s_manual_next_option(const struct p11s_manual *after);

/* In any case of letters; NULL: there is none. */
const struct p11s_manual *p11s_manual_find(const char *name);
/* P11S_ERR_SYNTAX: that there is none, and which may be meant. Does not repeat the name: it is on
   the screen already, and may be a PIN. */
enum p11s_err p11s_manual_unknown(const char *name, struct p11s_error *e);

/* How many arguments it takes, options not counted. */
void p11s_manual_count(const struct p11s_manual *m, size_t *ret_least, size_t *ret_most);

/* What `help NAME` prints, or `help` (NULL); and `version`. */
void p11s_manual_help(const struct p11s_manual *m, struct p11s_buf *out);
void p11s_manual_version(struct p11s_buf *out);

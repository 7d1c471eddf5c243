/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "token/status_file.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * The tokens of running servers, each with all the names that a server's rows have for it. Names
 * are one token's when their server found the same one in the same slot of the same module
 * (p11s_slot_compare()). A name that has not found its token yet stands for one of its own.
 *
 * Names of a token that differ in their state stay apart, as there is a reason: a PIN of their own,
 * a name that is right no more. But a name that was seen last before another one found the token
 * gone is counted among those that are away.
 *
 * Plain memory, no locks.
 */
struct p11s_status_names {
  struct p11s_status_line *lines; /* strings are its own */
  size_t count;
  bool failed; /* no memory */
};

/* A p11s_status_fn; arg: struct p11s_status_names. */
void p11s_status_names_add(const struct p11s_status_line *line, void *arg);
/* Once all are there. Lines of one token and state stand together from now on, in order of name. */
void p11s_status_names_sort(struct p11s_status_names *names);
/* How many lines, from that one on, are one token's in one state. At least 1. */
size_t p11s_status_names_same(const struct p11s_status_names *names, size_t first);
void p11s_status_names_clear(struct p11s_status_names *names);

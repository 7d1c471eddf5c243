/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <limits.h>
#include <stdbool.h>

/*
 * What PowerDNS's configuration says of the server's user, read as PowerDNS reads it: pdns.conf, or
 * pdns-NAME.conf, then the *.conf of its include-dir; the last line counts; a backslash at a line's
 * end joins it with the next; a # behind a blank begins a comment. No locks.
 */

struct p11s_configuration {
  char setuid[256]; /* "" when it is not set */
  char state_dir[PATH_MAX];
  char include_dir[PATH_MAX];
};

/* name may be "". false: a file cannot be read; *ret has what the others say, and the defaults. */
bool p11s_configuration_read(const char *dir, const char *name, struct p11s_configuration *ret);

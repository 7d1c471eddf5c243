/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/err.h"

#include <pwd.h>
#include <stdbool.h>

/*
 * Whom root's command is run as, so that what it makes is the server's: tokens' files, stored
 * signatures, a database file. Only root calls these. No locks.
 */

/* By name or number. Entries are the C library's, until the next call. P11S_ERR_SYNTAX: there is no
   such user. */
enum p11s_err p11s_user_find(const char *name, const struct passwd **ret_user,
                             struct p11s_error *e);

/* The server's user: that of the setting setuid, else whom the state directory belongs to. NULL:
   root, as it is also where that user may not read the configuration of which dir and name are
   PowerDNS's config-dir and config-name: the server then reads it as root. P11S_ERR_SYNTAX: setuid
   names nobody. */
enum p11s_err p11s_user_of_server(const char *dir, const char *name, const struct passwd **ret_user,
                                  struct p11s_error *e);

/* Takes on that user's rights for good, with HOME, USER and LOGNAME. P11S_ERR_HOST: it is not
   allowed, and the process is to end. */
enum p11s_err p11s_user_become(const struct passwd *user, struct p11s_error *e);

/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "pkcs11/exclusive.h"

#include <stdbool.h>

/*
 * Libraries that do not notice what happens to a token: only C_Finalize and C_Initialize help.
 * For workers that are in the library (pkcs11/exclusive.h).
 *
 * All sessions of the library in this process are gone afterwards. The call waits some seconds at
 * most for others to leave the library, then as long as it takes. Nothing is done when the library
 * was initialized just now (P11S_MODULE_OLD_MS), when it has been through this less than
 * interval_ms ago, or when it is in use under another name too. True: another try, on a new
 * session, may do better.
 */

/* For a library with P11S_QUIRK_READS_ONCE; others ask the token anew, and would lose their other
   tokens. */
bool p11s_module_reread(const char *name, struct p11s_exclusive *x, unsigned interval_ms);

/* For any library that has no slots, or cannot list them, so that nobody has anything to lose:
   p11-kit's client, for one, connects once, and has no slots for ever when nobody was there to
   connect to. */
bool p11s_module_restart(const char *name, struct p11s_exclusive *x, unsigned interval_ms);

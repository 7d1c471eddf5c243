/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef P11S_PKCS11_RESTART_H
#define P11S_PKCS11_RESTART_H

#include "pkcs11/exclusive.h"

#include <stdbool.h>

/*
 * Libraries that do not notice what happens to a token: only C_Finalize and C_Initialize help.
 * Functions may block as long as that takes; they are for workers that are inside the gate.
 *
 * All sessions of the library in this process are gone afterwards. Waits until all others have left
 * the library, some seconds at most. Nothing is done when the library was initialized just now
 * (P11S_MODULE_OLD_MS), has been through this less than interval_ms ago, or is in use under another
 * name too, as p11-kit's modules of one library have different gates. True: it is worth trying
 * again, on a new session.
 */

/* For a library with P11S_QUIRK_READS_ONCE; others ask the token anew, and would lose their other
   tokens. */
bool p11s_module_reread(const char *name, struct p11s_exclusive *gate, unsigned interval_ms);

/* For any library that has no slots, or cannot list them, so that nobody has anything to lose:
   p11-kit's client, for one, connects once, and has no slots for ever when nobody was there to
   connect to. */
bool p11s_module_restart(const char *name, struct p11s_exclusive *gate, unsigned interval_ms);

#endif

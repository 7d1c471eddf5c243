/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <p11-kit/pkcs11.h>

/*
 * What libraries do that PKCS#11 does not provide for, by the name they give themselves. Each was
 * met with the version that docs/tokens.md names.
 */

/* It reads what is on a token once, when it first sees it: a key that another program makes or
   deletes afterwards does not exist, or still does, for the programs that were there before. So for
   its connection to the token: when that is lost, each login fails from then on. Initializing the
   library anew helps (pkcs11/restart.h). OpenSC, tpm2-pkcs11. */
#define P11S_QUIRK_READS_ONCE 1U

/* When another program has reset the card, logging out makes it select the card's application
   again. OpenSC. */
#define P11S_QUIRK_LOG_OUT 2U

/* It crashes when two threads sign. openCryptoki before 3.14, which reworked its locks. */
#define P11S_QUIRK_ONE_THREAD 4U

/* The sum of those that the library has. Calls C_GetInfo: only from workers. No locks. */
unsigned p11s_quirks(CK_FUNCTION_LIST *module);

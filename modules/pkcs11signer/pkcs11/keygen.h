/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "format/algorithm.h"
#include "base/err.h"
#include "pkcs11/keypair.h"
#include "format/pubkey.h"

#include <p11-kit/pkcs11.h>

/*
 * Making key pairs on a token. The session must be read/write and logged in. Calls PKCS#11: only
 * from workers. No locks.
 *
 * The private key is CKA_TOKEN, CKA_PRIVATE, CKA_SENSITIVE, CKA_SIGN and not
 * CKA_EXTRACTABLE; nothing else is allowed with it. A token that makes one
 * which can be read all the same is not believed: the pair is removed.
 *
 * What goes wrong once C_GenerateKeyPair has been called is undone, if the session allows it; pair
 * says what is left (pkcs11/keypair.h). Called again with the same pair, on a fresh session, it
 * first removes what the earlier try has left: no key is made blindly twice.
 */

/* pair: fresh, or of an earlier try. P11S_ERR_EXISTS when a private or public key has the label,
   P11S_ERR_KEY_TYPE for a size that is not allowed, P11S_ERR_MECHANISM, P11S_ERR_TIMEOUT:
   cancelled, P11S_ERR_TOKEN; its CK_RV is a lost session's only when another try may do better. */
enum p11s_err p11s_keygen_make(struct p11s_session *session, const struct p11s_algorithm *alg,
                               struct p11s_keypair *pair, struct p11s_pubkey **ret_public,
                               struct p11s_error *e);

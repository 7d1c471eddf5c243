/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef P11S_KEYGEN_H
#define P11S_KEYGEN_H

#include "algorithm.h"
#include "err.h"
#include "pubkey.h"

#include <p11-kit/pkcs11.h>

/*
 * Making key pairs on a token, and undoing it. The session must be read/write
 * and logged in. Calls PKCS#11: only from workers. No locks.
 *
 * The private key is CKA_TOKEN, CKA_PRIVATE, CKA_SENSITIVE, CKA_SIGN and not
 * CKA_EXTRACTABLE; nothing else is allowed with it. A token that makes one
 * which can be read all the same is not believed: the pair is removed.
 *
 * CKA_ID is the first 20 bytes of SHA-256 over the DNSKEY public key field; a
 * token that does not let it be set afterwards keeps the random one the pair
 * was made with.
 */
struct p11s_keypair {
  CK_OBJECT_HANDLE public_key;
  CK_OBJECT_HANDLE private_key;
};

/* bits: RSA only, 0 for the default. P11S_ERR_EXISTS when a private or public key has the label,
   P11S_ERR_KEY_TYPE for a size that is not allowed, P11S_ERR_MECHANISM, P11S_ERR_TOKEN.
   What was half made is removed again on failure. */
enum p11s_err p11s_keygen_make(CK_FUNCTION_LIST *module, CK_SESSION_HANDLE session,
                               const struct p11s_algorithm *alg, unsigned bits, const char *label,
                               struct p11s_keypair *ret_pair, struct p11s_pubkey **ret_public,
                               struct p11s_error *e);

/* C_DestroyObject for both; goes on when one fails. */
enum p11s_err p11s_keygen_destroy(CK_FUNCTION_LIST *module, CK_SESSION_HANDLE session,
                                  const struct p11s_keypair *pair, struct p11s_error *e);

#endif

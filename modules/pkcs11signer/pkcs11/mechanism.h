/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "format/algorithm.h"
#include "base/err.h"

#include <p11-kit/pkcs11.h>
#include <stdbool.h>

/* What a token can do. Calls PKCS#11 (C_GetMechanismList): only from workers and administrative
   commands. No locks. */
struct p11s_mechanisms {
  CK_MECHANISM_TYPE *list;
  CK_ULONG count;
};
/* P11S_ERR_TOKEN, P11S_ERR_NOMEM. The caller clears *ret. */
enum p11s_err p11s_mechanisms_get(CK_FUNCTION_LIST *module, CK_SLOT_ID id,
                                  struct p11s_mechanisms *ret, struct p11s_error *e);
bool p11s_mechanisms_have(const struct p11s_mechanisms *m, CK_MECHANISM_TYPE type);
/* Frees the list and makes *m empty; fine for an empty one. */
void p11s_mechanisms_clear(struct p11s_mechanisms *m);

/* "CKM_ECDSA"; of those in the table of algorithms that sign. */
const char *p11s_mechanism_name(CK_MECHANISM_TYPE type);

/* P11S_ERR_MECHANISM: "the token cannot WHAT ALGORITHM", and the DNSSEC algorithms it can sign
 * with. */
enum p11s_err p11s_mechanisms_missing(const struct p11s_mechanisms *m, const char *what,
                                      const struct p11s_algorithm *alg, struct p11s_error *e);

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pkcs11/mechanism.h"

#include "base/buf.h"
#include "pkcs11/list.h"

#include <stdlib.h>

static CK_RV list_mechanisms(const struct p11s_list_call *call, CK_ULONG *list, CK_ULONG *count)
{
  return call->module->C_GetMechanismList(call->slot, list, count);
}

enum p11s_err p11s_mechanisms_get(CK_FUNCTION_LIST *module, CK_SLOT_ID id,
                                  struct p11s_mechanisms *ret, struct p11s_error *e)
{
  const struct p11s_list_call call = {list_mechanisms, module, id, "C_GetMechanismList",
                                      "mechanisms"};

  return p11s_list_read(&call, &ret->list, &ret->count, e);
}

bool p11s_mechanisms_have(const struct p11s_mechanisms *m, CK_MECHANISM_TYPE type)
{
  for (CK_ULONG i = 0; i < m->count; i++)
    if (m->list[i] == type)
      return true;
  return false;
}

void p11s_mechanisms_clear(struct p11s_mechanisms *m)
{
  free(m->list);
  *m = (struct p11s_mechanisms){NULL, 0};
}

const char *p11s_mechanism_name(CK_MECHANISM_TYPE type)
{
#define NAME(type)                                                                                 \
  {                                                                                                \
    type, #type                                                                                    \
  }
  static const struct {
    CK_MECHANISM_TYPE type;
    const char *name;
  } names[] = {NAME(CKM_RSA_PKCS),        NAME(CKM_SHA1_RSA_PKCS), NAME(CKM_SHA256_RSA_PKCS),
               NAME(CKM_SHA512_RSA_PKCS), NAME(CKM_ECDSA),         NAME(CKM_ECDSA_SHA256),
               NAME(CKM_ECDSA_SHA384),    NAME(CKM_EDDSA)};
#undef NAME

  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
    if (names[i].type == type)
      return names[i].name;
  return "another mechanism";
}

enum p11s_err p11s_mechanisms_missing(const struct p11s_mechanisms *m, const char *what,
                                      const struct p11s_algorithm *alg, struct p11s_error *e)
{
  struct p11s_buf offered = P11S_BUF_INIT;
  const struct p11s_algorithm *other;

  for (size_t i = 0; (other = p11s_algorithm_at(i)) != NULL; i++)
    if (p11s_mechanisms_have(m, other->raw) || p11s_mechanisms_have(m, other->hashing))
      p11s_buf_addf(&offered, "%s%u (%s)", offered.len > 0 ? ", " : "", other->number,
                    other->mnemonic);
  (void)p11s_error_set(e, P11S_ERR_MECHANISM,
                       "the token cannot %s algorithm %u (%s); DNSSEC algorithms it offers: %s",
                       what, alg->number, alg->mnemonic,
                       offered.len > 0 ? p11s_buf_text(&offered) : "none");
  p11s_buf_clear(&offered);
  return P11S_ERR_MECHANISM;
}

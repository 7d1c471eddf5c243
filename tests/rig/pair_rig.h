/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "pkcs11/attribute.h"
#include "pkcs11/keygen.h"
#include "pkcs11/session_internal.h"

/* For functions that take a session, of which the test has module and handle. */
#define SESSION_OF(its_module, its_handle)                                                         \
  (&(struct p11s_session){.module = (its_module), .handle = (its_handle)})

/* Key pairs made on a token by pkcs11/keygen.h, with their handles. */
struct test_pair {
  CK_OBJECT_HANDLE public_key, private_key;
  struct p11s_keypair made;
};

/* CK_INVALID_HANDLE when no object has the CKA_ID. */
static inline CK_OBJECT_HANDLE test_pair_find(CK_FUNCTION_LIST *module, CK_SESSION_HANDLE session,
                                              CK_OBJECT_CLASS class,
                                              const struct p11s_keypair *pair)
{
  CK_ATTRIBUTE template[] = {{CKA_CLASS, &class, sizeof class},
                             {CKA_ID, (void *)(uintptr_t)pair->id, sizeof pair->id}};
  struct p11s_handles found = {NULL, 0};
  CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;

  if (p11s_objects_search(SESSION_OF(module, session), template, 2, &found, NULL) == P11S_OK &&
      found.count > 0)
    handle = found.list[0];
  p11s_handles_clear(&found);
  return handle;
}

/* label must outlive the pair. */
static inline enum p11s_err test_pair_make(CK_FUNCTION_LIST *module, CK_SESSION_HANDLE session,
                                           const struct p11s_algorithm *alg, unsigned bits,
                                           const char *label, struct test_pair *ret_pair,
                                           struct p11s_pubkey **ret_public, struct p11s_error *e)
{
  struct p11s_session on = {.module = module, .handle = session};
  struct p11s_keypair made;
  CK_SESSION_INFO info;
  enum p11s_err result = p11s_keypair_init(&made, label, bits, e);

  if (module->C_GetSessionInfo(session, &info) == CKR_OK)
    on.slot.id = info.slotID;
  if (result == P11S_OK)
    result = p11s_keygen_make(&on, alg, &made, ret_public, e);
  p11s_mechanisms_clear(&on.mechanisms);
  if (result != P11S_OK)
    return result;
  ret_pair->public_key = test_pair_find(module, session, CKO_PUBLIC_KEY, &made);
  ret_pair->private_key = test_pair_find(module, session, CKO_PRIVATE_KEY, &made);
  p11s_keypair_copy(&ret_pair->made, &made);
  return P11S_OK;
}

/* By the handles that are set, whatever the labels are by now. */
static inline enum p11s_err test_pair_destroy(CK_FUNCTION_LIST *module, CK_SESSION_HANDLE session,
                                              const struct test_pair *pair)
{
  const CK_OBJECT_HANDLE halves[] = {pair->private_key, pair->public_key};
  enum p11s_err result = P11S_OK;

  for (size_t i = 0; i < 2; i++)
    if (halves[i] != CK_INVALID_HANDLE && module->C_DestroyObject(session, halves[i]) != CKR_OK)
      result = P11S_ERR_TOKEN;
  return result;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finalizing a library under everybody's feet (pkcs11/module_internal.h, pkcs11/restart.h). */
#include "pkcs11/module_internal.h"

#include <stdlib.h>

/* p11-kit's client is another one, with a connection of its own, each time its file is looked at.
   When PowerDNS has initialized the one that p11-kit gave us both, as it does with all modules when
   it starts, nobody can finalize it: we take another, for us alone. */
static bool is_another(CK_FUNCTION_LIST *library, const struct p11s_module_entry *entry)
{
  CK_INFO info;

  return library->C_GetInfo(&info) == CKR_CRYPTOKI_NOT_INITIALIZED &&
         entry->module->C_GetInfo(&info) != CKR_CRYPTOKI_NOT_INITIALIZED;
}

static bool finalize_alone(struct p11s_module_entry *entry)
{
  CK_RV rv = entry->module->C_Finalize(NULL);

  p11s_module_set_idle(entry, NULL);
  return rv == CKR_OK;
}

static bool take_for_us_alone(struct p11s_module_entry *entry, CK_FUNCTION_LIST *library)
{
  if (entry->ours)
    (void)p11_kit_module_finalize(entry->module);
  p11s_module_set_idle(entry, library);
  return true;
}

bool p11s_module_finalize_library(const char *name)
{
  struct p11s_module_entry *entry = p11s_module_begin_anew(name);
  CK_FUNCTION_LIST *library;
  CK_RV rv;
  char *path;

  if (entry == NULL)
    return false;
  if (entry->alone)
    return finalize_alone(entry);
  path = p11_kit_module_get_filename(entry->module);
  library = path != NULL ? p11_kit_module_load(path, P11_KIT_MODULE_UNMANAGED) : NULL;
  free(path);
  if (library == NULL)
    return false;
  if (is_another(library, entry))
    return take_for_us_alone(entry, library);
  rv = library->C_Finalize(NULL);
  p11_kit_module_release(library);
  if (rv == CKR_OK)
    p11s_module_lost(name);
  return rv == CKR_OK;
}

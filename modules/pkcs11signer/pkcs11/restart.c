/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pkcs11/restart.h"

#include "base/lock.h"
#include "base/log.h"
#include "pkcs11/module.h"
#include "pkcs11/module_internal.h"
#include "pkcs11/quirk.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

/* Longer than a call takes; one that hangs must not keep the others out. */
#define ALONE_MS 5000

/* Of the library that a module is in; NULL when it is not to be had. Whoever closes it: dlclose().
 */
static void *handle_of(CK_FUNCTION_LIST *module)
{
  char *path = p11_kit_module_get_filename(module);
  void *handle = path != NULL ? dlopen(path, RTLD_LAZY | RTLD_NOLOAD) : NULL;

  free(path);
  return handle;
}

static bool is_same_library(CK_FUNCTION_LIST *a, CK_FUNCTION_LIST *b)
{
  void *a_handle = handle_of(a), *b_handle = handle_of(b);
  bool same = a_handle != NULL && a_handle == b_handle;

  if (a_handle != NULL)
    (void)dlclose(a_handle);
  if (b_handle != NULL)
    (void)dlclose(b_handle);
  return same;
}

/* Whether the library is in use under another name too: p11s_exclusive_close() does not know who is
   in it for that one. */
static bool has_twin(const char *name, CK_FUNCTION_LIST *module)
{
  bool found = false, end = false;

  for (size_t i = 0; !end && !found; i++) {
    const char *other_name = name;
    CK_FUNCTION_LIST *other = p11s_module_in_use(i, &other_name, &end);

    found = other != NULL && strcmp(other_name, name) != 0 && is_same_library(module, other);
  }
  return found;
}

/* p11-kit's client is another one, with a connection of its own, each time its file is looked at.
   When PowerDNS has initialized the one that p11-kit gave us both, as it does with all modules when
   it starts, nobody can finalize it: we take another, for us alone. */
static bool is_another(CK_FUNCTION_LIST *library, const struct p11s_module_entry *entry)
{
  CK_INFO info;

  return library->C_GetInfo(&info) == CKR_CRYPTOKI_NOT_INITIALIZED &&
         entry->module->C_GetInfo(&info) != CKR_CRYPTOKI_NOT_INITIALIZED;
}

bool p11s_module_finalize_library(const char *name)
{
  struct p11s_module_entry *entry = p11s_module_begin_anew(name);
  CK_FUNCTION_LIST *library;
  CK_RV rv;
  char *path;

  if (entry == NULL)
    return false;
  if (entry->alone) {
    rv = entry->module->C_Finalize(NULL);
    p11s_module_set_idle(entry, NULL);
    return rv == CKR_OK;
  }
  path = p11_kit_module_get_filename(entry->module);
  library = path != NULL ? p11_kit_module_load(path, P11_KIT_MODULE_UNMANAGED) : NULL;
  free(path);
  if (library == NULL)
    return false;
  if (is_another(library, entry)) {
    if (entry->ours)
      (void)p11_kit_module_finalize(entry->module);
    p11s_module_set_idle(entry, library);
    return true;
  }
  rv = library->C_Finalize(NULL);
  p11_kit_module_release(library);
  if (rv == CKR_OK)
    p11s_module_lost(name);
  return rv == CKR_OK;
}

bool p11s_module_restart(const char *name, struct p11s_exclusive *x, unsigned interval_ms)
{
  struct p11s_error error = {0};
  CK_FUNCTION_LIST *module = NULL;
  enum p11s_exclusive_result closed;
  bool done;

  if (!p11s_module_is_old(name, interval_ms) || p11s_module_get(name, &module, &error) != P11S_OK ||
      has_twin(name, module))
    return false;
  closed = p11s_exclusive_close(x, p11s_now_ms() + ALONE_MS);
  if (closed != P11S_EXCLUSIVE_ALONE)
    return closed == P11S_EXCLUSIVE_AFTER;
  done = p11s_module_finalize_library(name);
  if (done) {
    p11s_log_debug("PKCS#11 module '%s' is initialized anew, to see what is there now", name);
    done = p11s_module_get(name, &module, &error) == P11S_OK;
  }
  p11s_exclusive_open(x);
  return done;
}

bool p11s_module_reread(const char *name, struct p11s_exclusive *x, unsigned interval_ms)
{
  struct p11s_error error = {0};
  CK_FUNCTION_LIST *module = NULL;

  return p11s_module_is_old(name, interval_ms) &&
         p11s_module_get(name, &module, &error) == P11S_OK &&
         (p11s_quirks(module) & P11S_QUIRK_READS_ONCE) != 0 &&
         p11s_module_restart(name, x, interval_ms);
}

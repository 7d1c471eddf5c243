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

/* Whether the library is in use under another name too: who is in it for that one is in another
   gate. */
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

bool p11s_module_restart(const char *name, struct p11s_exclusive *gate, unsigned interval_ms)
{
  struct p11s_error error = {0};
  CK_FUNCTION_LIST *module = NULL;
  enum p11s_exclusive_result gated;
  bool done;

  if (!p11s_module_is_old(name, interval_ms) || p11s_module_get(name, &module, &error) != P11S_OK ||
      has_twin(name, module))
    return false;
  gated = p11s_exclusive_close(gate, p11s_now_ms() + ALONE_MS);
  if (gated != P11S_EXCLUSIVE_ALONE)
    return gated == P11S_EXCLUSIVE_AFTER;
  done = p11s_module_finalize_library(name);
  if (done) {
    p11s_log_debug("PKCS#11 module '%s' is initialized anew, to see what is there now", name);
    done = p11s_module_get(name, &module, &error) == P11S_OK;
  }
  p11s_exclusive_open(gate);
  return done;
}

bool p11s_module_reread(const char *name, struct p11s_exclusive *gate, unsigned interval_ms)
{
  struct p11s_error error = {0};
  CK_FUNCTION_LIST *module = NULL;

  return p11s_module_is_old(name, interval_ms) &&
         p11s_module_get(name, &module, &error) == P11S_OK &&
         (p11s_quirks(module) & P11S_QUIRK_READS_ONCE) != 0 &&
         p11s_module_restart(name, gate, interval_ms);
}

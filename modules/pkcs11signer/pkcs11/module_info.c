/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What modules say of themselves (pkcs11/module.h). */
#include "base/log.h"
#include "pkcs11/module.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool describe(const char *name, struct p11s_module_info *info)
{
  CK_FUNCTION_LIST *module = NULL;
  struct p11s_error error = {0};
  char *path;
  CK_INFO ck;

  if (p11s_module_get(name, &module, &error) != P11S_OK || module == NULL) {
    p11s_log_debug("%s", error.text);
    return false;
  }
  memset(info, 0, sizeof *info);
  memset(&ck, 0, sizeof ck);
  (void)snprintf(info->name, sizeof info->name, "%s", name);
  path = p11_kit_module_get_filename(module);
  (void)snprintf(info->path, sizeof info->path, "%s", path != NULL ? path : "");
  free(path);
  p11s_error_clean(info->path);
  if (module->C_GetInfo(&ck) == CKR_OK) {
    p11s_padded_copy(info->description, sizeof info->description, ck.libraryDescription,
                     sizeof ck.libraryDescription);
    p11s_padded_copy(info->manufacturer, sizeof info->manufacturer, ck.manufacturerID,
                     sizeof ck.manufacturerID);
    (void)snprintf(info->version, sizeof info->version, "%u.%u", ck.libraryVersion.major,
                   ck.libraryVersion.minor);
  }
  return true;
}

struct each {
  void (*fn)(const struct p11s_module_info *info, void *arg);
  void *arg;
};

static void each_info(const char *name, void *arg)
{
  const struct each *each = arg;
  struct p11s_module_info info;

  if (describe(name, &info))
    each->fn(&info, each->arg);
}

enum p11s_err p11s_module_each(void (*fn)(const struct p11s_module_info *info, void *arg),
                               void *arg, struct p11s_error *e)
{
  struct each each = {fn, arg};

  return p11s_module_each_name(each_info, &each, e);
}

void p11s_padded_copy(char *to, size_t size, const CK_UTF8CHAR *from, size_t len)
{
  /* Some tokens pad with NUL instead of blanks. */
  len = strnlen((const char *)from, len);
  while (len > 0 && from[len - 1] == ' ')
    len--;
  if (len >= size)
    len = size - 1;
  memcpy(to, from, len);
  to[len] = 0;
  p11s_error_clean(to);
}

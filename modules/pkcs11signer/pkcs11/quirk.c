/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pkcs11/quirk.h"

#include <stdbool.h>
#include <string.h>

static const struct {
  const char *description; /* what CK_INFO.libraryDescription begins with */
  const char *manufacturer;
  CK_VERSION before; /* only libraries older than that; 0.0: all */
  unsigned quirks;
} table[] = {
    {"OpenSC", "", {0, 0}, P11S_QUIRK_READS_ONCE | P11S_QUIRK_LOG_OUT},
    {"TPM2.0 Cryptoki", "", {0, 0}, P11S_QUIRK_READS_ONCE},
    {"Meta PKCS11 LIBRARY", "IBM", {3, 14}, P11S_QUIRK_ONE_THREAD},
};

static bool begins_with(const CK_UTF8CHAR *text, const char *with)
{
  return memcmp(text, with, strlen(with)) == 0;
}

static bool is_older(const CK_VERSION *version, const CK_VERSION *than)
{
  return version->major < than->major ||
         (version->major == than->major && version->minor < than->minor);
}

unsigned p11s_quirks(CK_FUNCTION_LIST *module)
{
  unsigned quirks = 0;
  CK_INFO info;

  memset(&info, 0, sizeof info);
  if (module->C_GetInfo(&info) != CKR_OK)
    return 0;
  for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
    if (begins_with(info.libraryDescription, table[i].description) &&
        begins_with(info.manufacturerID, table[i].manufacturer) &&
        (table[i].before.major == 0 || is_older(&info.libraryVersion, &table[i].before)))
      quirks |= table[i].quirks;
  return quirks;
}

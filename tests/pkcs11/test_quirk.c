/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pkcs11/quirk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const char *description, *manufacturer;
static CK_VERSION version;
static CK_RV rv;

static void put(CK_UTF8CHAR *to, size_t size, const char *text)
{
  for (size_t i = 0; i < size; i++)
    to[i] = (CK_UTF8CHAR)(i < strlen(text) ? text[i] : ' ');
}

static CK_RV get_info(CK_INFO *info)
{
  put(info->libraryDescription, sizeof info->libraryDescription, description);
  put(info->manufacturerID, sizeof info->manufacturerID, manufacturer);
  info->libraryVersion = version;
  return rv;
}

static unsigned quirks(const char *d, const char *m, unsigned char major, unsigned char minor)
{
  CK_FUNCTION_LIST module = {.C_GetInfo = get_info};

  description = d;
  manufacturer = m;
  version = (CK_VERSION){major, minor};
  return p11s_quirks(&module);
}

static void libraries_by_the_name_they_give_themselves(void **state)
{
  (void)state;
  rv = CKR_OK;
  assert_int_equal(quirks("OpenSC smartcard framework", "OpenSC Project", 0, 23),
                   P11S_QUIRK_READS_ONCE | P11S_QUIRK_LOG_OUT);
  assert_int_equal(quirks("TPM2.0 Cryptoki", "tpm2-software.github.io", 1, 9),
                   P11S_QUIRK_READS_ONCE);
  assert_int_equal(quirks("Implementation of PKCS11", "SoftHSM", 2, 6), 0);
  assert_int_equal(quirks("NSS Internal Crypto Services", "Mozilla Foundation", 3, 87), 0);
  assert_int_equal(quirks("", "", 0, 0), 0);
  assert_int_equal(quirks("Meta PKCS11 LIBRARY", "Somebody else", 3, 8), 0);
}

static void only_older_versions(void **state)
{
  (void)state;
  rv = CKR_OK;
  assert_int_equal(quirks("Meta PKCS11 LIBRARY", "IBM", 3, 8), P11S_QUIRK_ONE_THREAD);
  assert_int_equal(quirks("Meta PKCS11 LIBRARY", "IBM", 2, 40), P11S_QUIRK_ONE_THREAD);
  assert_int_equal(quirks("Meta PKCS11 LIBRARY", "IBM", 3, 14), 0);
  assert_int_equal(quirks("Meta PKCS11 LIBRARY", "IBM", 4, 0), 0);
}

static void one_that_does_not_say(void **state)
{
  (void)state;
  rv = CKR_CRYPTOKI_NOT_INITIALIZED;
  assert_int_equal(quirks("OpenSC", "OpenSC Project", 0, 23), 0);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(libraries_by_the_name_they_give_themselves),
      cmocka_unit_test(only_older_versions),
      cmocka_unit_test(one_that_does_not_say),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PKCS#11 modules that nobody wants, for the tests. BAD says what goes wrong,
 * WHERE when, both as in the enums below. Where the file exists that P11S_BAD_UNLESS
 * names, nothing goes wrong.
 */
#include <p11-kit/pkcs11.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

enum when { load, list, initialize };
enum what { crashes, aborts, leaves, hangs };

#define EXPORT __attribute__((visibility("default")))

static void crash(void)
{
  *(volatile int *)8 = 1;
}

static void leave(void)
{
  exit(0);
}

static void hang(void)
{
  for (;;)
    pause();
}

static void at(enum when now)
{
  void (*const all[])(void) = {crash, abort, leave, hang};
  const char *unless = getenv("P11S_BAD_UNLESS");

  if (now == WHERE && (unless == NULL || access(unless, F_OK) != 0))
    all[BAD]();
}

__attribute__((constructor)) static void start(void)
{
  at(load);
}

static CK_RV initialize_it(CK_VOID_PTR args)
{
  (void)args;
  at(initialize);
  return CKR_OK;
}

static CK_RV finalize_it(CK_VOID_PTR args)
{
  (void)args;
  return CKR_OK;
}

static CK_RV no_slots(CK_BBOOL present, CK_SLOT_ID *slots, CK_ULONG *count)
{
  (void)present;
  (void)slots;
  *count = 0;
  return CKR_OK;
}

static CK_RV nothing(CK_INFO *info)
{
  (void)info;
  return CKR_GENERAL_ERROR;
}

static CK_FUNCTION_LIST functions = {
    .version = {2, 40},
    .C_Initialize = initialize_it,
    .C_Finalize = finalize_it,
    .C_GetInfo = nothing,
    .C_GetSlotList = no_slots,
};

EXPORT CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR ret)
{
  at(list);
  *ret = &functions;
  return CKR_OK;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A PKCS#11 library that writes the name of each program it is loaded in to LOADED and waits for 25
   s in C_Initialize. It has no tokens. */
#include <errno.h>
#include <fcntl.h>
#include <p11-kit/pkcs11.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

__attribute__((constructor)) static void loaded(void)
{
  int fd = open(LOADED, O_WRONLY | O_APPEND);

  if (fd < 0)
    return;
  (void)dprintf(fd, "%s\n", program_invocation_short_name);
  (void)close(fd);
}

static CK_RV initialize(void *arguments)
{
  (void)arguments;
  (void)sleep(25);
  return CKR_GENERAL_ERROR;
}

__attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list)
{
  static CK_FUNCTION_LIST functions;

  memset(&functions, 0, sizeof functions);
  functions.version.major = 2;
  functions.version.minor = 40;
  functions.C_Initialize = initialize;
  *list = &functions;
  return CKR_OK;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pkcs11/list.h"

#include "pkcs11/rv.h"

#include <stdlib.h>

#define COUNT_MAX 4096
#define TRIES 5

enum p11s_err p11s_list_read(const struct p11s_list_call *call, CK_ULONG **ret_list,
                             CK_ULONG *ret_count, struct p11s_error *e)
{
  CK_RV rv = CKR_BUFFER_TOO_SMALL;

  for (int i = 0; i < TRIES && rv == CKR_BUFFER_TOO_SMALL; i++) {
    CK_ULONG count = 0, got, *list;

    rv = call->fn(call, NULL, &count);
    if (rv != CKR_OK)
      break;
    if (count > COUNT_MAX)
      return p11s_error_set(e, P11S_ERR_TOKEN, "%s: %lu %s", call->name, count, call->items);
    list = calloc(count + 1, sizeof *list);
    if (list == NULL)
      return p11s_error_no_memory(e);
    got = count;
    rv = count == 0 ? CKR_OK : call->fn(call, list, &got);
    if (rv == CKR_OK && got <= count) {
      *ret_list = list;
      *ret_count = got;
      return P11S_OK;
    }
    free(list);
    if (rv == CKR_OK)
      rv = CKR_BUFFER_TOO_SMALL;
  }
  return p11s_rv_error(e, rv, call->name);
}

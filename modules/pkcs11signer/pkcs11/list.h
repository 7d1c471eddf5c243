/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/err.h"

#include <p11-kit/pkcs11.h>

/*
 * A list that PKCS#11 gives in two calls: its length, then itself. It may grow in between, so it is
 * asked for again, a few times. Calls PKCS#11: only from workers and administrative commands. No
 * locks.
 */
struct p11s_list_call {
  CK_RV (*fn)(const struct p11s_list_call *call, CK_ULONG *list, CK_ULONG *count);
  CK_FUNCTION_LIST *module; /* the rest is for fn, and for messages */
  CK_SLOT_ID slot;
  const char *name;
  const char *items;
};

/* At most 4096 numbers, which the caller frees. P11S_ERR_TOKEN, P11S_ERR_NOMEM. */
enum p11s_err p11s_list_read(const struct p11s_list_call *call, CK_ULONG **ret_list,
                             CK_ULONG *ret_count, struct p11s_error *e);

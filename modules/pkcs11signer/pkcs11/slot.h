/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/err.h"
#include "pkcs11/mechanism.h"

#include <p11-kit/pkcs11.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * Finding the slot that holds a token, from the `Slot:` line of a reference.
 *
 * In this order: a pkcs11: URI (RFC 7512: token, serial, manufacturer, model,
 * slot-id …; pin-value and pin-source are refused), the token's label
 * (exactly, else without regard to case, as the built-in engine compares), its
 * serial number, the slot's number (decimal, or hexadecimal behind 0x), and the label that OpenSC
 * gave the token until 0.25, which has the name of the PIN behind it: "SmartCard-HSM (UserPIN)" for
 * "SmartCard-HSM". Slots are listed anew at each call: empty ones, and ones whose C_GetTokenInfo
 * fails, are passed over; ids need not be consecutive. An uninitialized token is never found by
 * label. Where no token answers to the name and a slot failed, all are looked at again, three times
 * within 140 ms.
 *
 * Calls PKCS#11: only from workers and administrative commands. No locks.
 */
struct p11s_slot_info {
  CK_SLOT_ID id;
  char label[33];
  char serial[17];
  char manufacturer[33];
  char model[17];
  CK_FLAGS flags;        /* CK_TOKEN_INFO.flags */
  CK_ULONG max_sessions; /* ulMaxSessionCount; 0: no limit known */
};

/* P11S_ERR_NO_TOKEN (naming the tokens that are there; when there are none, its CK_RV is
   CKR_TOKEN_NOT_PRESENT), P11S_ERR_AMBIGUOUS (naming both serials),
   P11S_ERR_SYNTAX (bad URI), P11S_ERR_NO_SLOTS: the module lists none, or fails to. */
enum p11s_err p11s_slot_find(CK_FUNCTION_LIST *module, const char *spec,
                             struct p11s_slot_info *ret_info, struct p11s_error *e);

/* The token that is in that slot now. A slot that fails is looked at again as above. false: none,
   or it failed each time. */
bool p11s_slot_look(CK_FUNCTION_LIST *module, CK_SLOT_ID id, struct p11s_slot_info *ret_info);

/* Orders tokens of one module by what tells one from another: slot, serial, label, manufacturer,
   model. 0: it is one token, by whatever names it was found. One serial number is not enough: all
   tokens of a TPM have the same. */
int p11s_slot_compare(const struct p11s_slot_info *a, const struct p11s_slot_info *b);

/* Whether this is a token: filled by one of the above, not just zeroed. */
bool p11s_slot_is_known(const struct p11s_slot_info *info);

/* Calls fn for each slot with a token. */
enum p11s_err p11s_slot_each(CK_FUNCTION_LIST *module,
                             void (*fn)(const struct p11s_slot_info *info, void *arg), void *arg,
                             struct p11s_error *e);

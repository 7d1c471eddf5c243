/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Part of p11spy.c: slots, some of which are not the module's, and what a token says of itself. */
#pragma once

#include "p11spy_calls.h"

/* Slots of our own: SoftHSM takes 31 bits of a random serial number for its. */
#define EMPTY_BEFORE 0xfe000000UL
#define EMPTY_BEHIND 0xff000000UL
#define EMPTY_LAST (EMPTY_BEHIND + 0xffffffUL)

/* -- readers without a token */

static unsigned long empty_readers(void)
{
  unsigned long n = 0;

  rule("slots", "empty", &n);
  return n;
}

static bool is_empty(CK_SLOT_ID slot)
{
  return slot >= EMPTY_BEFORE && slot <= EMPTY_LAST;
}

static CK_RV slot_list(CK_BBOOL present, CK_SLOT_ID_PTR list, CK_ULONG_PTR count)
{
  unsigned long around = present ? 0 : empty_readers();
  CK_ULONG room = list && *count > 2 * around ? *count - 2 * around : 0;
  CK_RV rv;

  if (around == 0)
    return module->C_GetSlotList(present, list, count);
  if (list && room == 0) {
    rv = module->C_GetSlotList(present, NULL, count);
    *count += 2 * around;
    return rv ? rv : CKR_BUFFER_TOO_SMALL;
  }
  rv = module->C_GetSlotList(present, list ? list + around : NULL, list ? &room : count);
  if (list)
    *count = room;
  if (!rv && list)
    for (unsigned long i = 0; i < around; i++) {
      list[i] = EMPTY_BEFORE + i;
      list[around + room + i] = EMPTY_BEHIND + i;
    }
  *count += 2 * around;
  return rv;
}

static CK_RV spy_C_GetSlotList(CK_BBOOL present, CK_SLOT_ID_PTR list, CK_ULONG_PTR count)
{
  CK_RV rv;

  if (!intercept("C_GetSlotList", nowhere, &rv))
    rv = slot_list(present, list, count);
  return done("C_GetSlotList", nowhere, rv);
}

static CK_RV slot_info(CK_SLOT_ID slot, CK_SLOT_INFO_PTR info)
{
  enum presence presence;
  CK_RV rv;

  if (!is_empty(slot)) {
    presence = presence_of(slot);
    rv = module->C_GetSlotInfo(slot, info);
    if (!rv && (presence == OUT || presence == OUT_OPENSC))
      info->flags &= ~(CK_FLAGS)CKF_TOKEN_PRESENT;
    return rv;
  }
  memset(info, ' ', sizeof(*info));
  memcpy(info->slotDescription, "an empty reader", 15);
  info->flags = CKF_REMOVABLE_DEVICE | CKF_HW_SLOT;
  memset(&info->hardwareVersion, 0, sizeof(info->hardwareVersion));
  memset(&info->firmwareVersion, 0, sizeof(info->firmwareVersion));
  return CKR_OK;
}

static CK_RV spy_C_GetSlotInfo(CK_SLOT_ID slot, CK_SLOT_INFO_PTR info)
{
  CK_RV rv;

  if (!intercept("C_GetSlotInfo", at_slot(slot), &rv))
    rv = slot_info(slot, info);
  return done("C_GetSlotInfo", at_slot(slot), rv);
}

static CK_RV token_info(CK_SLOT_ID slot, CK_TOKEN_INFO_PTR info)
{
  unsigned long flags, count;
  CK_RV rv;

  if (is_empty(slot) || presence_of(slot) == OUT)
    return CKR_TOKEN_NOT_PRESENT;
  rv = module->C_GetTokenInfo(slot, info);
  if (rv || !is_meant(slot))
    return rv;
  if (rule("C_GetTokenInfo", "flags", &flags))
    info->flags |= flags;
  if (rule("C_GetTokenInfo", "clear", &flags))
    info->flags &= ~flags;
  if (rule("C_GetTokenInfo", "sessions", &count))
    info->ulMaxSessionCount = count;
  return CKR_OK;
}

static CK_RV spy_C_GetTokenInfo(CK_SLOT_ID slot, CK_TOKEN_INFO_PTR info)
{
  CK_RV rv;

  if (!intercept("C_GetTokenInfo", at_slot(slot), &rv))
    rv = token_info(slot, info);
  return done("C_GetTokenInfo", at_slot(slot), rv);
}

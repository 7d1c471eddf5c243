/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* A session as this folder's functions use it; others see pkcs11/session.h. */
#include "pkcs11/session.h"

struct p11s_session {
  CK_FUNCTION_LIST *module;
  CK_SESSION_HANDLE handle;
  struct p11s_slot_info slot;
  struct p11s_mechanisms mechanisms; /* list NULL: not asked for yet */
  bool rw;
  bool spoilt;
};

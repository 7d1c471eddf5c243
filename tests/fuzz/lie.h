/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "fuzz.h"

#include <p11-kit/pkcs11.h>

/*
 * What is wrong with an answer of the token, by the script that nonsense.h
 * describes. Each call of the module begins with lie_enter() and ends with lie_leave(): between
 * them it holds the lock, which guards the script and everything else the module knows.
 */
enum lie_function {
  LIE_GET_INFO,
  LIE_GET_SLOT_LIST,
  LIE_GET_SLOT_INFO,
  LIE_GET_TOKEN_INFO,
  LIE_GET_MECHANISM_LIST,
  LIE_OPEN_SESSION,
  LIE_CLOSE_SESSION,
  LIE_GET_SESSION_INFO,
  LIE_LOGIN,
  LIE_GET_ATTRIBUTE,
  LIE_SET_ATTRIBUTE,
  LIE_FIND_INIT,
  LIE_FIND,
  LIE_FIND_FINAL,
  LIE_SIGN_INIT,
  LIE_SIGN,
  LIE_GENERATE,
  LIE_DESTROY,
  LIE_FUNCTIONS
};

struct lie {
  char kind; /* 0: nothing */
  uint8_t arg;
  const uint8_t *bytes; /* kind 'g': arg of them */
};

/* Another script; fresh: nothing of the last one counts any more. The lock is held. */
void lie_script_locked(struct fuzz_input script, bool fresh);
void lie_lock(void);
void lie_unlock(void);

struct lie lie_enter(enum lie_function f);
CK_RV lie_leave(CK_RV rv);
/* A call that gives nothing but its CK_RV. */
CK_RV lie_plain(enum lie_function f);

/* Whether the call fails for no good reason. */
bool lie_fails(const struct lie *lie, CK_RV *ret_rv);
CK_ULONG lie_number(const struct lie *lie, CK_ULONG truth);
/* Spoils what stands there. */
void lie_bytes(const struct lie *lie, void *to, size_t size);
/* An answer of count things of a size, in PKCS#11's idiom: *n is the room, then the number; to NULL
   asks for that only. */
CK_RV lie_give(const struct lie *lie, void *to, CK_ULONG *n, const void *truth, CK_ULONG count,
               size_t size);
/* An answer that is a structure. */
CK_RV lie_struct(const struct lie *lie, void *to, const void *truth, size_t size);

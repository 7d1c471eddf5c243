/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <p11-kit/pkcs11.h>
#include <stdbool.h>

/*
 * A scripted PKCS#11 module: fakep11.so stands in front of SoftHSM (the
 * library that $P11S_SOFTHSM names, else Debian's), counts the calls and does
 * with them what a test in the same process says. The test gets at the
 * script through the symbol FAKEP11_SYMBOL (dlsym).
 *
 * Functions go by their PKCS#11 name ("C_Sign"); one that is not scripted
 * here aborts, so that a misspelt test does not pass. Call numbers are counted from
 * the moment a rule is made: 1 is the next call. All may be used from any thread.
 */
#define FAKEP11_SYMBOL "fakep11"
#define FAKEP11_EVER 0 /* as a number of calls: all that come */

struct fakep11 {
  /* Forgets all rules and counts, and releases what is blocked. */
  void (*reset)(void);
  /* How often the function was called since reset(), refused and blocked calls included. */
  unsigned (*calls)(const char *function);

  /* `count` calls, beginning with the first-th, return rv without reaching SoftHSM. */
  void (*refuse)(const char *function, unsigned first, unsigned count, CK_RV rv);
  /* C_GenerateKeyPair and C_DestroyObject only: they return rv when SoftHSM has done it. */
  void (*fail_late)(const char *function, unsigned first, unsigned count, CK_RV rv);
  /* They wait for release() before they go on. */
  void (*block)(const char *function, unsigned first, unsigned count);
  /* They take so much longer. */
  void (*delay)(const char *function, unsigned first, unsigned count, unsigned ms);
  /* C_Sign only: one bit of the signature is flipped. */
  void (*corrupt)(unsigned first, unsigned count);
  /* C_SignInit, or only C_Sign behind it, with this mechanism returns rv. One rule at a time. */
  void (*refuse_mechanism)(const char *function, CK_MECHANISM_TYPE type, CK_RV rv);
  /* C_OpenSession returns rv where a read-only session is asked for. */
  void (*refuse_read_only)(CK_RV rv);
  /* C_Sign returns CKR_DATA_LEN_RANGE for more than so many bytes; 0: it does not. */
  void (*limit_length)(CK_ULONG most);
  /* C_FindObjectsInit looks at CKA_CLASS alone, as some tokens do. */
  void (*search_loosely)(void);
  /* What C_GetTokenInfo says: flags set and cleared, ulMaxSessionCount unless 0. */
  void (*token_info)(CK_FLAGS set, CK_FLAGS clear, CK_ULONG max_sessions);

  /* Waits until so many calls are blocked at once; false when that takes more than ten seconds. */
  bool (*wait_blocked)(const char *function, unsigned count);
  /* Lets the blocked calls of a function go, and forgets its block rules. */
  void (*release)(const char *function);

  /* SoftHSM itself: what is called here is neither counted nor scripted. */
  CK_FUNCTION_LIST *(*behind)(void);
};

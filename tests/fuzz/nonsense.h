/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "fuzz.h"

#include <p11-kit/pkcs11.h>

/*
 * A PKCS#11 module that lies. It has one slot with one healthy token, called
 * "fake", with the P-256 pair "key" on it (CKA_ID 01 02); it makes one more pair,
 * of the same key, and it really signs. A script spoils its calls one after the other: each takes
 * one character, which says what is wrong with the answer.
 *
 *   e X   fails; X chooses the CK_RV from a list
 *   v X   fails with a CK_RV that nobody knows
 *   n     says CKR_OK and writes nothing
 *   z     length, count or handle is 0
 *   u     … CK_UNAVAILABLE_INFORMATION
 *   h     … 2^40
 *   l X   … longer than it is by X + 1, whatever room there is
 *   s X   … shorter by X
 *   t     CKR_BUFFER_TOO_SMALL
 *   f X   all bytes of the answer are X
 *   g N…  the answer's bytes are the N that follow
 *
 * The same letter in upper case counts for all further calls of this function;
 * any other character, and the end of the script, stand for the truth. It never writes beyond
 * the room it was given: nobody could defend himself against that.
 *
 * One per process. Any thread; its state has one lock.
 */
extern CK_FUNCTION_LIST nonsense;

/* A new token, with this script; borrowed until the next call. */
void nonsense_reset(struct fuzz_input script);
/* The same token goes on with another script. */
void nonsense_reset_script(struct fuzz_input script);

/* Sessions that were opened and not closed. */
unsigned nonsense_sessions(void);

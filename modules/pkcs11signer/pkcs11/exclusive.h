/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * Who is in a PKCS#11 library. Workers are inside while they may call it, so that one of them can
 * have it for itself: PKCS#11 allows C_Finalize only while no other call is under way. Functions
 * are safe from any thread; the internal mutex is held by nobody who waits or calls a library. A
 * child of fork() starts with nobody inside.
 */
struct p11s_exclusive;

/* For p11-kit's module of that name; the same one every time. NULL when there is no memory: then
   everybody goes in, and nobody is ever alone. */
struct p11s_exclusive *p11s_exclusive_get(const char *name);

/*
 * Blocks while somebody has the library for himself: at most until his deadline_ms, when others do
 * not leave, and for as long as C_Finalize and C_Initialize take then. No deadline of its own:
 * whoever went in sooner would make a call during C_Finalize. Only workers enter, and one that
 * waits here is to all others one whose call hangs. Who waits for its job does so until a deadline
 * (token/job.h), its token counts as stuck (token/token.h), and a stop leaves it behind.
 */
void p11s_exclusive_enter(struct p11s_exclusive *x);
void p11s_exclusive_leave(struct p11s_exclusive *x);

enum p11s_exclusive_result {
  P11S_EXCLUSIVE_ALONE, /* nobody else is inside, and nobody comes in before p11s_exclusive_open()
                         */
  P11S_EXCLUSIVE_AFTER, /* another was alone meanwhile, and is done */
  P11S_EXCLUSIVE_BUSY,  /* somebody did not leave before the deadline */
};

/* For one who is inside, and stays so; calls nothing meanwhile. deadline_ms (p11s_now_ms()) is for
   the others to leave; P11S_EXCLUSIVE_AFTER may come later, as from p11s_exclusive_enter(). */
enum p11s_exclusive_result p11s_exclusive_close(struct p11s_exclusive *x, uint64_t deadline_ms);
void p11s_exclusive_open(struct p11s_exclusive *x);

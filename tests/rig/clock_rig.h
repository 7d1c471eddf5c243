/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef P11S_TEST_CLOCK_RIG_H
#define P11S_TEST_CLOCK_RIG_H

#include <stdatomic.h>
#include <stdint.h>

/* How far the core's clock, p11s_now_ms(), is ahead. For tests that are linked with $(wrap_now)
 * (tests/Makefile.am). */
extern _Atomic(uint64_t) clock_rig_ahead_ms;
/* Without that. */
uint64_t clock_rig_real_ms(void);

#endif

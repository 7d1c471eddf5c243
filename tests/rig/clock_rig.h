/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

/* How far the core's clock, p11s_now_ms(), is ahead. For tests that are linked with $(wrap_now)
 * (tests/Makefile.am). */
extern _Atomic(uint64_t) clock_rig_ahead_ms;
/* Without that. */
uint64_t clock_rig_real_ms(void);

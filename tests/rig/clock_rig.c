/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "rig/clock_rig.h"

uint64_t __real_p11s_now_ms(void);
uint64_t __wrap_p11s_now_ms(void);

_Atomic(uint64_t) clock_rig_ahead_ms;

uint64_t clock_rig_real_ms(void)
{
  return __real_p11s_now_ms();
}

uint64_t __wrap_p11s_now_ms(void)
{
  return __real_p11s_now_ms() + clock_rig_ahead_ms;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ahead/pace.h"

static uint64_t later(uint64_t since, uint64_t at)
{
  return at > since ? at - since : 0;
}

static uint64_t most(uint64_t a, uint64_t b)
{
  return a > b ? a : b;
}

uint64_t p11s_pace_wait(const struct p11s_pace *p)
{
  uint64_t slowest = p->took_us * P11S_PACE_LEAST_PART, even, wait;

  if (p->rate > 0)
    return later(p->since_us, 1000000 / p->rate);
  if (p->since_us >= slowest)
    return 0;
  /* While it stays idle, the idle part grows with the time that passes. */
  wait = later(2 * p->idle_us, p->since_us);
  if (!p->urgent && p->time_left_us > 0 && p->left > 0) {
    even = p->time_left_us / p->left;
    wait = most(wait, later(p->since_us, even < slowest ? even : slowest));
  }
  return wait;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "crowd.h"

#define THREADS_FEW 8

unsigned p11s_crowd_limit(unsigned threads)
{
  return threads < THREADS_FEW ? 0 : threads - threads / 4;
}

bool p11s_crowd_enter(struct p11s_crowd *crowd)
{
  unsigned before = atomic_fetch_add(&crowd->waiting, 1);

  if (crowd->limit == 0 || before < crowd->limit)
    return true;
  atomic_fetch_sub(&crowd->waiting, 1);
  return false;
}

void p11s_crowd_leave(struct p11s_crowd *crowd)
{
  atomic_fetch_sub(&crowd->waiting, 1);
}

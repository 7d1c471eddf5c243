/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "crowd.h"

#define THREADS_FEW 8

unsigned p11s_crowd_limit(unsigned threads)
{
  return threads < THREADS_FEW ? 0 : threads - threads / 4;
}

bool p11s_crowd_enter(struct p11s_crowd *crowd, uint64_t now_ms, uint64_t *deadline_ms)
{
  unsigned before = atomic_fetch_add(&crowd->waiting, 1);
  unsigned long long since = 0;

  if (crowd->limit == 0 || before < crowd->limit)
    return true;
  if (atomic_compare_exchange_strong(&crowd->full_since_ms, &since, now_ms))
    since = now_ms;
  if (now_ms >= since + P11S_CROWD_BURST_MS) {
    atomic_fetch_sub(&crowd->waiting, 1);
    return false;
  }
  if (*deadline_ms > since + P11S_CROWD_BURST_MS)
    *deadline_ms = since + P11S_CROWD_BURST_MS;
  return true;
}

void p11s_crowd_leave(struct p11s_crowd *crowd)
{
  unsigned before = atomic_fetch_sub(&crowd->waiting, 1);

  if (before - 1 <= crowd->limit / 2)
    atomic_store(&crowd->full_since_ms, 0);
}

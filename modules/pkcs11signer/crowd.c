/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "crowd.h"

#define THREADS_FEW 8

unsigned p11s_crowd_limit(unsigned threads)
{
  return threads < THREADS_FEW ? 0 : threads - threads / 4;
}

/* Whether so many have left in that time that those who wait now will have within a short one. */
static bool keeps_up(struct p11s_crowd *crowd, uint64_t elapsed_ms)
{
  return (uint64_t)atomic_load(&crowd->left) * P11S_CROWD_SHORT_MS >= crowd->limit * elapsed_ms;
}

bool p11s_crowd_enter(struct p11s_crowd *crowd, uint64_t now_ms, uint64_t *deadline_ms)
{
  unsigned before = atomic_fetch_add(&crowd->waiting, 1);
  unsigned long long since = 0;
  uint64_t until;

  if (crowd->limit == 0 || before < crowd->limit)
    return true;
  if (atomic_compare_exchange_strong(&crowd->full_since_ms, &since, now_ms)) {
    since = now_ms;
    atomic_store(&crowd->left, 0);
  }
  if (now_ms >= since + P11S_CROWD_BURST_MS && keeps_up(crowd, now_ms - since)) {
    since = now_ms; /* and it is looked at again after as long */
    atomic_store(&crowd->full_since_ms, now_ms);
    atomic_store(&crowd->left, 0);
  }
  if (now_ms >= since + P11S_CROWD_BURST_MS) {
    atomic_fetch_sub(&crowd->waiting, 1);
    return false;
  }
  until = since + P11S_CROWD_BURST_MS;
  if (until < now_ms + P11S_CROWD_LEAST_MS)
    until = now_ms + P11S_CROWD_LEAST_MS;
  if (*deadline_ms > until)
    *deadline_ms = until;
  return true;
}

void p11s_crowd_leave(struct p11s_crowd *crowd)
{
  unsigned before = atomic_fetch_sub(&crowd->waiting, 1);

  atomic_fetch_add(&crowd->left, 1);
  if (before - 1 <= crowd->limit / 2)
    atomic_store(&crowd->full_since_ms, 0);
}

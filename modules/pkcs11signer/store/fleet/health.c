/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "store/fleet/health.h"

unsigned p11s_health_lengthen(unsigned pause_ms, unsigned shortest_ms, unsigned longest_ms)
{
  pause_ms *= 2;
  return pause_ms < shortest_ms ? shortest_ms : pause_ms > longest_ms ? longest_ms : pause_ms;
}

/* It goes down, or stays so. */
static bool go_down(struct p11s_health *b, uint64_t now_ms)
{
  bool changed = b->state != P11S_HEALTH_DOWN;

  if (changed)
    b->since_ms = now_ms;
  b->state = P11S_HEALTH_DOWN;
  b->late = 0;
  b->trial_ms = now_ms + b->pause_ms;
  b->pause_ms = p11s_health_lengthen(b->pause_ms, P11S_HEALTH_SHORTEST_MS, P11S_HEALTH_LONGEST_MS);
  return changed;
}

bool p11s_health_answered(struct p11s_health *b, uint64_t now_ms, uint64_t took_ms,
                          unsigned timeout_ms)
{
  bool changed = b->state != P11S_HEALTH_UP;

  if (took_ms > timeout_ms) {
    /* While it is up, the callers' deadlines decide. */
    if (b->state == P11S_HEALTH_DOWN)
      (void)go_down(b, now_ms);
    return false;
  }
  b->state = P11S_HEALTH_UP;
  b->late = 0;
  b->pause_ms = 0;
  return changed;
}

bool p11s_health_late(struct p11s_health *b, uint64_t now_ms, unsigned timeout_ms)
{
  bool untried;

  if (b->state == P11S_HEALTH_DOWN || (b->late > 0 && now_ms - b->late_ms < timeout_ms))
    return false;
  b->late_ms = now_ms;
  if (++b->late < P11S_HEALTH_LATE)
    return false;
  /* The connection stands: not at once. */
  b->pause_ms = p11s_health_lengthen(b->pause_ms, P11S_HEALTH_SHORTEST_MS, P11S_HEALTH_LONGEST_MS);
  untried = b->state == P11S_HEALTH_UNTRIED;
  return go_down(b, now_ms) && !untried;
}

bool p11s_health_failed(struct p11s_health *b, uint64_t now_ms)
{
  return go_down(b, now_ms);
}

bool p11s_health_allows(const struct p11s_health *b)
{
  return b->state != P11S_HEALTH_DOWN;
}

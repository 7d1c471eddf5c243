/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Until when the store suffices (plan.h). */
#include "plan_internal.h"

#include <stdlib.h>

static uint32_t stored_until(const struct p11s_plan *plan, const struct p11s_line *line)
{
  uint32_t until = plan->week;

  for (unsigned at = P11S_AT_THIS; at <= P11S_AT_MOST && (line->stored & P11S_BIT(at)) != 0; at++)
    until += P11S_WEEK_SECONDS;
  return until;
}

static void add(struct p11s_budget *budget, uint32_t until, uint64_t recurring)
{
  if (recurring == 0)
    return;
  if (budget->recurring == 0 || p11s_time_diff(until, budget->until) < 0)
    budget->until = until;
  budget->recurring += recurring;
}

void p11s_plan_budget(struct p11s_plan *plan, struct p11s_budget *ret)
{
  static const struct p11s_budget nothing;

  for (size_t i = 0; i < plan->zones.count; i++)
    p11s_plan_zone(plan, i)->budget = nothing;
  for (size_t i = 0; i < plan->ordered; i++) {
    const struct p11s_line *line = p11s_plan_line(plan, plan->order[i]);

    add(&p11s_plan_zone(plan, line->zone)->budget, stored_until(plan, line), 1);
  }
  *ret = nothing;
  for (size_t i = 0; i < plan->zones.count; i++) {
    const struct p11s_plan_zone *zone = p11s_plan_zone(plan, i);

    add(ret, zone->budget.until, zone->budget.recurring);
  }
}

struct rank {
  const struct p11s_plan_zone *zone;
};

static int sooner(const void *a, const void *b)
{
  const struct p11s_plan_zone *x = ((const struct rank *)a)->zone;
  const struct p11s_plan_zone *y = ((const struct rank *)b)->zone;
  int32_t diff = p11s_time_diff(x->budget.until, y->budget.until);

  if (diff != 0)
    return diff < 0 ? -1 : 1;
  return x < y ? -1 : x > y;
}

void p11s_plan_each_zone(struct p11s_plan *plan, p11s_plan_zone_fn fn, void *arg)
{
  struct rank *order = calloc(plan->zones.count + 1, sizeof *order);
  size_t count = 0;

  if (order == NULL)
    return;
  for (size_t i = 0; i < plan->zones.count; i++)
    if (p11s_plan_zone(plan, i)->budget.recurring > 0)
      order[count++].zone = p11s_plan_zone(plan, i);
  qsort(order, count, sizeof *order, sooner);
  for (size_t i = 0; i < count; i++)
    fn(order[i].zone->name, &order[i].zone->budget, arg);
  free(order);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Until when the store suffices (ahead/plan.h). */
#include "base/buf.h"
#include "ahead/plan_internal.h"

#include <stdlib.h>

static uint32_t stored_until(const struct p11s_plan *plan, const struct p11s_line *line)
{
  uint32_t until = plan->week;

  for (unsigned at = P11S_AT_THIS; at <= P11S_AT_MOST && (line->stored & P11S_BIT(at)) != 0; at++)
    until += P11S_WEEK_SECONDS;
  return until;
}

/* Not one that keys sign nothing for any more. */
static bool is_unclear(const struct p11s_plan_zone *zone)
{
  return zone->unclear > 0 && !(zone->known && (!zone->state.exists || zone->state.presigned));
}

static void add(struct p11s_budget *budget, const struct p11s_budget *more)
{
  if (more->why > budget->why)
    budget->why = more->why;
  if (more->recurring == 0)
    return;
  if (budget->recurring == 0 || p11s_time_diff(more->until, budget->until) < 0)
    budget->until = more->until;
  budget->recurring += more->recurring;
}

void p11s_plan_budget(struct p11s_plan *plan, struct p11s_budget *ret)
{
  static const struct p11s_budget nothing;

  for (size_t i = 0; i < plan->zones.count; i++) {
    struct p11s_plan_zone *zone = p11s_plan_zone(plan, i);

    zone->budget = nothing;
    zone->budget.why = is_unclear(zone) ? P11S_BUDGET_UNCLEAR : P11S_BUDGET_GOOD;
  }
  for (size_t i = 0; i < plan->ordered; i++) {
    const struct p11s_line *line = p11s_plan_line(plan, plan->order[i]);
    const struct p11s_budget one = {1, stored_until(plan, line),
                                    p11s_plan_is_unknowable(plan, line) ? P11S_BUDGET_SERIAL
                                                                        : P11S_BUDGET_GOOD};

    add(&p11s_plan_zone(plan, line->zone)->budget, &one);
  }
  *ret = nothing;
  for (size_t i = 0; i < plan->zones.count; i++)
    add(ret, &p11s_plan_zone(plan, i)->budget);
}

static int sooner(const void *a, const void *b, void *plan)
{
  const struct p11s_plan_zone *x = p11s_plan_zone(plan, *(const uint32_t *)a);
  const struct p11s_plan_zone *y = p11s_plan_zone(plan, *(const uint32_t *)b);
  bool unclear_x = is_unclear(x), unclear_y = is_unclear(y);
  int32_t diff = p11s_time_diff(x->budget.until, y->budget.until);

  if (unclear_x != unclear_y)
    return unclear_x ? -1 : 1;
  if (diff != 0)
    return diff < 0 ? -1 : 1;
  return x < y ? -1 : x > y;
}

void p11s_plan_each_zone(struct p11s_plan *plan, p11s_plan_zone_fn fn, void *arg)
{
  uint32_t *order = calloc(plan->zones.count + 1, sizeof *order);
  size_t count = 0;

  if (order == NULL)
    return;
  for (size_t i = 0; i < plan->zones.count; i++)
    if (p11s_plan_zone(plan, i)->budget.recurring > 0 || is_unclear(p11s_plan_zone(plan, i)))
      order[count++] = (uint32_t)i;
  qsort_r(order, count, sizeof *order, sooner, plan);
  for (size_t i = 0; i < count; i++)
    fn(p11s_plan_zone(plan, order[i])->name, &p11s_plan_zone(plan, order[i])->budget, arg);
  free(order);
}

const char *p11s_budget_why_text(enum p11s_budget_why why)
{
  switch (why) {
  case P11S_BUDGET_SERIAL:
    return "the serial of its SOA record is not known before it is asked for, as with "
           "SOA-EDIT=EPOCH: without the token, SOA and negative answers are SERVFAIL. With "
           "SOA-EDIT=INCEPTION-EPOCH they can be signed ahead";
  case P11S_BUDGET_UNCLEAR:
    return "it was served with inceptions or expirations that no setting of PowerDNS explains: "
           "these signatures are not made ahead, and how long the token may be away is not known";
  case P11S_BUDGET_GOOD:
    break;
  }
  return NULL;
}

bool p11s_plan_why(struct p11s_plan *plan, enum p11s_budget_why why, struct p11s_buf *out)
{
  for (size_t i = 0; i < plan->zones.count && why != P11S_BUDGET_GOOD; i++) {
    const struct p11s_plan_zone *zone = p11s_plan_zone(plan, i);

    if (zone->budget.why != why)
      continue;
    p11s_buf_addstr(out, "zone ");
    p11s_dnsname_format(zone->name, out);
    p11s_buf_addf(out, ": %s", p11s_budget_why_text(why));
    return true;
  }
  return false;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the database says of the zones of which something is stored (plan.h). */
#include "plan_internal.h"

size_t p11s_plan_zones(const struct p11s_plan *plan)
{
  return plan->zones.count;
}

const unsigned char *p11s_plan_zone_name(const struct p11s_plan *plan, size_t zone)
{
  return p11s_plan_zone(plan, zone)->name;
}

void p11s_plan_set_zone(struct p11s_plan *plan, size_t zone, const struct p11s_zone_state *state)
{
  p11s_plan_zone(plan, zone)->known = true;
  p11s_plan_zone(plan, zone)->state = *state;
}

size_t p11s_plan_uses(const struct p11s_plan *plan)
{
  return plan->uses.count;
}

size_t p11s_plan_use_zone(const struct p11s_plan *plan, size_t use)
{
  return p11s_plan_use(plan, use)->zone;
}

size_t p11s_plan_use_key(const struct p11s_plan *plan, size_t use)
{
  return p11s_plan_use(plan, use)->key;
}

void p11s_plan_end_use(struct p11s_plan *plan, size_t use)
{
  p11s_plan_use(plan, use)->ended = true;
}

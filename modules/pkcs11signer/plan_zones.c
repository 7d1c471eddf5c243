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

enum p11s_purpose p11s_plan_use_purpose(const struct p11s_plan *plan, size_t use)
{
  return p11s_plan_use(plan, use)->purpose;
}

enum p11s_use_state p11s_plan_use_state(const struct p11s_plan *plan, size_t use)
{
  return p11s_plan_use(plan, use)->state;
}

void p11s_plan_set_use(struct p11s_plan *plan, size_t use, enum p11s_use_state state)
{
  p11s_plan_use(plan, use)->state = state;
}

/* -- what a zone has */

bool p11s_plan_next_doubt(const struct p11s_plan *plan, size_t *cursor, struct p11s_plan_doubt *ret)
{
  for (; *cursor < plan->sets.count; (*cursor)++) {
    const struct p11s_plan_set *set = p11s_plan_set(plan, *cursor);
    const struct p11s_line *line;
    const struct p11s_plan_zone *zone;

    if (!set->several)
      continue;
    line = p11s_plan_line(plan, set->line);
    zone = p11s_plan_zone(plan, line->zone);
    if (!zone->known || !zone->state.exists)
      continue;
    *ret = (struct p11s_plan_doubt){set->id, (*cursor)++, line->zone,
                                    p11s_plan_use(plan, line->use)->key, line->message_id};
    return true;
  }
  return false;
}

bool p11s_plan_identify(const struct p11s_plan *plan, const unsigned char *message, size_t len,
                        uint64_t *ret_content)
{
  struct p11s_message m;

  return p11s_message_parse(message, len, &m) && m.owner != NULL &&
         p11s_plan_content_id(plan, message, len, &m, ret_content);
}

void p11s_plan_settle(struct p11s_plan *plan, const struct p11s_plan_doubt *doubt,
                      enum p11s_served_kind kind, uint64_t content)
{
  struct p11s_plan_set *set = p11s_plan_set(plan, doubt->set);

  set->told = true;
  set->kind = kind;
  set->content = content;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the database says of the zones and keys of which something is stored (ahead/plan.h). */
#include "ahead/plan_internal.h"

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

struct p11s_plan_use *p11s_plan_use(const struct p11s_plan *plan, size_t use)
{
  return (struct p11s_plan_use *)plan->uses.items + use;
}

/* -- keys */

size_t p11s_plan_keys(const struct p11s_plan *plan)
{
  return plan->keys.count;
}

const unsigned char *p11s_plan_key_id(const struct p11s_plan *plan, size_t key)
{
  return p11s_plan_key(plan, key)->id;
}

void p11s_plan_set_token(struct p11s_plan *plan, size_t key, uint32_t token)
{
  p11s_plan_key(plan, key)->token = token + 1; /* of P11S_PLAN_NO_TOKEN that is 0 */
}

/* -- what a zone has */

/* An SOA record is another one each week. */
static bool is_missing(const struct p11s_plan *plan, const struct p11s_line *line)
{
  return !line->soa && (line->stored & P11S_BIT(P11S_AT_THIS)) == 0 &&
         p11s_plan_may_recur(plan, line);
}

void p11s_plan_seek_missing(struct p11s_plan *plan)
{
  for (size_t i = 0; i < plan->lines.count; i++) {
    const struct p11s_line *line = p11s_plan_line(plan, i);
    struct p11s_plan_set *set = p11s_plan_set(plan, line->set);

    if (!set->missing && is_missing(plan, line)) {
      set->missing = true;
      set->line = (uint32_t)i;
    }
  }
}

bool p11s_plan_next_doubt(const struct p11s_plan *plan, size_t *cursor, struct p11s_plan_doubt *ret)
{
  for (; *cursor < plan->sets.count; (*cursor)++) {
    const struct p11s_plan_set *set = p11s_plan_set(plan, *cursor);
    const struct p11s_line *line;
    const struct p11s_plan_zone *zone;

    if (!set->several && !set->missing)
      continue;
    line = p11s_plan_line(plan, set->line);
    zone = p11s_plan_zone(plan, line->zone);
    if (!zone->known || !zone->state.exists || (zone->lacks && !set->several))
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
  const struct p11s_line *line = p11s_plan_line(plan, set->line);

  set->told = true;
  set->kind = kind;
  set->content = content;
  if (set->missing &&
      (kind == P11S_SERVED_UNSURE || (kind == P11S_SERVED_THIS && line->content == content)))
    p11s_plan_zone(plan, doubt->zone)->lacks = true;
}

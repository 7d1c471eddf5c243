/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SOA records: which serials they have from week to week (ahead/plan.h). */
#include "ahead/plan_internal.h"

static unsigned serials_of(const struct p11s_plan *plan, const struct p11s_line *line, unsigned at,
                           uint32_t ret_serials[P11S_SOA_EDIT_SERIALS])
{
  uint32_t week = plan->week + at * P11S_WEEK_SECONDS - P11S_AT_THIS * P11S_WEEK_SECONDS;

  return p11s_soa_edit_serials(&p11s_plan_zone(plan, line->zone)->edit, week, plan->now,
                               ret_serials);
}

bool p11s_plan_serial(const struct p11s_plan *plan, const struct p11s_line *line, unsigned at,
                      uint32_t *ret_serial)
{
  uint32_t serials[P11S_SOA_EDIT_SERIALS];

  if (line->choice >= serials_of(plan, line, at, serials))
    return false;
  *ret_serial = serials[line->choice];
  return true;
}

bool p11s_plan_is_unknowable(const struct p11s_plan *plan, const struct p11s_line *line)
{
  return line->soa && p11s_plan_zone(plan, line->zone)->edit.kind == P11S_SOA_EDIT_EPOCH;
}

/* Where the database does not say, the newest serial that was served. */
static void find_edits(struct p11s_plan *plan)
{
  for (size_t i = 0; i < plan->zones.count; i++) {
    struct p11s_plan_zone *zone = p11s_plan_zone(plan, i);

    zone->said = zone->known && zone->state.has_soa;
    zone->edit =
        zone->said ? zone->state.soa_edit : (struct p11s_soa_edit){P11S_SOA_EDIT_NONE, 0, 0};
    zone->soa_used = 0;
  }
  for (size_t i = 0; i < plan->lines.count; i++) {
    const struct p11s_line *line = p11s_plan_line(plan, i);
    struct p11s_plan_zone *zone = p11s_plan_zone(plan, line->zone);
    const struct p11s_line newest = {
        .soa = true, .last_used = zone->soa_used, .serial = zone->edit.serial};

    if (!line->soa || line->used == 0 || zone->said || !p11s_plan_is_newer(line, &newest))
      continue;
    zone->soa_used = line->last_used;
    zone->edit.serial = line->serial;
  }
}

/* A line needs nothing in a week without such a serial. */
static void begin_line(const struct p11s_plan *plan, struct p11s_line *line)
{
  uint32_t serial;

  line->stored = 0;
  line->needless = line->choice > 0;
  for (unsigned at = P11S_AT_THIS; at <= P11S_AT_MOST; at++)
    if (p11s_plan_serial(plan, line, at, &serial))
      line->needless = false;
    else if (!p11s_plan_is_unknowable(plan, line))
      line->stored |= (uint16_t)P11S_BIT(at);
}

void p11s_plan_resolve_soas(struct p11s_plan *plan)
{
  find_edits(plan);
  for (size_t i = 0; i < plan->lines.count; i++)
    if (p11s_plan_line(plan, i)->soa)
      begin_line(plan, p11s_plan_line(plan, i));
  for (size_t i = 0; i < plan->soa_count; i++) {
    const struct p11s_plan_soa *soa = &plan->soas[i];
    struct p11s_line *line = p11s_plan_line(plan, soa->line);
    uint32_t serial;

    if (p11s_plan_serial(plan, line, soa->at, &serial) && serial == soa->serial)
      line->stored |= (uint16_t)P11S_BIT(soa->at);
  }
}

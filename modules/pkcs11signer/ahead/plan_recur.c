/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What recurs, in which order, and what is to be signed for it (ahead/plan.h). */
#include "ahead/plan_internal.h"

#include <stdlib.h>

#define DAY 86400u

bool p11s_plan_is_newer(const struct p11s_line *a, const struct p11s_line *b)
{
  if (a->last_used != b->last_used)
    return a->last_used > b->last_used;
  return a->soa && b->soa && p11s_time_diff(a->serial, b->serial) > 0;
}

/* RRset and key, as an id for a table. */
static uint64_t rrset_of(const struct p11s_plan *plan, const struct p11s_line *line)
{
  return p11s_plan_set(plan, line->set)->id ^
         (p11s_plan_use(plan, line->use)->key + 1) * 0x9e3779b97f4a7c15u;
}

static bool find_newest(struct p11s_plan *plan, struct p11s_id_table *newest)
{
  for (size_t i = 0; i < plan->lines.count; i++) {
    const struct p11s_line *line = p11s_plan_line(plan, i);
    uint32_t *at;

    if (line->used == 0)
      continue;
    at = p11s_id_table_at(newest, rrset_of(plan, line));
    if (at == NULL)
      return false;
    if (*at == P11S_ID_TABLE_NONE || p11s_plan_is_newer(line, p11s_plan_line(plan, *at)))
      *at = (uint32_t)i;
  }
  return true;
}

static bool is_out_of_use(const struct p11s_plan *plan, const struct p11s_plan_use *use)
{
  uint32_t latest = p11s_plan_zone(plan, use->zone)->last_used[use->purpose];

  if (use->state != P11S_USE_UNKNOWN)
    return use->state != P11S_USE_SIGNS;
  return latest - use->last_used > P11S_PLAN_KEY_OFF * DAY;
}

/* A key that signs anything for a zone signs CDS and CDNSKEY too, and no other key does. */
static bool signs_nothing_else(const struct p11s_plan *plan, const struct p11s_plan_use *use)
{
  static const enum p11s_purpose others[] = {P11S_FOR_DNSKEY, P11S_FOR_ALL_ELSE};
  bool ended = false;

  if (use->purpose != P11S_FOR_CDS || use->state != P11S_USE_UNKNOWN)
    return false;
  for (size_t i = 0; i < 2; i++) {
    uint32_t other = p11s_plan_find_use(plan, use->key, use->zone, others[i]);

    if (other == P11S_ID_TABLE_NONE)
      continue;
    if (!is_out_of_use(plan, p11s_plan_use(plan, other)))
      return false;
    ended = true;
  }
  return ended;
}

static void note_served(struct p11s_plan *plan)
{
  for (size_t i = 0; i < plan->sets.count; i++)
    p11s_plan_set(plan, i)->served = false;
  for (size_t i = 0; i < plan->lines.count; i++) {
    const struct p11s_line *line = p11s_plan_line(plan, i);
    struct p11s_plan_set *set = p11s_plan_set(plan, line->set);

    set->served = set->served || (line->used != 0 && line->content == set->content);
  }
}

/* DNSKEY and its kin are asked for as long as the zone is: where what the keys make now was not, it
   is not what is served, and nothing may be left out for it. */
static bool is_believed(const struct p11s_plan *plan, const struct p11s_plan_set *set,
                        const struct p11s_line *line)
{
  return set->served || p11s_plan_use(plan, line->use)->purpose == P11S_FOR_ALL_ELSE;
}

/* What the zone has is known, or which of its contents were used lately is all that is. */
static bool is_current(const struct p11s_plan *plan, const struct p11s_id_table *newest,
                       const struct p11s_line *line)
{
  const struct p11s_plan_set *set = p11s_plan_set(plan, line->set);

  if (set->told && set->kind == P11S_SERVED_NOTHING)
    return false;
  if (set->told && set->kind == P11S_SERVED_THIS && is_believed(plan, set, line))
    return line->content == set->content;
  if (set->told && !line->soa)
    return true;
  return !p11s_plan_is_newer(p11s_plan_line(plan, p11s_id_table_find(newest, rrset_of(plan, line))),
                             line);
}

bool p11s_plan_may_recur(const struct p11s_plan *plan, const struct p11s_line *line)
{
  const struct p11s_plan_use *use = p11s_plan_use(plan, line->use);

  if (line->used == 0 || line->needless || (line->lie && line->days < 2))
    return false;
  return !is_out_of_use(plan, use) && !signs_nothing_else(plan, use);
}

/* Hottest first. PowerDNS asks once a week and process, so days are few: what was asked for last
   comes first among equals. */
static int compare(const void *a, const void *b, void *arg)
{
  const struct p11s_plan *plan = arg;
  const struct p11s_line *x = p11s_plan_line(plan, *(const uint32_t *)a);
  const struct p11s_line *y = p11s_plan_line(plan, *(const uint32_t *)b);
  unsigned this_x = x->used & P11S_BIT(P11S_AT_THIS), this_y = y->used & P11S_BIT(P11S_AT_THIS);

  if (x->dnskey != y->dnskey)
    return x->dnskey ? -1 : 1;
  if (this_x != this_y)
    return this_x != 0 ? -1 : 1;
  if (x->days != y->days)
    return x->days > y->days ? -1 : 1;
  if (x->last_used != y->last_used)
    return x->last_used > y->last_used ? -1 : 1;
  return x < y ? -1 : x > y;
}

/* Of an RRset that is made up for each who asks, only the hottest. The order is theirs. */
static bool limit_contents(struct p11s_plan *plan)
{
  struct p11s_id_table seen = P11S_ID_TABLE_INIT;
  size_t all = plan->ordered;
  bool good = true;

  plan->ordered = plan->dnskeys = 0;
  for (size_t i = 0; good && i < all; i++) {
    const struct p11s_line *line = p11s_plan_line(plan, plan->order[i]);
    uint32_t *before = p11s_id_table_at(&seen, rrset_of(plan, line));

    good = before != NULL;
    if (!good || ++*before >= P11S_PLAN_CONTENTS_MOST) /* P11S_ID_TABLE_NONE becomes 0 */
      continue;
    plan->order[plan->ordered++] = plan->order[i];
    plan->dnskeys += line->dnskey;
  }
  p11s_id_table_clear(&seen);
  return good;
}

bool p11s_plan_finish(struct p11s_plan *plan)
{
  struct p11s_id_table newest = P11S_ID_TABLE_INIT;
  bool good;

  free(plan->order);
  plan->ordered = 0;
  plan->order = calloc(plan->lines.count + 1, sizeof *plan->order);
  p11s_plan_resolve_soas(plan);
  note_served(plan);
  good = plan->order != NULL && find_newest(plan, &newest);
  for (size_t i = 0; good && i < plan->lines.count; i++) {
    const struct p11s_line *line = p11s_plan_line(plan, i);

    if (p11s_plan_may_recur(plan, line) && is_current(plan, &newest, line))
      plan->order[plan->ordered++] = (uint32_t)i;
  }
  p11s_id_table_clear(&newest);
  if (good)
    qsort_r(plan->order, plan->ordered, sizeof *plan->order, compare, plan);
  return good && limit_contents(plan);
}

/* Whether this line is to be signed for the week that is so many ahead, by the token. */
static bool is_wanted(const struct p11s_plan *plan, uint32_t token, const struct p11s_line *line,
                      unsigned ahead)
{
  return (line->stored & P11S_BIT(P11S_AT_THIS + ahead)) == 0 &&
         !p11s_plan_is_unknowable(plan, line) &&
         p11s_plan_key(plan, p11s_plan_use(plan, line->use)->key)->token == token + 1;
}

static void make_task(const struct p11s_plan *plan, uint32_t what, unsigned ahead,
                      struct p11s_plan_task *ret)
{
  const struct p11s_line *line = p11s_plan_line(plan, what);

  *ret = (struct p11s_plan_task){
      .what = what,
      .zone = line->zone,
      .key = p11s_plan_use(plan, line->use)->key,
      .purpose = p11s_plan_use(plan, line->use)->purpose,
      .message_id = line->message_id,
      .week = plan->week + ahead * P11S_WEEK_SECONDS,
      .extension = plan->extension,
      .soa = line->soa,
      .ahead = ahead,
  };
  if (line->soa)
    (void)p11s_plan_serial(plan, line, P11S_AT_THIS + ahead, &ret->serial);
}

bool p11s_plan_apply(const struct p11s_plan_task *task, unsigned char *message, size_t len)
{
  struct p11s_message m;

  if (!p11s_message_parse(message, len, &m) || !p11s_message_week(&m, NULL, NULL) ||
      (task->soa && !p11s_message_set_serial(message, len, task->serial)))
    return false;
  p11s_message_set_week(message, task->week, task->extension);
  return true;
}

/* The places: DNSKEYs with all their weeks, then the others, week by week. */
bool p11s_plan_next(const struct p11s_plan *plan, uint32_t token, struct p11s_plan_cursor *cursor,
                    struct p11s_plan_task *ret)
{
  size_t weeks = plan->weeks + 1, others = plan->ordered - plan->dnskeys;
  size_t places = (cursor->dnskeys_only ? plan->dnskeys : plan->ordered) * weeks;

  while (plan->weeks > 0 && cursor->next < places) {
    size_t place = cursor->next++, behind = place - plan->dnskeys * weeks;
    bool is_dnskey = place < plan->dnskeys * weeks;
    uint32_t what = plan->order[is_dnskey ? place / weeks : plan->dnskeys + behind % others];
    unsigned ahead = (unsigned)(is_dnskey ? place % weeks : behind / others);

    if (is_wanted(plan, token, p11s_plan_line(plan, what), ahead)) {
      make_task(plan, what, ahead, ret);
      return true;
    }
  }
  return false;
}

size_t p11s_plan_count(const struct p11s_plan *plan, uint32_t token, struct p11s_plan_cursor cursor)
{
  struct p11s_plan_task task;
  size_t count = 0;

  while (p11s_plan_next(plan, token, &cursor, &task))
    count++;
  return count;
}

void p11s_plan_done(struct p11s_plan *plan, const struct p11s_plan_task *task)
{
  p11s_plan_line(plan, task->what)->stored |= (uint16_t)P11S_BIT(P11S_AT_THIS + task->ahead);
}

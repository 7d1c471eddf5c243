/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "store/calendar.h"

#include "format/message.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define DAY 86400
#define WEEK ((int64_t)P11S_WEEK_SECONDS)

bool p11s_calendar_look(struct p11s_calendar *c, int64_t now, int64_t boot_s, bool *ret_jumped)
{
  int64_t moved = now - boot_s - c->apart;

  *ret_jumped = !c->begun || moved > P11S_CALENDAR_JUMP_S || moved < -P11S_CALENDAR_JUMP_S;
  if (*ret_jumped)
    *c = (struct p11s_calendar){true, now - boot_s, boot_s};
  return boot_s - c->from_s >= P11S_CALENDAR_SETTLED_S;
}

int64_t p11s_calendar_boot_s(void)
{
  struct timespec now;

  (void)clock_gettime(CLOCK_BOOTTIME, &now);
  return now.tv_sec;
}

bool p11s_census_add(const struct p11s_store_record *record, void *arg)
{
  struct p11s_census *census = arg;
  struct p11s_message m;
  uint32_t start;

  if (record->days_used == 0 || !p11s_message_parse(record->message, record->message_len, &m) ||
      !p11s_message_week(&m, &start, NULL))
    return true;
  census->all++;
  census->of_week[start / P11S_WEEK_SECONDS]++;
  return true;
}

/* Half of them are of this week or a later one. */
static int64_t middle(const struct p11s_census *census)
{
  uint64_t later = 0;
  size_t week = P11S_CENSUS_WEEKS;

  while (week > 0 && later * 2 < census->all)
    later += census->of_week[--week];
  return (int64_t)week * WEEK;
}

uint32_t p11s_census_now(const struct p11s_census *census, uint32_t now, int *ret_days)
{
  int64_t week = middle(census), away = 0;

  *ret_days = 0;
  if (census->all == 0)
    return now;
  if ((int64_t)now + DAY < week)
    away = (int64_t)now - week - DAY + 1;
  else if ((int64_t)now > week + 2 * WEEK + DAY)
    away = (int64_t)now - week - WEEK;
  *ret_days = (int)(away / DAY);
  return away == 0 ? now : (uint32_t)week;
}

void p11s_census_format(int days, char *text, size_t size)
{
  (void)snprintf(text, size, "%d days %s the signatures in the store", abs(days),
                 days > 0 ? "ahead of" : "behind");
}

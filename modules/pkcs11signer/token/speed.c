/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "token/speed.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define COUNT_MOST 10000 /* from then on half of what was counts */

static unsigned level_of(unsigned sessions)
{
  unsigned level = 0;

  while (level < P11S_SPEED_LEVELS - 1 && sessions > 1U << level)
    level++;
  return level;
}

void p11s_speed_add(struct p11s_speed *rate, unsigned sessions, uint64_t us)
{
  unsigned i = level_of(sessions);

  if (rate->level[i].count >= COUNT_MOST) {
    rate->level[i].count /= 2;
    rate->level[i].sessions /= 2;
    rate->level[i].us /= 2;
  }
  rate->level[i].count++;
  rate->level[i].sessions += sessions > 0 ? sessions : 1;
  rate->level[i].us += us > 0 ? us : 1;
}

void p11s_speed_merge(struct p11s_speed *rate, const struct p11s_speed *other)
{
  for (unsigned i = 0; i < P11S_SPEED_LEVELS; i++) {
    rate->level[i].count += other->level[i].count;
    rate->level[i].sessions += other->level[i].sessions;
    rate->level[i].us += other->level[i].us;
  }
}

double p11s_speed_at(const struct p11s_speed *rate, unsigned level)
{
  if (rate->level[level].count < P11S_SPEED_ENOUGH || rate->level[level].us == 0)
    return 0;
  return (double)rate->level[level].sessions * 1e6 / (double)rate->level[level].us;
}

unsigned p11s_speed_best(const struct p11s_speed *rate)
{
  unsigned best = P11S_SPEED_LEVELS;

  for (unsigned i = 0; i < P11S_SPEED_LEVELS; i++)
    if (p11s_speed_at(rate, i) > (best < P11S_SPEED_LEVELS ? p11s_speed_at(rate, best) : 0))
      best = i;
  return best;
}

uint64_t p11s_speed_mean_us(const struct p11s_speed *rate)
{
  uint64_t count = 0, us = 0;

  for (unsigned i = 0; i < P11S_SPEED_LEVELS; i++) {
    count += rate->level[i].count;
    us += rate->level[i].us;
  }
  return count > 0 ? us / count : 0;
}

double p11s_speed_sessions(const struct p11s_speed *rate, unsigned level)
{
  return rate->level[level].count > 0
             ? (double)rate->level[level].sessions / (double)rate->level[level].count
             : 0;
}

void p11s_speed_format(const struct p11s_speed *rate, struct p11s_buf *out)
{
  const char *separator = "";

  for (unsigned i = 0; i < P11S_SPEED_LEVELS; i++)
    if (rate->level[i].count > 0) {
      p11s_buf_addf(out, "%s%u:%" PRIu64 ":%" PRIu64 ":%" PRIu64, separator, i,
                    rate->level[i].count, rate->level[i].sessions, rate->level[i].us);
      separator = ",";
    }
  if (separator[0] == '\0')
    p11s_buf_addstr(out, "-");
}

static bool take_number(const char **at, char end, uint64_t *ret)
{
  char *behind;

  if (**at < '0' || **at > '9')
    return false;
  *ret = strtoull(*at, &behind, 10);
  if (*behind != end && !(end == ',' && *behind == '\0'))
    return false;
  *at = *behind == '\0' ? behind : behind + 1;
  return true;
}

bool p11s_speed_parse(const char *text, struct p11s_speed *ret)
{
  struct p11s_speed rate;
  uint64_t level;

  memset(&rate, 0, sizeof rate);
  if (strcmp(text, "-") == 0)
    text = "";
  while (*text != '\0') {
    if (!take_number(&text, ':', &level) || level >= P11S_SPEED_LEVELS ||
        !take_number(&text, ':', &rate.level[level].count) ||
        !take_number(&text, ':', &rate.level[level].sessions) ||
        !take_number(&text, ',', &rate.level[level].us))
      return false;
  }
  *ret = rate;
  return true;
}

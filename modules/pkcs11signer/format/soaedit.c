/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "format/soaedit.h"

#include "format/message.h"

#include <stddef.h>
#include <strings.h>
#include <time.h>

#define DAY 86400

enum p11s_soa_edit_kind p11s_soa_edit_parse(const char *text)
{
  static const struct {
    const char *name;
    enum p11s_soa_edit_kind kind;
  } kinds[] = {
      {"INCEPTION-INCREMENT", P11S_SOA_EDIT_INCEPTION_INCREMENT},
      {"INCREMENT-WEEKS", P11S_SOA_EDIT_INCREMENT_WEEKS},
      {"INCEPTION-EPOCH", P11S_SOA_EDIT_INCEPTION_EPOCH},
      {"EPOCH", P11S_SOA_EDIT_EPOCH},
  };

  for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
    if (strcasecmp(text, kinds[i].name) == 0)
      return kinds[i].kind;
  return P11S_SOA_EDIT_NONE;
}

/* 2026112601 for the first of the day. */
static uint32_t date_serial(uint32_t when, uint32_t number)
{
  time_t seconds = (time_t)when;
  struct tm day = {0};

  (void)localtime_r(&seconds, &day);
  return (uint32_t)(day.tm_year + 1900) * 1000000 + (uint32_t)(day.tm_mon + 1) * 10000 +
         (uint32_t)day.tm_mday * 100 + number;
}

static uint32_t inception_increment(uint32_t serial, uint32_t week)
{
  uint32_t first = date_serial(week, 1);

  if (serial < first - 1)
    return first;
  if (serial < first + 1)
    return first + 1;
  return serial <= date_serial(week + 2 * DAY, 99) ? serial + 1 : serial;
}

static uint32_t serial_in(const struct p11s_soa_edit *edit, uint32_t week)
{
  switch (edit->kind) {
  case P11S_SOA_EDIT_INCEPTION_INCREMENT:
    return inception_increment(edit->serial, week);
  case P11S_SOA_EDIT_INCREMENT_WEEKS:
    return edit->serial + week / P11S_WEEK_SECONDS;
  case P11S_SOA_EDIT_INCEPTION_EPOCH:
    return edit->serial < week ? week : edit->serial;
  case P11S_SOA_EDIT_NONE:
  case P11S_SOA_EDIT_EPOCH:
    break;
  }
  return edit->serial;
}

unsigned p11s_soa_edit_serials(const struct p11s_soa_edit *edit, uint32_t week, uint32_t from,
                               uint32_t ret_serials[P11S_SOA_EDIT_SERIALS])
{
  bool late = edit->delay > 0 && p11s_time_diff(from, week + edit->delay) < 0;
  uint32_t own, before;
  unsigned count = 0;

  if (edit->kind == P11S_SOA_EDIT_EPOCH)
    return 0;
  own = serial_in(edit, week);
  before = late ? serial_in(edit, week - P11S_WEEK_SECONDS) : own;
  if (before != own)
    ret_serials[count++] = before;
  if (count == 0 || edit->delay < P11S_WEEK_SECONDS)
    ret_serials[count++] = own;
  return count;
}

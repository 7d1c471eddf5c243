/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "store/worth.h"

#include "format/lie.h"
#include "store/record.h"

#include <stdlib.h>
#include <string.h>

#define DAY 86400
#define IDLE_CLASSES 8
#define WEEKS_AHEAD 8
#define CONTENTS_MOST 8 /* of one RRset in a week, if nobody makes them up */
#define ALL_BUT_TIMES 16

/* What was asked for of an RRset in a week. */
struct contents {
  uint32_t latest; /* use */
  uint32_t count;
};

struct p11s_worth {
  struct p11s_census census;
  uint32_t now;
  uint64_t mask; /* of both tables, which are hashed into: */
  struct contents *contents;
  unsigned char *asked; /* sixteen bits for each slot: a message was asked for in a week */
};

struct p11s_worth *p11s_worth_new(uint64_t records)
{
  struct p11s_worth *worth = calloc(1, sizeof *worth);
  uint64_t slots = 1024;

  while (slots < records)
    slots *= 2;
  if (worth == NULL)
    return NULL;
  worth->mask = slots - 1;
  worth->contents = calloc(slots, sizeof *worth->contents);
  worth->asked = calloc(slots, 2);
  if (worth->contents != NULL && worth->asked != NULL)
    return worth;
  p11s_worth_free(worth);
  return NULL;
}

void p11s_worth_free(struct p11s_worth *worth)
{
  if (worth == NULL)
    return;
  free(worth->contents);
  free(worth->asked);
  free(worth);
}

/* FNV-1a, for a table in which two may meet. */
static uint64_t mix(uint64_t hash, const void *data, size_t len)
{
  const unsigned char *byte = data;

  for (size_t i = 0; i < len; i++)
    hash = (hash ^ byte[i]) * 1099511628211U;
  return hash;
}

static uint64_t hash_of(const struct p11s_store_record *record, uint32_t week)
{
  return mix(mix(14695981039346656037U, record->key_id, P11S_STORE_ID_LEN), &week, sizeof week);
}

static uint64_t spread(uint64_t hash)
{
  return hash ^ hash >> 29 ^ hash >> 47;
}

/* The bit of that message in that week. */
static unsigned char *asked_at(const struct p11s_worth *worth,
                               const struct p11s_store_record *record, uint32_t week,
                               unsigned char *ret_bit)
{
  uint64_t hash = mix(hash_of(record, week), record->message, 8), bit;

  hash = mix(hash, record->message + ALL_BUT_TIMES, record->message_len - ALL_BUT_TIMES);
  bit = spread(hash) & (worth->mask << 4 | 15);
  *ret_bit = (unsigned char)(1U << (bit & 7));
  return &worth->asked[bit >> 3];
}

static struct contents *contents_at(const struct p11s_worth *worth,
                                    const struct p11s_store_record *record,
                                    const struct p11s_message *m, uint32_t week)
{
  uint64_t hash = mix(hash_of(record, week), record->message, 2);

  return &worth->contents[spread(mix(hash, m->owner, m->owner_len)) & worth->mask];
}

static bool parse(const struct p11s_store_record *record, struct p11s_message *m, uint32_t *week)
{
  memset(m, 0, sizeof *m);
  return p11s_message_parse(record->message, record->message_len, m) && m->owner != NULL &&
         p11s_message_week(m, week, NULL);
}

bool p11s_worth_look(const struct p11s_store_record *record, void *arg)
{
  struct p11s_worth *worth = arg;
  struct contents *contents;
  struct p11s_message m;
  unsigned char bit;
  uint32_t week;

  (void)p11s_census_add(record, &worth->census);
  if (record->days_used == 0 || !parse(record, &m, &week))
    return true;
  *asked_at(worth, record, week, &bit) |= bit;
  contents = contents_at(worth, record, &m, week);
  contents->count++;
  if (record->last_used > contents->latest)
    contents->latest = record->last_used;
  return true;
}

void p11s_worth_decide(struct p11s_worth *worth, uint32_t now)
{
  int days;

  worth->now = p11s_census_now(&worth->census, now, &days);
}

static bool was_asked(const struct p11s_worth *worth, const struct p11s_store_record *record,
                      uint32_t week)
{
  unsigned char bit;

  return (*asked_at(worth, record, week, &bit) & bit) != 0;
}

/* A content of its RRset that came and went: the latest one is what the RRset is now. */
static bool is_one_of_many(const struct p11s_worth *worth, const struct p11s_store_record *record,
                           const struct p11s_message *m, uint32_t week)
{
  const struct contents *contents = contents_at(worth, record, m, week);

  return m->type != P11S_TYPE_SOA && contents->count > CONTENTS_MOST &&
         record->last_used < contents->latest;
}

static bool is_made_up(const struct p11s_worth *worth, const struct p11s_store_record *record,
                       const struct p11s_message *m, uint32_t week)
{
  return (p11s_message_is_lie(m) || is_one_of_many(worth, record, m, week)) &&
         !was_asked(worth, record, week - P11S_WEEK_SECONDS) &&
         !was_asked(worth, record, week + P11S_WEEK_SECONDS);
}

static unsigned by_use(const struct p11s_store_record *record, uint32_t now)
{
  uint32_t idle = now > record->last_used ? (now - record->last_used) / DAY : 0;

  if (idle >= IDLE_CLASSES)
    idle = IDLE_CLASSES - 1;
  return P11S_WORTH_USED + idle * 2 + (record->days_used <= 1);
}

static bool is_of_keys(const struct p11s_message *m)
{
  return m->type == P11S_TYPE_DNSKEY || m->type == P11S_TYPE_CDS || m->type == P11S_TYPE_CDNSKEY;
}

/* By itself. *ret_week: 0 when it cannot be told. */
static unsigned class_of(const struct p11s_store_record *record, uint32_t now,
                         struct p11s_message *m, uint32_t *ret_week)
{
  int32_t weeks = 0;

  *ret_week = 0;
  if (parse(record, m, ret_week))
    weeks = p11s_time_diff(*ret_week, p11s_week_start(now)) / (int32_t)P11S_WEEK_SECONDS;
  if (p11s_record_is_expired(record, now))
    return P11S_WORTH_GONE;
  if (weeks < -1)
    return P11S_WORTH_OLD;
  if (is_of_keys(m))
    return weeks < 0 ? P11S_WORTH_KEYS_LAST : P11S_WORTH_KEYS;
  if (weeks < 0)
    return P11S_WORTH_LAST;
  if (weeks == 0 || record->days_used > 0)
    return by_use(record, now);
  return P11S_WORTH_AHEAD + (unsigned)(weeks < WEEKS_AHEAD ? weeks : WEEKS_AHEAD) - 1;
}

/* worth: NULL for one that is to be stored. */
static unsigned classify(const struct p11s_worth *worth, const struct p11s_store_record *record,
                         uint32_t now, struct p11s_message *m)
{
  uint32_t week;
  unsigned class = class_of(record, now, m, &week);

  if (class <= P11S_WORTH_KEYS_LAST || class >= P11S_WORTH_ONCE || week == 0 ||
      record->days_used != 1)
    return class;
  return (worth != NULL ? is_made_up(worth, record, m, week) : p11s_message_is_lie(m))
             ? P11S_WORTH_ONCE
             : class;
}

unsigned p11s_worth_of(const struct p11s_worth *worth, const struct p11s_store_record *record,
                       struct p11s_message *m)
{
  return classify(worth, record, worth->now, m);
}

unsigned p11s_worth_of_new(const struct p11s_store_record *record, uint32_t now,
                           struct p11s_message *m)
{
  return classify(NULL, record, now, m);
}

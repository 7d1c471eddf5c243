/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "store_room.h"

#include "lock.h"
#include "log.h"
#include "stats.h"
#include "week.h"

#include <stdlib.h>
#include <string.h>

#define STEP 2000 /* records looked at, at most as many deleted, in a transaction */
#define ROUND_S 3600
#define DAY 86400

/* What a record is worth, from 0: days since its last use, then on how few days it was used. Then
   what was signed ahead and was not used, by weeks; then what PowerDNS does not ask for any more.
 */
#define DAYS 64
#define USES 4
#define AHEAD (DAYS * USES)
#define WEEKS 8
#define PAST (AHEAD + WEEKS)
#define EXPIRED (PAST + 1)
#define RANKS (EXPIRED + 1)

struct pick {
  uint32_t now;               /* to judge by */
  struct p11s_census *census; /* NULL: they are not counted */
  bool only_count;
  unsigned least; /* rank from which on a record goes */
  uint64_t part;  /* bytes of that very rank that are still to go, */
  uint64_t above; /* and of those above it */
  uint64_t bytes[RANKS];
  uint64_t expired, evicted;
  size_t count;
  unsigned char keys[STEP * P11S_RECORD_KEY_LEN];
};

/* By the week that it is for; RANKS: by its use. A DNSKEY that was signed ahead is worth as much as
   one that is used. */
static unsigned rank_by_week(const struct pick *pick, const struct p11s_store_record *record)
{
  struct p11s_message m;
  uint32_t start;
  int32_t weeks;

  if (!p11s_message_parse(record->message, record->message_len, &m) ||
      !p11s_message_week(&m, &start))
    return RANKS;
  weeks = p11s_time_diff(start, p11s_week_start(pick->now)) / (int32_t)P11S_WEEK_SECONDS;
  if (weeks < 0)
    return PAST;
  if (weeks == 0 || record->days_used > 0 || m.type == P11S_TYPE_DNSKEY)
    return RANKS;
  return AHEAD + (unsigned)(weeks < WEEKS ? weeks : WEEKS) - 1;
}

/* What cannot be read goes with the expired. */
static unsigned rank_of(const struct pick *pick, const unsigned char *key,
                        const unsigned char *value, size_t len)
{
  struct p11s_store_record record;
  uint32_t days, uses;
  unsigned rank;

  if (!p11s_record_parse(key, P11S_RECORD_KEY_LEN, value, len, &record) ||
      p11s_record_is_expired(&record, pick->now))
    return EXPIRED;
  rank = rank_by_week(pick, &record);
  if (rank != RANKS)
    return rank;
  days = pick->now > record.last_used ? (pick->now - record.last_used) / DAY : 0;
  uses = record.days_used < USES ? record.days_used : USES - 1;
  return (days < DAYS ? days : DAYS - 1) * USES + (USES - 1 - uses);
}

static uint64_t size_of(size_t value_len)
{
  return P11S_RECORD_KEY_LEN + value_len;
}

static bool weigh(const unsigned char *key, const unsigned char *value, size_t len, void *arg)
{
  struct pick *pick = arg;

  pick->bytes[rank_of(pick, key, value, len)] += size_of(len);
  return true;
}

static bool is_done(const struct pick *pick)
{
  return pick->part == 0 && pick->above == 0;
}

static bool choose(const unsigned char *key, const unsigned char *value, size_t len, void *arg)
{
  struct pick *pick = arg;
  unsigned rank = rank_of(pick, key, value, len);
  uint64_t *left = rank == pick->least ? &pick->part : &pick->above;

  if (rank < pick->least || (rank == pick->least && *left == 0))
    return !is_done(pick);
  *left -= size_of(len) < *left ? size_of(len) : *left;
  memcpy(pick->keys + pick->count * P11S_RECORD_KEY_LEN, key, P11S_RECORD_KEY_LEN);
  pick->count++;
  if (rank == EXPIRED)
    pick->expired++;
  else
    pick->evicted++;
  return !is_done(pick);
}

static bool delete_chosen(struct p11s_lmdb *db, struct pick *pick)
{
  struct p11s_error error;
  uint64_t deleted;
  bool done = true;

  if (pick->count > 0 &&
      p11s_lmdb_delete(db, pick->keys, pick->count, &deleted, &error) != P11S_OK) {
    p11s_log_limited(P11S_LOG_WARNING, "store: delete",
                     "signature store: old signatures cannot be deleted: %s", error.text);
    done = false;
  }
  if (done) {
    p11s_stats_add(P11S_STAT_STORE_EXPIRED, pick->expired);
    p11s_stats_add(P11S_STAT_STORE_EVICTED, pick->evicted);
  }
  pick->count = 0;
  pick->expired = pick->evicted = 0;
  return done;
}

/* -- what has expired */

static bool sweep_one(const unsigned char *key, const unsigned char *value, size_t len, void *arg)
{
  struct p11s_store_record record;
  struct pick *pick = arg;

  if (p11s_record_parse(key, P11S_RECORD_KEY_LEN, value, len, &record))
    (void)p11s_census_add(&record, pick->census);
  return pick->only_count || choose(key, value, len, pick);
}

/* One line when the clock goes wrong by the signatures, and one when it is right again. */
static void judge_clock(struct p11s_room *room)
{
  char text[80];
  int days;

  (void)p11s_census_now(&room->census, p11s_record_now(), &days);
  p11s_census_format(days, text, sizeof text);
  if (days != 0 && room->days_off == 0)
    p11s_log_event(
        P11S_LOG_WARNING,
        "signature store: this machine's clock is %s. Set it (NTP). Until they agree "
        "nothing is deleted there that may be good. When no server has used the store in "
        "between, all is well",
        text);
  else if (days == 0 && room->days_off != 0)
    p11s_log_event(P11S_LOG_NOTICE, "signature store: this machine's clock is that of the "
                                    "signatures in the store");
  room->days_off = days;
}

static void begin_round(struct p11s_room *room, int64_t boot_s)
{
  memset(&room->place, 0, sizeof room->place);
  memset(&room->counted, 0, sizeof room->counted);
  room->round_s = boot_s;
}

static void sweep_some(struct p11s_lmdb *db, struct p11s_room *room, bool deletes)
{
  struct pick *pick = calloc(1, sizeof *pick);
  int days;

  if (pick == NULL)
    return;
  pick->now = p11s_census_now(&room->census, p11s_record_now(), &days);
  pick->census = &room->counted;
  pick->only_count = !deletes;
  pick->least = EXPIRED;
  pick->part = UINT64_MAX;
  if (p11s_lmdb_walk(db, &room->place, STEP, sweep_one, pick))
    (void)delete_chosen(db, pick);
  free(pick);
  if (!room->place.at_end)
    return;
  room->census = room->counted;
  room->has_census = true;
  judge_clock(room);
}

void p11s_room_sweep(struct p11s_lmdb *db, struct p11s_room *room)
{
  int64_t boot_s = p11s_calendar_boot_s();
  bool jumped, settled;

  settled = p11s_calendar_look(&room->calendar, p11s_record_now(), boot_s, &jumped);
  if (jumped)
    room->has_census = false;
  if (jumped || (room->place.at_end && boot_s - room->round_s >= ROUND_S))
    begin_round(room, boot_s);
  if (!room->place.at_end)
    sweep_some(db, room, settled && room->has_census);
}

/* -- to make room */

/* A batch writes anew each page that it touches, most of them in a small file, and the one before
   it may still have readers. */
static uint64_t reserve(uint64_t limit_bytes)
{
  uint64_t part = limit_bytes * 2 / 3;

  return part < (uint64_t)16 << 20 ? part : (uint64_t)16 << 20;
}

uint64_t p11s_room_most(uint64_t limit_bytes)
{
  return limit_bytes - reserve(limit_bytes);
}

uint64_t p11s_room_limit_for(uint64_t bytes)
{
  uint64_t small = bytes * 3, large = bytes + ((uint64_t)16 << 20);

  return small < large ? small : large;
}

static uint64_t used_bytes(struct p11s_lmdb *db)
{
  struct p11s_store_stats stats;

  memset(&stats, 0, sizeof stats);
  p11s_lmdb_get_stats(db, &stats);
  return stats.used_bytes;
}

/* The rank from which on records make up that many bytes, and how many of that very rank. All that
   have expired go: nobody misses them. */
static void find_least(struct pick *pick, uint64_t bytes)
{
  pick->least = EXPIRED;
  pick->part = pick->bytes[EXPIRED];
  while (pick->least > 0 && pick->above + pick->bytes[pick->least] < bytes) {
    pick->above += pick->bytes[pick->least--];
    pick->part = bytes - pick->above;
  }
}

static bool look(const unsigned char *key, const unsigned char *value, size_t len, void *arg)
{
  struct p11s_store_record record;
  struct pick *pick = arg;

  if (p11s_record_parse(key, P11S_RECORD_KEY_LEN, value, len, &record))
    (void)p11s_census_add(&record, pick->census);
  return true;
}

static bool walk_all(struct p11s_lmdb *db, p11s_lmdb_fn fn, struct pick *pick)
{
  struct p11s_place place = {false, false, {0}};

  while (!place.at_end)
    if (!p11s_lmdb_walk(db, &place, STEP, fn, pick))
      return false;
  return true;
}

/* Of which time they are, then what there is of each rank. */
static bool weigh_all(struct p11s_lmdb *db, struct pick *pick)
{
  struct p11s_census *census = calloc(1, sizeof *census);
  bool good;
  int days;

  pick->census = census;
  good = census != NULL && walk_all(db, look, pick);
  if (good)
    pick->now = p11s_census_now(census, p11s_record_now(), &days);
  free(census);
  pick->census = NULL;
  return good && walk_all(db, weigh, pick);
}

/* Once through the file at most, from where the last one ended: of records that are worth the same
   it is not always the first ones that go. Neighbours go together: that empties pages. */
static void delete_round(struct p11s_lmdb *db, struct p11s_room *room, struct pick *pick,
                         uint64_t most, bool (*goes_on)(void *arg), void *arg)
{
  bool again = room->hand.begun; /* from the beginning */

  while (goes_on(arg) && p11s_lmdb_walk(db, &room->hand, STEP, choose, pick) &&
         delete_chosen(db, pick) && !is_done(pick) && used_bytes(db) > most) {
    if (!room->hand.at_end)
      continue;
    memset(&room->hand, 0, sizeof room->hand);
    if (!again)
      return;
    again = false;
  }
}

void p11s_room_make(struct p11s_lmdb *db, struct p11s_room *room, bool (*goes_on)(void *arg),
                    void *arg)
{
  uint64_t most = p11s_room_most(room->limit_bytes), used = used_bytes(db), total = 0;
  struct pick *pick;

  if (used < most - most / 5)
    room->crowded = false;
  if (used <= most || (pick = calloc(1, sizeof *pick)) == NULL)
    return;
  most -= most / 10;
  if (weigh_all(db, pick)) {
    for (unsigned i = 0; i < RANKS; i++)
      total += pick->bytes[i];
    /* Pages are not full: in proportion. */
    find_least(pick, (uint64_t)((double)total * (double)(used - most) / (double)used));
    room->crowded = room->crowded || pick->least < PAST;
    delete_round(db, room, pick, most, goes_on, arg);
  }
  free(pick);
}

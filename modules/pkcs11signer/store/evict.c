/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "store/evict.h"

#include "base/lock.h"
#include "base/log.h"
#include "base/counters.h"
#include "store/share.h"

#include <stdlib.h>
#include <string.h>

#define STEP 2000 /* records looked at, at most as many deleted, in a transaction */
#define ROUND_S 3600
#define LOSSES 500 /* zones in a transaction */
#define FULL_S 60

/* What is to be deleted next. */
struct batch {
  uint64_t expired, evicted;
  uint64_t bytes;
  size_t count;
  unsigned char keys[STEP * P11S_RECORD_KEY_LEN];
};

static size_t size_of(size_t value_len)
{
  return P11S_RECORD_KEY_LEN + value_len;
}

static void add_to_batch(struct batch *batch, const unsigned char *key, size_t value_len,
                         bool expired)
{
  batch->bytes += size_of(value_len);
  memcpy(batch->keys + batch->count++ * P11S_RECORD_KEY_LEN, key, P11S_RECORD_KEY_LEN);
  batch->expired += expired;
  batch->evicted += !expired;
}

static bool delete_batch(struct p11s_lmdb *db, struct p11s_room *room, struct batch *batch)
{
  struct p11s_error error;
  uint64_t deleted;
  bool done = true;

  if (batch->count > 0 &&
      p11s_lmdb_delete(db, batch->keys, batch->count, &deleted, &error) != P11S_OK) {
    p11s_log_limited(P11S_LOG_WARNING, "store: delete",
                     "signature store: old signatures cannot be deleted: %s", error.text);
    done = false;
  }
  if (done) {
    p11s_counter_add(P11S_STAT_STORE_EXPIRED, batch->expired);
    p11s_counter_add(P11S_STAT_STORE_EVICTED, batch->evicted);
    room->bytes -= batch->bytes < room->bytes ? batch->bytes : room->bytes;
  }
  batch->count = 0;
  batch->expired = batch->evicted = batch->bytes = 0;
  return done;
}

/* -- what has expired */

struct sweep {
  struct p11s_census *counted;
  uint32_t now; /* to judge by */
  bool deletes;
  struct batch batch;
};

/* What cannot be read goes with the expired. */
static bool sweep_one(const unsigned char *key, const unsigned char *value, size_t len, void *arg)
{
  struct p11s_store_record record;
  struct sweep *sweep = arg;
  bool good = p11s_record_parse(key, P11S_RECORD_KEY_LEN, value, len, &record);

  if (good)
    (void)p11s_census_add(&record, sweep->counted);
  if (sweep->deletes && (!good || p11s_record_is_expired(&record, sweep->now)))
    add_to_batch(&sweep->batch, key, len, true);
  return true;
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
  struct sweep *sweep = calloc(1, sizeof *sweep);
  int days;

  if (sweep == NULL)
    return;
  sweep->counted = &room->counted;
  sweep->now = p11s_census_now(&room->census, p11s_record_now(), &days);
  sweep->deletes = deletes;
  if (p11s_lmdb_walk(db, &room->place, STEP, sweep_one, sweep))
    (void)delete_batch(db, room, &sweep->batch);
  free(sweep);
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

uint64_t p11s_room_brim(uint64_t limit_bytes)
{
  return p11s_room_most(limit_bytes) + reserve(limit_bytes) / 8;
}

uint64_t p11s_room_limit_for(uint64_t bytes)
{
  uint64_t small = bytes * 3, large = bytes + ((uint64_t)16 << 20);

  return small < large ? small : large;
}

static struct p11s_store_stats stats_of(struct p11s_lmdb *db)
{
  struct p11s_store_stats stats;

  memset(&stats, 0, sizeof stats);
  p11s_lmdb_get_stats(db, &stats);
  return stats;
}

struct eviction {
  struct p11s_worth *worth;
  struct p11s_share *share;
  bool of_use; /* something that may be asked for again had to go */
  struct batch batch;
};

static bool look(const unsigned char *key, const unsigned char *value, size_t len, void *arg)
{
  struct p11s_store_record record;
  struct eviction *e = arg;

  return !p11s_record_parse(key, P11S_RECORD_KEY_LEN, value, len, &record) ||
         p11s_worth_look(&record, e->worth);
}

static bool weigh(const unsigned char *key, const unsigned char *value, size_t len, void *arg)
{
  struct p11s_store_record record;
  struct eviction *e = arg;

  return !p11s_record_parse(key, P11S_RECORD_KEY_LEN, value, len, &record) ||
         p11s_share_add(e->share, &record, size_of(len));
}

static bool choose(const unsigned char *key, const unsigned char *value, size_t len, void *arg)
{
  struct p11s_store_record record;
  struct eviction *e = arg;
  unsigned worth = P11S_WORTH_GONE;

  if (!p11s_record_parse(key, P11S_RECORD_KEY_LEN, value, len, &record) ||
      p11s_share_takes(e->share, &record, size_of(len), &worth)) {
    add_to_batch(&e->batch, key, len, worth == P11S_WORTH_GONE);
    e->of_use = e->of_use || worth < P11S_WORTH_LAST;
  }
  return !p11s_share_is_done(e->share);
}

static bool walk_all(struct p11s_lmdb *db, p11s_lmdb_fn fn, struct eviction *e)
{
  struct p11s_place place = {false, false, {0}};

  while (!place.at_end)
    if (!p11s_lmdb_walk(db, &place, STEP, fn, e))
      return false;
  return true;
}

/* Which are to go, when so much of the file is used and so many bytes are to be written. */
static bool decide(struct p11s_lmdb *db, struct p11s_room *room, struct eviction *e, uint64_t used,
                   uint64_t bytes)
{
  uint64_t most = p11s_room_most(room->limit_bytes), much;
  bool first = room->most_bytes == 0 && used <= p11s_room_brim(room->limit_bytes);

  e->worth = p11s_worth_new(stats_of(db).records);
  if (e->worth == NULL || !walk_all(db, look, e))
    return false;
  p11s_worth_decide(e->worth, p11s_record_now());
  e->share = p11s_share_new(e->worth);
  if (e->share == NULL || !walk_all(db, weigh, e))
    return false;
  room->bytes = p11s_share_all(e->share);
  /* Pages are not full: in proportion. A process that has just begun cannot know whether there is
     room in them, and takes no more than it needs. */
  room->most_bytes =
      first ? room->bytes : (uint64_t)((double)room->bytes * (double)most / (double)used);
  much = first ? 0 : room->bytes - (room->most_bytes - room->most_bytes / 10);
  room->full = !p11s_share_decide(e->share, much > bytes ? much : bytes);
  room->full_s = p11s_calendar_boot_s();
  return true;
}

/* Once through the file at most, from where the last one ended: of records that are worth the same
   it is not always the first ones that go. Neighbours go together: that empties pages. */
static void delete_round(struct p11s_lmdb *db, struct p11s_room *room, struct eviction *e,
                         bool (*goes_on)(void *arg), void *arg)
{
  uint64_t most = p11s_room_most(room->limit_bytes);
  bool again = room->hand.begun; /* from the beginning */

  while (goes_on(arg) && p11s_lmdb_walk(db, &room->hand, STEP, choose, e) &&
         delete_batch(db, room, &e->batch) && !p11s_share_is_done(e->share) &&
         stats_of(db).used_bytes > most - most / 10) {
    if (!room->hand.at_end)
      continue;
    memset(&room->hand, 0, sizeof room->hand);
    if (!again)
      return;
    again = false;
  }
}

void p11s_room_note(struct p11s_lmdb *db, const struct p11s_lmdb_loss *losses, size_t count)
{
  struct p11s_error error;

  if (count > 0 && p11s_lmdb_add_losses(db, losses, count, p11s_record_now(), &error) != P11S_OK)
    p11s_log_limited(P11S_LOG_WARNING, "store: loss",
                     "signature store: it cannot be noted which zones have lost signatures: %s",
                     error.text);
}

static void note_losses(struct p11s_lmdb *db, struct p11s_room *room,
                        const struct p11s_share *share)
{
  struct p11s_lmdb_loss loss[LOSSES];
  struct p11s_share_loser loser;
  size_t at = 0, count;

  do {
    for (count = 0; count < LOSSES && p11s_share_next_loser(share, &at, &loser); count++) {
      loss[count] = (struct p11s_lmdb_loss){loser.name, loser.len, loser.lost};
      p11s_bar_raise(&room->bar, loser.name, loser.len, loser.best);
    }
    p11s_room_note(db, loss, count);
  } while (count == LOSSES);
}

static void make(struct p11s_lmdb *db, struct p11s_room *room, struct eviction *e,
                 bool (*goes_on)(void *arg), void *arg)
{
  delete_round(db, room, e, goes_on, arg);
  room->crowded = room->crowded || room->full || e->of_use;
  note_losses(db, room, e->share);
}

static void end_crowding(struct p11s_room *room)
{
  room->crowded = false;
  p11s_bar_clear(&room->bar);
}

/* What is deleted frees no page at once. */
bool p11s_room_is_there(const struct p11s_room *room, uint64_t used_bytes, uint64_t bytes)
{
  return used_bytes <= p11s_room_most(room->limit_bytes) ||
         (room->bytes + bytes <= room->most_bytes &&
          used_bytes <= p11s_room_brim(room->limit_bytes));
}

bool p11s_room_is_full(const struct p11s_room *room)
{
  return room->full && p11s_calendar_boot_s() - room->full_s < FULL_S;
}

uint64_t p11s_room_size(const struct p11s_op *op)
{
  return op->kind == P11S_OP_PUT ? size_of(op->len) : 0;
}

void p11s_room_wrote(struct p11s_room *room, const struct p11s_op *op)
{
  room->bytes += p11s_room_size(op);
}

void p11s_room_make(struct p11s_lmdb *db, struct p11s_room *room, const struct p11s_op *batch,
                    bool (*goes_on)(void *arg), void *arg)
{
  uint64_t most = p11s_room_most(room->limit_bytes), used = stats_of(db).used_bytes;
  uint64_t bytes = 0;
  struct eviction *e;

  for (; batch != NULL; batch = batch->next)
    bytes += p11s_room_size(batch);
  if (used < most - most / 5 || room->bytes < room->most_bytes - room->most_bytes / 5)
    end_crowding(room);
  if (bytes > 0 && !p11s_room_is_there(room, used, bytes) && !p11s_room_is_full(room) &&
      (e = calloc(1, sizeof *e)) != NULL) {
    if (decide(db, room, e, used, bytes))
      make(db, room, e, goes_on, arg);
    p11s_share_free(e->share);
    p11s_worth_free(e->worth);
    free(e);
  }
}

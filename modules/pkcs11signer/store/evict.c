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

/* Signatures to be deleted next. */
struct batch {
  uint64_t expired, evicted;
  uint64_t bytes;
  size_t count;
  unsigned char keys[STEP * P11S_RECORD_KEY_LEN];
};

static size_t size_of(const struct p11s_store_record *record)
{
  return P11S_RECORD_KEY_LEN + p11s_record_size(record->message_len, record->signature_len);
}

static void add_to_batch(struct batch *batch, const struct p11s_store_record *record, bool expired)
{
  batch->bytes += size_of(record);
  memcpy(batch->keys + batch->count++ * P11S_RECORD_KEY_LEN, record->key_id, P11S_RECORD_KEY_LEN);
  batch->expired += expired;
  batch->evicted += !expired;
}

static bool delete_batch(struct p11s_eviction *ev, struct batch *batch)
{
  struct p11s_error error;
  uint64_t deleted;
  bool done = batch->count == 0 ||
              p11s_lmdb_delete(ev->db, batch->keys, batch->count, &deleted, &error) == P11S_OK;

  if (done) {
    p11s_counter_add(P11S_STAT_STORE_EXPIRED, batch->expired);
    p11s_counter_add(P11S_STAT_STORE_EVICTED, batch->evicted);
    ev->bytes -= batch->bytes < ev->bytes ? batch->bytes : ev->bytes;
  } else {
    p11s_log_limited(P11S_LOG_WARNING, "store: delete",
                     "signature store: old signatures cannot be deleted: %s", error.text);
  }
  batch->count = 0;
  batch->expired = batch->evicted = batch->bytes = 0;
  return done;
}

/* -- the sweep */

struct sweep {
  struct p11s_census *counted;
  uint32_t now; /* to judge by */
  bool deletes;
  struct batch batch;
};

static bool sweep_one(const struct p11s_store_record *record, void *arg)
{
  struct sweep *sweep = arg;

  (void)p11s_census_add(record, sweep->counted);
  if (sweep->deletes && p11s_record_is_expired(record, sweep->now))
    add_to_batch(&sweep->batch, record, true);
  return true;
}

/* One line when the clock goes wrong by the signatures, and one when it is right again. */
static void judge_clock(struct p11s_eviction *ev)
{
  char text[80];
  int days;

  (void)p11s_census_now(&ev->census, p11s_record_now(), &days);
  p11s_census_format(days, text, sizeof text);
  if (days != 0 && ev->days_off == 0)
    p11s_log_event(
        P11S_LOG_WARNING,
        "signature store: this machine's clock is %s. Set it (NTP). Until they agree "
        "nothing is deleted there that may be good. When no server has used the store in "
        "between, all is well",
        text);
  else if (days == 0 && ev->days_off != 0)
    p11s_log_event(P11S_LOG_NOTICE, "signature store: this machine's clock is that of the "
                                    "signatures in the store");
  ev->days_off = days;
}

static void sweep_some(struct p11s_eviction *ev, bool deletes)
{
  struct sweep *sweep = calloc(1, sizeof *sweep);
  int days;

  if (sweep == NULL)
    return;
  sweep->counted = &ev->counted;
  sweep->now = p11s_census_now(&ev->census, p11s_record_now(), &days);
  sweep->deletes = deletes;
  if (p11s_lmdb_walk(ev->db, &ev->place, STEP, sweep_one, sweep))
    (void)delete_batch(ev, &sweep->batch);
  free(sweep);
  if (!ev->place.at_end)
    return;
  ev->census = ev->counted;
  ev->has_census = true;
  judge_clock(ev);
}

void p11s_evict_expired(struct p11s_eviction *ev)
{
  int64_t boot_s = p11s_calendar_boot_s();
  bool jumped, settled;

  settled = p11s_calendar_look(&ev->calendar, p11s_record_now(), boot_s, &jumped);
  if (jumped)
    ev->has_census = false;
  if (jumped || (ev->place.at_end && boot_s - ev->round_s >= ROUND_S)) {
    memset(&ev->place, 0, sizeof ev->place);
    memset(&ev->counted, 0, sizeof ev->counted);
    ev->round_s = boot_s;
  }
  if (!ev->place.at_end)
    sweep_some(ev, settled && ev->has_census);
}

/* -- room */

/* A batch writes each page that it touches anew: most pages of a small file. The pages of the batch
   before it may still have readers. */
static uint64_t reserve(uint64_t limit_bytes)
{
  uint64_t part = limit_bytes * 2 / 3;

  return part < (uint64_t)16 << 20 ? part : (uint64_t)16 << 20;
}

uint64_t p11s_evict_most(uint64_t limit_bytes)
{
  return limit_bytes - reserve(limit_bytes);
}

uint64_t p11s_evict_brim(uint64_t limit_bytes)
{
  return p11s_evict_most(limit_bytes) + reserve(limit_bytes) / 8;
}

uint64_t p11s_evict_limit_for(uint64_t bytes)
{
  uint64_t small = bytes * 3, large = bytes + ((uint64_t)16 << 20);

  return small < large ? small : large;
}

/* What is deleted frees no page at once. */
bool p11s_evict_has_room(const struct p11s_eviction *ev, uint64_t used_bytes, uint64_t bytes)
{
  return used_bytes <= p11s_evict_most(ev->limit_bytes) ||
         (ev->bytes + bytes <= ev->most_bytes && used_bytes <= p11s_evict_brim(ev->limit_bytes));
}

bool p11s_evict_is_full(const struct p11s_eviction *ev)
{
  return ev->full && p11s_calendar_boot_s() - ev->full_s < FULL_S;
}

uint64_t p11s_evict_size(const struct p11s_op *op)
{
  return op->kind == P11S_OP_PUT ? P11S_RECORD_KEY_LEN + op->len : 0;
}

void p11s_evict_note_written(struct p11s_eviction *ev, const struct p11s_op *op)
{
  ev->bytes += p11s_evict_size(op);
}

/* -- an eviction */

struct round {
  struct p11s_worth *worth;
  struct p11s_share *share;
  bool of_use; /* something that may be asked for again had to go */
  struct batch batch;
};

static bool weigh(const struct p11s_store_record *record, void *share)
{
  return p11s_share_add(share, record, size_of(record));
}

static bool choose(const struct p11s_store_record *record, void *arg)
{
  struct round *r = arg;
  unsigned worth;

  if (p11s_share_takes(r->share, record, size_of(record), &worth)) {
    add_to_batch(&r->batch, record, worth == P11S_WORTH_GONE);
    r->of_use = r->of_use || worth < P11S_WORTH_LAST;
  }
  return !p11s_share_is_done(r->share);
}

static bool walk_all(struct p11s_lmdb *db, p11s_store_fn fn, void *arg)
{
  struct p11s_lmdb_place place = {false, false, {0}};

  while (!place.at_end)
    if (!p11s_lmdb_walk(db, &place, STEP, fn, arg))
      return false;
  return true;
}

/* Which are to go, when so much of the file is used and so many bytes are to be written. */
static bool decide(struct p11s_eviction *ev, struct round *r, uint64_t used, uint64_t bytes)
{
  uint64_t most = p11s_evict_most(ev->limit_bytes), much;
  bool first = ev->most_bytes == 0 && used <= p11s_evict_brim(ev->limit_bytes);

  r->worth = p11s_worth_new(p11s_lmdb_stats(ev->db).records);
  if (r->worth == NULL || !walk_all(ev->db, p11s_worth_look, r->worth))
    return false;
  p11s_worth_decide(r->worth, p11s_record_now());
  r->share = p11s_share_new(r->worth);
  if (r->share == NULL || !walk_all(ev->db, weigh, r->share))
    return false;
  ev->bytes = p11s_share_all(r->share);
  /* Pages are not full: in proportion. A process that has just begun cannot know whether there is
     room in them, and takes no more than it needs. */
  ev->most_bytes = first ? ev->bytes : (uint64_t)((double)ev->bytes * (double)most / (double)used);
  much = first ? 0 : ev->bytes - (ev->most_bytes - ev->most_bytes / 10);
  atomic_store(&ev->full, !p11s_share_decide(r->share, much > bytes ? much : bytes));
  ev->full_s = p11s_calendar_boot_s();
  return true;
}

/* false: enough is deleted, or it cannot go on. */
static bool delete_some(struct p11s_eviction *ev, struct round *r)
{
  uint64_t most = p11s_evict_most(ev->limit_bytes);

  return ev->goes_on(ev->arg) && p11s_lmdb_walk(ev->db, &ev->hand, STEP, choose, r) &&
         delete_batch(ev, &r->batch) && !p11s_share_is_done(r->share) &&
         p11s_lmdb_stats(ev->db).used_bytes > most - most / 10;
}

/* Once through the file at most, from where the last one ended: of records that are worth the same
   it is not always the first ones that go. Neighbours go together: that empties pages. */
static void delete_round(struct p11s_eviction *ev, struct round *r)
{
  bool again = ev->hand.begun; /* from the beginning */

  while (delete_some(ev, r)) {
    if (!ev->hand.at_end)
      continue;
    memset(&ev->hand, 0, sizeof ev->hand);
    if (!again)
      return;
    again = false;
  }
}

void p11s_evict_note_losses(struct p11s_eviction *ev, const struct p11s_lmdb_loss *losses,
                            size_t count)
{
  struct p11s_error error;

  if (count > 0 &&
      p11s_lmdb_add_losses(ev->db, losses, count, p11s_record_now(), &error) != P11S_OK)
    p11s_log_limited(P11S_LOG_WARNING, "store: loss",
                     "signature store: it cannot be noted which zones have lost signatures: %s",
                     error.text);
}

static void note_losers(struct p11s_eviction *ev, const struct p11s_share *share)
{
  struct p11s_lmdb_loss loss[LOSSES];
  struct p11s_share_loser loser;
  size_t at = 0, count;

  do {
    for (count = 0; count < LOSSES && p11s_share_next_loser(share, &at, &loser); count++) {
      loss[count] = (struct p11s_lmdb_loss){loser.name, loser.len, loser.lost};
      p11s_bar_raise(&ev->bar, loser.name, loser.len, loser.best);
    }
    p11s_evict_note_losses(ev, loss, count);
  } while (count == LOSSES);
}

static void evict(struct p11s_eviction *ev, uint64_t used, uint64_t bytes)
{
  struct round *r = calloc(1, sizeof *r);

  if (r == NULL)
    return;
  if (decide(ev, r, used, bytes)) {
    delete_round(ev, r);
    if (ev->full || r->of_use)
      atomic_store(&ev->crowded, true);
    note_losers(ev, r->share);
  }
  p11s_share_free(r->share);
  p11s_worth_free(r->worth);
  free(r);
}

void p11s_evict_for(struct p11s_eviction *ev, const struct p11s_ops *batch)
{
  uint64_t most = p11s_evict_most(ev->limit_bytes), used = p11s_lmdb_stats(ev->db).used_bytes;
  const struct p11s_op *op;
  uint64_t bytes = 0;

  STAILQ_FOREACH(op, batch, link)
  bytes += p11s_evict_size(op);
  if (used < most - most / 5 || ev->bytes < ev->most_bytes - ev->most_bytes / 5) {
    atomic_store(&ev->crowded, false);
    p11s_bar_clear(&ev->bar);
  }
  if (bytes > 0 && !p11s_evict_has_room(ev, used, bytes) && !p11s_evict_is_full(ev))
    evict(ev, used, bytes);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is written to the fleet's store, and the thread that does it (store/fleet/fleet.h). */
#include "store/calendar.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/counters.h"
#include "store/fleet/internal.h"
#include "store/fleet/trim.h"
#include "store/record.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define BATCH 200
#define BATCH_BYTES ((size_t)256 << 10) /* of a statement; at least one record */
#define TRIES 50
#define AGAIN_MS 20 /* after a deadlock, a few times */
#define AGAIN_SOON 5
#define RECONNECT_MS 1000
#define TIDY_MS 10000
#define TIDY_MORE_MS 200 /* when there was as much as a transaction may delete */
#define TIDY_ROWS 500
#define DAY 86400

/* -- queueing */

static void queue(struct p11s_fleet *fleet, struct p11s_op *op)
{
  bool queued = false;

  if (op != NULL && p11s_fleet_id(op->key, op->id)) {
    p11s_lock(&fleet->lock);
    queued = !fleet->stopping && p11s_op_queue_add(&fleet->queue, op, p11s_fleet_op_size(op));
    if (queued && fleet->queue.count == 1)
      pthread_cond_signal(&fleet->write.wake);
    p11s_unlock(&fleet->lock);
  }
  if (queued)
    return;
  free(op);
  p11s_counter_count(P11S_STAT_FLEET_DROPPED);
}

void p11s_fleet_write_queue(struct p11s_fleet *fleet, enum p11s_op_kind kind,
                            const unsigned char *key)
{
  queue(fleet, p11s_op_new(kind, key, P11S_RECORD_KEY_LEN, NULL, 0));
}

void p11s_fleet_write_put(struct p11s_fleet *fleet, const unsigned char *key,
                          const struct p11s_store_record *record)
{
  if (p11s_fleet_trim_refuses(fleet, record)) {
    p11s_counter_count(P11S_STAT_FLEET_DROPPED);
    p11s_fleet_write_queue(fleet, P11S_OP_ABANDON, key);
  } else {
    queue(fleet, p11s_op_new_put(key, record));
  }
}

bool p11s_fleet_flush(struct p11s_fleet *fleet, uint64_t deadline_ms)
{
  uint64_t until;
  bool done;

  if (!p11s_fleet_is_ours(fleet))
    return fleet == NULL;
  p11s_lock(&fleet->lock);
  until = fleet->queue.in;
  while (fleet->queue.out < until && p11s_health_allows(&fleet->health) &&
         p11s_cond_wait_until(&fleet->done, &fleet->lock, deadline_ms))
    ;
  done = fleet->queue.out >= until;
  p11s_unlock(&fleet->lock);
  return done;
}

/* -- the thread */

struct writer {
  struct p11s_fleet *fleet;
  struct p11s_ops batch; /* of one kind, in the order of the queue */
  size_t count;
  unsigned tries;    /* that this batch has had */
  uint64_t pause_ms; /* no statement before this */
  uint64_t tidy_ms;
  struct p11s_calendar calendar;
  bool clock_off; /* as was said */
  struct p11s_fleet_trim *trim;
};

/* The batch is written, or given up. */
static void end_batch(struct writer *w)
{
  struct p11s_fleet *fleet = w->fleet;

  p11s_ops_free(&w->batch);
  p11s_lock(&fleet->lock);
  fleet->queue.out += w->count;
  pthread_cond_broadcast(&fleet->done);
  p11s_unlock(&fleet->lock);
  w->count = 0;
  w->tries = 0;
}

/* Until there is something to do and the database is there to do it. false: to stop, with
   everything written that can be. */
static bool await_work(struct writer *w)
{
  struct p11s_fleet *fleet = w->fleet;
  uint64_t until;
  bool goes_on;

  p11s_lock(&fleet->lock);
  for (;;) {
    bool up = fleet->health.state == P11S_HEALTH_UP, waits = w->count + fleet->queue.count > 0;
    uint64_t now = p11s_now_ms();

    until = waits || w->pause_ms > w->tidy_ms ? w->pause_ms : w->tidy_ms;
    goes_on = !fleet->stopping || (up && waits && now >= until);
    if (fleet->stopping || (up && now >= until))
      break;
    (void)p11s_cond_wait_until(&fleet->write.wake, &fleet->lock, up ? until : now + TIDY_MS);
  }
  if (goes_on && w->count == 0)
    w->count = p11s_op_queue_take(&fleet->queue, &w->batch, BATCH, BATCH_BYTES, true);
  p11s_unlock(&fleet->lock);
  return goes_on;
}

static int by_id(const void *a, const void *b)
{
  const struct p11s_op *const *one = a, *const *other = b;

  return memcmp((*one)->id, (*other)->id, P11S_STORE_ID_LEN);
}

static void complain(const struct writer *w, const char *what, const struct p11s_error *why)
{
  p11s_log_limited(P11S_LOG_WARNING, "fleet: write",
                   "fleet store %s: %s: %s. Queries are answered all the same, but other servers "
                   "make these signatures again",
                   w->fleet->where, what, why->text);
}

static void settle(struct writer *w, enum p11s_fleet_result result, const struct p11s_error *why)
{
  bool is_put = STAILQ_FIRST(&w->batch)->kind == P11S_OP_PUT;

  if (result == P11S_FLEET_LOST)
    p11s_fleet_disconnect(w->fleet, &w->fleet->write);
  if (result == P11S_FLEET_DONE && is_put)
    p11s_counter_add(P11S_STAT_FLEET_WRITTEN, w->count);
  if ((result == P11S_FLEET_LOST || result == P11S_FLEET_AGAIN) && ++w->tries < TRIES) {
    bool soon = result == P11S_FLEET_AGAIN && w->tries <= AGAIN_SOON;

    w->pause_ms = p11s_now_ms() + (soon ? AGAIN_MS : RECONNECT_MS);
    if (result == P11S_FLEET_LOST)
      complain(w, "writing has failed and is tried again", why);
    return;
  }
  if (result != P11S_FLEET_DONE) {
    p11s_counter_add(P11S_STAT_FLEET_FAILED, w->count);
    complain(w, "records could not be written", why);
  }
  end_batch(w);
}

static void write_batch(struct writer *w)
{
  struct p11s_op *sorted[BATCH], *op;
  struct p11s_buf sql = P11S_BUF_INIT;
  struct p11s_error error;
  size_t count = 0;

  STAILQ_FOREACH(op, &w->batch, link)
  sorted[count++] = op;
  /* All servers take rows in the same order: fewer deadlocks. */
  qsort(sorted, count, sizeof(struct p11s_op *), by_id);
  p11s_fleet_sql_write(&sql, sorted, count, w->fleet->server, p11s_record_now());
  settle(w, p11s_connection_run(w->fleet->write.conn, &sql, NULL, NULL, NULL, &error), &error);
}

/* -- tidying */

struct expired {
  unsigned char id[TIDY_ROWS * P11S_STORE_ID_LEN];
  size_t count;
};

static void take_id(const struct p11s_fleet_field *fields, unsigned count, void *arg)
{
  struct expired *expired = arg;

  if (count == 1 && fields[0].len == P11S_STORE_ID_LEN && expired->count < TIDY_ROWS)
    memcpy(expired->id + expired->count++ * P11S_STORE_ID_LEN, fields[0].data, P11S_STORE_ID_LEN);
}

/* One line when the two clocks are a day apart, and one when they agree again. */
static void compare_clocks(struct writer *w, uint64_t theirs)
{
  int64_t ahead = (int64_t)p11s_record_now() - (int64_t)theirs;
  bool off = ahead > DAY || ahead < -DAY;

  if (off && !w->clock_off)
    p11s_log_event(P11S_LOG_WARNING,
                   "fleet store %s: this machine's clock is %" PRId64 " days %s the database's. "
                   "Set it (NTP). Until then this server deletes no rows there",
                   w->fleet->where, (ahead > 0 ? ahead : -ahead) / DAY,
                   ahead > 0 ? "ahead of" : "behind");
  else if (!off && w->clock_off)
    p11s_log_event(P11S_LOG_NOTICE,
                   "fleet store %s: this machine's clock agrees with the database's",
                   w->fleet->where);
  w->clock_off = off;
}

/* Whether what has expired by both clocks has expired. */
static bool may_delete(struct writer *w, enum p11s_fleet_result *ret_result)
{
  struct p11s_buf sql = P11S_BUF_INIT;
  uint64_t theirs = 0;
  bool settled, jumped;

  settled = p11s_calendar_look(&w->calendar, p11s_record_now(), p11s_calendar_boot_s(), &jumped);
  p11s_buf_addstr(&sql, P11S_FLEET_SQL_NOW);
  *ret_result =
      p11s_connection_run(w->fleet->write.conn, &sql, p11s_fleet_take_number, &theirs, NULL, NULL);
  if (*ret_result != P11S_FLEET_DONE || theirs == 0)
    return false;
  compare_clocks(w, theirs);
  return settled && !w->clock_off;
}

/* Another server may be deleting the same: whoever comes second tries again another time. */
static enum p11s_fleet_result delete_expired(struct writer *w)
{
  struct expired *expired = calloc(1, sizeof *expired);
  struct p11s_buf sql = P11S_BUF_INIT;
  enum p11s_fleet_result result;

  if (expired == NULL)
    return P11S_FLEET_REFUSED;
  p11s_fleet_sql_expired(&sql, p11s_record_now(), TIDY_ROWS);
  result = p11s_connection_run(w->fleet->write.conn, &sql, take_id, expired, NULL, NULL);
  if (result == P11S_FLEET_DONE && expired->count > 0) {
    p11s_fleet_sql_delete(&sql, expired->id, expired->count);
    result = p11s_connection_run(w->fleet->write.conn, &sql, NULL, NULL, NULL, NULL);
    if (result == P11S_FLEET_DONE && expired->count == TIDY_ROWS)
      w->tidy_ms = p11s_now_ms() + TIDY_MORE_MS;
  }
  free(expired);
  return result;
}

static void tidy(struct writer *w)
{
  enum p11s_fleet_result result;
  bool more = false;

  w->tidy_ms = p11s_now_ms() + TIDY_MS + w->fleet->server[0] * 20;
  if (may_delete(w, &result))
    result = delete_expired(w);
  if (result == P11S_FLEET_DONE && w->trim != NULL && !w->clock_off)
    result = p11s_fleet_trim_step(w->trim, w->fleet->write.conn, &more);
  if (more)
    w->tidy_ms = p11s_now_ms();
  if (result == P11S_FLEET_LOST)
    p11s_fleet_disconnect(w->fleet, &w->fleet->write);
}

void p11s_fleet_write_main(void *arg)
{
  struct p11s_fleet *fleet = arg;
  struct writer w = {.fleet = fleet,
                     .batch = STAILQ_HEAD_INITIALIZER(w.batch),
                     .tidy_ms = p11s_now_ms() + 1000 + fleet->server[0] * 20U,
                     .trim = p11s_fleet_trim_new(fleet)};
  struct p11s_error error;

  while (await_work(&w)) {
    if (fleet->write.conn == NULL &&
        p11s_fleet_connect(fleet, &fleet->write, P11S_FLEET_WRITE_S, &error) != P11S_OK) {
      complain(&w, "no connection for writing", &error);
      w.pause_ms = p11s_now_ms() + RECONNECT_MS;
    } else if (w.count > 0) {
      write_batch(&w);
    } else {
      tidy(&w);
    }
  }
  p11s_ops_free(&w.batch);
  p11s_fleet_trim_free(w.trim);
  p11s_fleet_disconnect(fleet, &fleet->write);
}

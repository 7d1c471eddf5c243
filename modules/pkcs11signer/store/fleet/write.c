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
#define QUEUE_MAX 10000
#define QUEUE_BYTES ((size_t)16 << 20)
#define TRIES 50
#define AGAIN_MS 20 /* after a deadlock, a few times */
#define AGAIN_SOON 5
#define RECONNECT_MS 1000
#define TIDY_MS 10000
#define TIDY_MORE_MS 200 /* when there was as much as a transaction may delete */
#define TIDY_ROWS 500
#define DAY 86400

/* -- queueing */

static void queue(struct p11s_fleet *my, struct p11s_fleet_op *op)
{
  bool queued = false;

  if (op != NULL) {
    size_t size = p11s_fleet_op_size(op);

    p11s_lock(&my->lock);
    queued = !my->stopping && my->count < QUEUE_MAX && my->bytes + size <= QUEUE_BYTES;
    if (queued) {
      *my->last = op;
      my->last = &op->next;
      my->count++;
      my->bytes += size;
      my->in++;
      if (my->count == 1)
        pthread_cond_signal(&my->write.wake);
    }
    p11s_unlock(&my->lock);
  }
  if (queued)
    return;
  free(op);
  p11s_counter_count(P11S_STAT_FLEET_DROPPED);
}

static struct p11s_fleet_op *make_op(enum p11s_fleet_op_kind kind, const unsigned char *id,
                                     size_t len)
{
  struct p11s_fleet_op *op = malloc(sizeof *op + len);

  if (op == NULL)
    return NULL;
  memset(op, 0, sizeof *op);
  op->kind = kind;
  memcpy(op->id, id, sizeof op->id);
  return op;
}

void p11s_fleet_put(struct p11s_fleet *my, const unsigned char *key,
                    const struct p11s_store_record *record)
{
  unsigned char id[P11S_STORE_ID_LEN];
  struct p11s_fleet_op *op = NULL;

  if (!p11s_fleet_is_ours(my) || record->message_len > P11S_STORE_MAX_MESSAGE ||
      record->signature_len > P11S_STORE_MAX_SIGNATURE)
    return;
  if (p11s_fleet_trim_refuses(my, record)) {
    p11s_counter_count(P11S_STAT_FLEET_DROPPED);
    p11s_fleet_abandon(my, key);
    return;
  }
  p11s_fleet_start(my);
  if (p11s_fleet_id(key, id))
    op = make_op(P11S_FLEET_PUT, id, record->message_len + record->signature_len);
  if (op != NULL) {
    memcpy(op->key_id, record->key_id, sizeof op->key_id);
    op->expires = p11s_fleet_expires(record->message, record->message_len, p11s_record_now());
    op->message_len = record->message_len;
    op->signature_len = record->signature_len;
    memcpy(op->data, record->message, record->message_len);
    memcpy(op->data + record->message_len, record->signature, record->signature_len);
  }
  queue(my, op);
}

void p11s_fleet_queue(struct p11s_fleet *my, enum p11s_fleet_op_kind kind, const unsigned char *id)
{
  queue(my, make_op(kind, id, 0));
}

static void queue_for_key(struct p11s_fleet *my, enum p11s_fleet_op_kind kind,
                          const unsigned char *key)
{
  unsigned char id[P11S_STORE_ID_LEN];

  if (!p11s_fleet_is_ours(my) || !p11s_fleet_id(key, id))
    return;
  p11s_fleet_start(my);
  p11s_fleet_queue(my, kind, id);
}

void p11s_fleet_forget(struct p11s_fleet *my, const unsigned char *key)
{
  queue_for_key(my, P11S_FLEET_FORGET, key);
}

void p11s_fleet_used(struct p11s_fleet *my, const unsigned char *key)
{
  queue_for_key(my, P11S_FLEET_USED, key);
}

void p11s_fleet_abandon(struct p11s_fleet *my, const unsigned char *key)
{
  queue_for_key(my, P11S_FLEET_ABANDON, key);
}

bool p11s_fleet_flush(struct p11s_fleet *my, uint64_t deadline_ms)
{
  uint64_t until;
  bool done;

  if (!p11s_fleet_is_ours(my))
    return my == NULL;
  p11s_lock(&my->lock);
  until = my->in;
  while (my->out < until && p11s_health_allows(&my->breaker) &&
         p11s_cond_wait_until(&my->done, &my->lock, deadline_ms))
    ;
  done = my->out >= until;
  p11s_unlock(&my->lock);
  return done;
}

/* -- the thread */

struct writer {
  struct p11s_fleet *my;
  struct p11s_fleet_op *op[BATCH]; /* of one kind: the first count of the queue */
  size_t count;
  unsigned tries;    /* that this batch has had */
  uint64_t pause_ms; /* no statement before this */
  uint64_t tidy_ms;
  struct p11s_calendar calendar;
  bool clock_off; /* as was said */
  struct p11s_fleet_trim *trim;
};

/* The first of the queue, as long as they are of one kind; they stay in it. */
static void look_at_batch_locked(struct writer *w)
{
  struct p11s_fleet_op *op = w->my->first;
  size_t bytes = 0;

  w->count = 0;
  while (op != NULL && w->count < BATCH && op->kind == w->my->first->kind &&
         (bytes += p11s_fleet_op_size(op)) != 0 && (w->count == 0 || bytes <= BATCH_BYTES)) {
    w->op[w->count++] = op;
    op = op->next;
  }
}

static void drop_batch(struct writer *w)
{
  struct p11s_fleet *my = w->my;

  p11s_lock(&my->lock);
  for (size_t i = 0; i < w->count; i++) {
    struct p11s_fleet_op *op = my->first;

    my->first = op->next;
    my->bytes -= p11s_fleet_op_size(op);
    free(op);
  }
  my->count -= w->count;
  my->out += w->count;
  if (my->first == NULL)
    my->last = &my->first;
  pthread_cond_broadcast(&my->done);
  p11s_unlock(&my->lock);
  w->count = 0;
  w->tries = 0;
}

/* Until there is something to do and the database is there to do it. false: to stop, with
   everything written that can be. */
static bool await_work(struct writer *w)
{
  struct p11s_fleet *my = w->my;
  uint64_t until;
  bool goes_on;

  p11s_lock(&my->lock);
  for (;;) {
    uint64_t now = p11s_now_ms();
    bool up = my->breaker.state == P11S_HEALTH_UP;

    until = my->count > 0 || w->pause_ms > w->tidy_ms ? w->pause_ms : w->tidy_ms;
    goes_on = !my->stopping || (up && my->count > 0 && now >= until);
    if (my->stopping || (up && now >= until))
      break;
    (void)p11s_cond_wait_until(&my->write.wake, &my->lock, up ? until : now + TIDY_MS);
  }
  look_at_batch_locked(w);
  p11s_unlock(&my->lock);
  return goes_on;
}

/* Statements may be tried again after this. */
static void pause_for(struct writer *w, uint64_t ms)
{
  w->pause_ms = p11s_now_ms() + ms;
}

static int by_id(const void *a, const void *b)
{
  const struct p11s_fleet_op *const *one = a, *const *other = b;

  return memcmp((*one)->id, (*other)->id, P11S_STORE_ID_LEN);
}

static void complain(const struct writer *w, const char *what, const struct p11s_error *why)
{
  p11s_log_limited(P11S_LOG_WARNING, "fleet: write",
                   "fleet store %s: %s: %s. Queries are answered all the same, but other servers "
                   "make these signatures again",
                   w->my->where, what, why->text);
}

static void settle(struct writer *w, enum p11s_fleet_result result, const struct p11s_error *why)
{
  bool is_put = w->count > 0 && w->op[0]->kind == P11S_FLEET_PUT;

  if (result == P11S_FLEET_LOST)
    p11s_fleet_disconnect(w->my, &w->my->write);
  if (result == P11S_FLEET_DONE && is_put)
    p11s_counter_add(P11S_STAT_FLEET_WRITTEN, w->count);
  if ((result == P11S_FLEET_LOST || result == P11S_FLEET_AGAIN) && ++w->tries < TRIES) {
    pause_for(w, result == P11S_FLEET_AGAIN && w->tries <= AGAIN_SOON ? AGAIN_MS : RECONNECT_MS);
    if (result == P11S_FLEET_LOST)
      complain(w, "writing has failed and is tried again", why);
    return;
  }
  if (result != P11S_FLEET_DONE) {
    p11s_counter_add(P11S_STAT_FLEET_FAILED, w->count);
    complain(w, "records could not be written", why);
  }
  drop_batch(w);
}

static void write_batch(struct writer *w)
{
  struct p11s_fleet_op *sorted[BATCH];
  struct p11s_buf sql = P11S_BUF_INIT;
  enum p11s_fleet_result result;
  struct p11s_error error;

  /* All servers take rows in the same order: fewer deadlocks. */
  memcpy(sorted, w->op, w->count * sizeof(struct p11s_fleet_op *));
  qsort(sorted, w->count, sizeof(struct p11s_fleet_op *), by_id);
  p11s_fleet_sql_write(&sql, sorted, w->count, w->my->server);
  if (sql.failed) {
    (void)p11s_error_set(&error, P11S_ERR_NOMEM, "out of memory");
    result = P11S_FLEET_REFUSED;
  } else {
    result = p11s_connection_run(w->my->write.conn, sql.data, sql.len, NULL, NULL, NULL, &error);
  }
  p11s_buf_clear(&sql);
  settle(w, result, &error);
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

static enum p11s_fleet_result run(struct writer *w, struct p11s_buf *sql, p11s_fleet_row_fn fn,
                                  void *arg)
{
  enum p11s_fleet_result result = P11S_FLEET_REFUSED;

  if (!sql->failed)
    result = p11s_connection_run(w->my->write.conn, sql->data, sql->len, fn, arg, NULL, NULL);
  p11s_buf_clear(sql);
  return result;
}

static void take_number(const struct p11s_fleet_field *fields, unsigned count, void *arg)
{
  if (count == 1)
    *(uint64_t *)arg = p11s_fleet_number(&fields[0]);
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
                   w->my->where, (ahead > 0 ? ahead : -ahead) / DAY,
                   ahead > 0 ? "ahead of" : "behind");
  else if (!off && w->clock_off)
    p11s_log_event(P11S_LOG_NOTICE,
                   "fleet store %s: this machine's clock agrees with the database's", w->my->where);
  w->clock_off = off;
}

/* Whether what has expired by both clocks has expired. */
static bool may_delete(struct writer *w, enum p11s_fleet_result *ret_result)
{
  struct p11s_buf sql = P11S_BUF_INIT;
  uint64_t theirs = 0;
  bool settled, jumped;

  settled = p11s_calendar_look(&w->calendar, p11s_record_now(), p11s_calendar_boot_s(), &jumped);
  p11s_fleet_sql_now(&sql);
  *ret_result = run(w, &sql, take_number, &theirs);
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
  result = run(w, &sql, take_id, expired);
  if (result == P11S_FLEET_DONE && expired->count > 0) {
    p11s_fleet_sql_delete(&sql, expired->id, expired->count);
    result = run(w, &sql, NULL, NULL);
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

  w->tidy_ms = p11s_now_ms() + TIDY_MS + w->my->server[0] * 20;
  if (may_delete(w, &result))
    result = delete_expired(w);
  if (result == P11S_FLEET_DONE && w->trim != NULL && !w->clock_off)
    result = p11s_fleet_trim_step(w->trim, w->my->write.conn, &more);
  if (more)
    w->tidy_ms = p11s_now_ms();
  if (result == P11S_FLEET_LOST)
    p11s_fleet_disconnect(w->my, &w->my->write);
}

void *p11s_fleet_write_main(void *arg)
{
  struct p11s_fleet *my = arg;
  struct writer w = {.my = my,
                     .tidy_ms = p11s_now_ms() + 1000 + my->server[0] * 20U,
                     .trim = p11s_fleet_trim_new(my)};
  struct p11s_error error;

  (void)pthread_setname_np(pthread_self(), "p11s/fleet-put");
  while (await_work(&w)) {
    if (my->write.conn == NULL &&
        p11s_fleet_connect(my, &my->write, P11S_FLEET_WRITE_S, &error) != P11S_OK) {
      complain(&w, "no connection for writing", &error);
      pause_for(&w, RECONNECT_MS);
    } else if (w.count > 0) {
      write_batch(&w);
    } else {
      tidy(&w);
    }
  }
  p11s_fleet_trim_free(w.trim);
  p11s_fleet_end_link(my, &my->write);
  return NULL;
}

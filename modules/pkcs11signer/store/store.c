/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "store/store.h"

#include "base/fork.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/counters.h"
#include "store/recover.h"
#include "store/internal.h"
#include "store/refuse.h"
#include "base/service.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define BATCH 500
#define BATCH_BYTES ((size_t)1 << 20)
#define WITHIN_MS 1000
#define LEAVE_MS 200 /* for those who look up at the end */
#define TIDY_EVERY_MS 60000

struct p11s_store {
  struct p11s_lmdb *db;     /* immutable, like the next four */
  struct p11s_fleet *fleet; /* or NULL */
  struct p11s_eviction eviction;
  char *directory;
  unsigned generation;         /* of fork() */
  struct p11s_store_file file; /* opener's, then the thread's */
  uint64_t tidied_ms;          /* the thread's */
  atomic_bool stopped;

  struct p11s_service thread; /* its lock guards the rest; changed: there is something to write */
  pthread_cond_t done;        /* a batch is */
  struct p11s_op_queue queue;
  uint64_t first_ms; /* when its first was queued */
  bool hurry;        /* somebody waits for it */
};

/* 0: this process has none; else the generation that has one, and 1. */
static atomic_uint taken;

static bool is_open(const struct p11s_store *s)
{
  return s != NULL && !atomic_load_explicit(&s->stopped, memory_order_acquire) &&
         s->generation == p11s_fork_generation();
}

static bool is_batch_locked(const struct p11s_store *s)
{
  return s->queue.count >= BATCH || s->queue.bytes >= BATCH_BYTES;
}

void p11s_store_queue(struct p11s_store *s, struct p11s_op *op)
{
  bool queued = false;

  if (op != NULL) {
    p11s_lock(&s->thread.lock);
    queued = !atomic_load(&s->thread.stop) && p11s_op_queue_add(&s->queue, op, op->len);
    if (queued && s->queue.count == 1)
      s->first_ms = p11s_now_ms();
    if (queued && (s->queue.count == 1 || is_batch_locked(s)))
      pthread_cond_signal(&s->thread.changed);
    p11s_unlock(&s->thread.lock);
  }
  if (queued)
    return;
  free(op);
  p11s_counter_count(P11S_STAT_STORE_DROPPED);
}

/* -- the thread */

/* Until there is a batch to write, or a second has passed. false: the store is to stop, and
   everything is written. */
static bool await_batch(struct p11s_store *s, struct p11s_ops *ret_batch, size_t *ret_count)
{
  uint64_t until = p11s_now_ms() + WITHIN_MS;
  bool goes_on;

  p11s_lock(&s->thread.lock);
  while (!atomic_load(&s->thread.stop) && !(s->hurry && s->queue.count > 0) &&
         !is_batch_locked(s)) {
    if (s->queue.count > 0 && s->first_ms + WITHIN_MS < until)
      until = s->first_ms + WITHIN_MS;
    if (!p11s_cond_wait_until(&s->thread.changed, &s->thread.lock, until))
      break;
  }
  *ret_count = p11s_op_queue_take(&s->queue, ret_batch, BATCH, BATCH_BYTES, false);
  s->first_ms = p11s_now_ms();
  s->hurry = s->hurry && s->queue.count > 0;
  goes_on = !atomic_load(&s->thread.stop) || *ret_count > 0;
  p11s_unlock(&s->thread.lock);
  return goes_on;
}

static void write_batch(struct p11s_store *s, struct p11s_ops *batch, size_t count)
{
  const struct p11s_op *op;
  struct p11s_error error;

  if (STAILQ_EMPTY(batch) || p11s_lmdb_write(s->db, batch, &error) == P11S_OK) {
    STAILQ_FOREACH(op, batch, link)
    {
      p11s_evict_note_written(&s->eviction, op);
      if (op->kind == P11S_OP_PUT)
        p11s_counter_count(P11S_STAT_STORE_WRITTEN);
    }
  } else {
    p11s_counter_add(P11S_STAT_STORE_FAILED, count);
    if (p11s_lmdb_is_usable(s->db)) /* else it has been said */
      p11s_log_limited(P11S_LOG_WARNING, "store: write",
                       "signature store %s: %zu record%s could not be written: %s. Queries are "
                       "answered all the same, but what is missing is signed again after a restart",
                       s->file.path, count, p11s_plural(count), error.text);
  }
  p11s_ops_free(batch);
  p11s_lock(&s->thread.lock);
  s->queue.out += count;
  pthread_cond_broadcast(&s->done);
  p11s_unlock(&s->thread.lock);
}

static bool is_not_stopping(void *arg)
{
  struct p11s_store *s = arg;

  return !atomic_load(&s->thread.stop);
}

static void look_after(struct p11s_store *s)
{
  uint64_t now = p11s_now_ms();

  if (now - s->tidied_ms >= TIDY_EVERY_MS) {
    s->tidied_ms = now;
    p11s_lmdb_tidy(s->db);
  }
  p11s_evict_expired(&s->eviction);
}

static void run(void *arg)
{
  struct p11s_store *s = arg;
  struct p11s_ops batch = STAILQ_HEAD_INITIALIZER(batch);
  size_t count;

  p11s_store_file_own(s->directory);
  while (await_batch(s, &batch, &count)) {
    if (count > 0) {
      p11s_refuse(&s->eviction, &batch);
      p11s_evict_for(&s->eviction, &batch);
      p11s_refuse(&s->eviction, &batch);
      write_batch(s, &batch, count);
    } else if (p11s_lmdb_is_usable(s->db)) {
      look_after(s);
    }
  }
  (void)p11s_lmdb_stop(s->db, p11s_now_ms() + LEAVE_MS);
  p11s_store_file_release(&s->file);
}

/* -- opening and closing */

static void free_store(struct p11s_store *s)
{
  p11s_fleet_close(s->fleet, 0);
  p11s_lmdb_close(s->db);
  p11s_bar_clear(&s->eviction.bar);
  p11s_store_file_free(&s->file);
  pthread_cond_destroy(&s->done);
  p11s_service_destroy(&s->thread);
  free(s->directory);
  free(s);
}

static struct p11s_store *make_store(const struct p11s_store_config *config)
{
  struct p11s_store *s = calloc(1, sizeof *s);

  if (s == NULL)
    return NULL;
  p11s_service_init(&s->thread);
  p11s_cond_init(&s->done);
  p11s_op_queue_init(&s->queue);
  s->eviction.limit_bytes = config->size_mib << 20;
  s->eviction.goes_on = is_not_stopping;
  s->eviction.arg = s;
  s->generation = p11s_fork_generation();
  s->file.guard = -1;
  s->directory = strdup(config->directory);
  if (s->directory != NULL)
    return s;
  free_store(s);
  return NULL;
}

static enum p11s_err open_files(struct p11s_store *s, bool patient, struct p11s_error *e)
{
  enum p11s_err result;

  p11s_store_file_own(s->directory);
  result = p11s_store_file_prepare(s->directory, patient, &s->file, e);
  if (result == P11S_OK)
    result = p11s_lmdb_open(&s->file, &s->db, e);
  s->eviction.db = s->db;
  p11s_store_file_unown();
  if (result != P11S_OK)
    p11s_error_prefix(e, "signature store %s/signatures.lmdb", s->directory);
  return result;
}

enum p11s_err p11s_store_open(const struct p11s_store_config *config, struct p11s_store **ret,
                              struct p11s_error *e)
{
  unsigned mine = p11s_fork_generation() + 1, had = atomic_load(&taken);
  enum p11s_err result;
  struct p11s_store *s;

  if (had == mine || !atomic_compare_exchange_strong(&taken, &had, mine))
    return p11s_error_set(e, P11S_ERR_EXISTS, "this process has a signature store already");
  s = make_store(config);
  result = s != NULL ? open_files(s, config->patient, e) : p11s_error_no_memory(e);
  if (result == P11S_OK && config->fleet != NULL)
    result = p11s_fleet_open(config->fleet, &s->fleet, e);
  if (result == P11S_OK && !p11s_service_start(&s->thread, "p11s/store", run, s))
    result = p11s_error_set(e, P11S_ERR_NOMEM, "no thread could be started for the store");
  if (result == P11S_OK) {
    *ret = s;
    return P11S_OK;
  }
  if (s != NULL)
    free_store(s);
  atomic_store(&taken, 0);
  return result;
}

bool p11s_store_stop(struct p11s_store *s, uint64_t deadline_ms)
{
  bool ended;

  if (s == NULL || s->generation != p11s_fork_generation())
    return true;
  p11s_fleet_begin_stop(s->fleet);
  ended = p11s_service_stop(&s->thread, deadline_ms);
  if (ended)
    atomic_store_explicit(&s->stopped, true, memory_order_release);
  return p11s_fleet_stop(s->fleet, deadline_ms) && ended;
}

void p11s_store_connect(struct p11s_store *s)
{
  p11s_fleet_start(p11s_store_fleet(s));
}

void p11s_store_close(struct p11s_store *s, uint64_t deadline_ms)
{
  /* What a thread that does not come back uses is leaked, as is what fork() has left behind. */
  if (s == NULL || s->generation != p11s_fork_generation() || !p11s_store_stop(s, deadline_ms))
    return;
  free_store(s);
  atomic_store(&taken, 0);
}

bool p11s_store_flush(struct p11s_store *s, uint64_t deadline_ms)
{
  uint64_t until;
  bool done;

  if (!is_open(s))
    return s == NULL;
  p11s_lock(&s->thread.lock);
  until = s->queue.in;
  s->hurry = true;
  pthread_cond_signal(&s->thread.changed);
  while (s->queue.out < until && p11s_cond_wait_until(&s->done, &s->thread.lock, deadline_ms))
    ;
  done = s->queue.out >= until;
  p11s_unlock(&s->thread.lock);
  return p11s_fleet_flush(s->fleet, deadline_ms) && done;
}

struct p11s_lmdb *p11s_store_db(struct p11s_store *s)
{
  return is_open(s) ? s->db : NULL;
}

struct p11s_fleet *p11s_store_fleet(struct p11s_store *s)
{
  return is_open(s) ? s->fleet : NULL;
}

void p11s_store_get_stats(struct p11s_store *s, struct p11s_store_stats *ret)
{
  struct p11s_fleet *fleet = p11s_store_fleet(s);
  struct p11s_fleet_stats of_fleet;
  bool open = is_open(s);

  *ret = open ? p11s_lmdb_stats(s->db) : (struct p11s_store_stats){.off = true};
  p11s_fleet_get_stats(fleet, &of_fleet);
  ret->fleet = fleet != NULL;
  ret->connected = of_fleet.connected;
  ret->fleet_queued = of_fleet.queued;
  if (!open)
    return;
  p11s_lock(&s->thread.lock);
  ret->queued = s->queue.in - s->queue.out;
  p11s_unlock(&s->thread.lock);
  ret->limit_bytes = s->eviction.limit_bytes;
  ret->crowded = atomic_load(&s->eviction.crowded);
  ret->full = ret->crowded && atomic_load(&s->eviction.full);
}

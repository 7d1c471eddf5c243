/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "admin/bulk_sign.h"

#include "base/lock.h"
#include "sign/sign.h"
#include "sign/sign_store.h"
#include "store/store.h"
#include "base/thread.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#define AHEAD 4            /* messages that wait for each thread */
#define UNWRITTEN 2000     /* records that may wait to be written */
#define TRY_EVERY_MS 500   /* when a token is away */
#define REFUSED_MOST 65536 /* bytes of text about messages that were refused */

struct item {
  STAILQ_ENTRY(item) next;
  struct p11s_key *key;
  int week;
  size_t len;
  unsigned char message[];
};

struct p11s_bulk_sign {
  struct p11s_signer *signer; /* immutable, like room */
  size_t room;
  unsigned thread_count;
  pthread_t *threads;

  struct p11s_mutex lock; /* guards the rest */
  pthread_cond_t to_do;   /* there is an item, or it is over */
  pthread_cond_t changed; /* there is room, or an item is done */
  STAILQ_HEAD(, item) items;
  size_t queued;
  unsigned busy; /* threads */
  bool stopping;
  struct p11s_error error;
  struct p11s_bulk_sign_counts counts;
  struct p11s_buf refused; /* texts, each with a NUL behind it */
};

/* -- threads */

/* false: it is time to end. */
static bool rest(struct p11s_bulk_sign *b)
{
  uint64_t until = p11s_now_ms() + TRY_EVERY_MS;
  bool goes_on;

  p11s_lock(&b->lock);
  while (!b->stopping && p11s_cond_wait_until(&b->to_do, &b->lock, until))
    ;
  goes_on = !b->stopping;
  p11s_unlock(&b->lock);
  return goes_on;
}

static bool may_pass(enum p11s_err result)
{
  return result == P11S_ERR_NO_TOKEN || result == P11S_ERR_TOKEN || result == P11S_ERR_TIMEOUT ||
         result == P11S_ERR_BUSY || result == P11S_ERR_SIGNATURE;
}

static enum p11s_err sign_one(struct p11s_bulk_sign *b, struct p11s_key *key,
                              const struct p11s_question *question, struct p11s_error *e)
{
  uint64_t give_up_ms = p11s_now_ms() + P11S_BULK_SIGN_PATIENCE_MS;
  struct p11s_signature signature;
  enum p11s_err result;

  for (;;) {
    struct p11s_wait wait = {p11s_signer_admin_deadline(b->signer), false, 0, false};

    result = p11s_sign(p11s_signer_flights(b->signer), key, question, wait, &signature, e);
    if (result == P11S_OK || !may_pass(result) || p11s_now_ms() >= give_up_ms || !rest(b))
      return result;
  }
}

/* The store takes no more than it can write: a full queue would drop the signature. */
static void let_the_store_write(struct p11s_bulk_sign *b)
{
  struct p11s_store *store = p11s_signer_store(b->signer);
  struct p11s_store_stats stats;

  p11s_store_get_stats(store, &stats);
  if (stats.queued > UNWRITTEN)
    (void)p11s_store_flush(store, p11s_signer_admin_deadline(b->signer));
}

static void give_up_locked(struct p11s_bulk_sign *b, const struct p11s_error *error)
{
  if (b->stopping)
    return;
  b->error = *error;
  b->stopping = true;
  pthread_cond_broadcast(&b->to_do);
}

/* Of week 0 alone: the same message of another week is refused as well. */
static void note_refused_locked(struct p11s_bulk_sign *b, const struct item *item,
                                const struct p11s_error *error)
{
  if (item->week == 0 && b->refused.len < REFUSED_MOST)
    p11s_buf_add_text(&b->refused, error->text);
}

static void do_item(struct p11s_bulk_sign *b, const struct item *item)
{
  struct p11s_question question;
  struct p11s_error error;
  enum p11s_err result = p11s_sign_question(item->key, item->message, item->len, &question, &error);
  bool there = result == P11S_OK && p11s_sign_is_stored(item->key, &question);

  if (result == P11S_OK && !there)
    result = sign_one(b, item->key, &question, &error);
  if (result == P11S_OK && (!there || p11s_store_has_fleet(p11s_signer_store(b->signer))))
    let_the_store_write(b);
  p11s_lock(&b->lock);
  if (result == P11S_OK)
    (there ? b->counts.there : b->counts.made)[item->week]++;
  else if (result == P11S_ERR_TOO_LONG)
    note_refused_locked(b, item, &error);
  else
    give_up_locked(b, &error);
  p11s_unlock(&b->lock);
}

static void free_item(struct item *item)
{
  p11s_key_release(item->key);
  free(item);
}

static struct item *take_locked(struct p11s_bulk_sign *b)
{
  struct item *item = STAILQ_FIRST(&b->items);

  STAILQ_REMOVE_HEAD(&b->items, next);
  b->queued--;
  return item;
}

static void *batch_main(void *arg)
{
  struct p11s_bulk_sign *b = arg;
  struct item *item;

  (void)pthread_setname_np(pthread_self(), "p11s/batch");
  p11s_lock(&b->lock);
  for (;;) {
    while (b->queued == 0 && !b->stopping)
      p11s_cond_wait(&b->to_do, &b->lock);
    if (b->stopping)
      break;
    item = take_locked(b);
    b->busy++;
    pthread_cond_broadcast(&b->changed);
    p11s_unlock(&b->lock);
    do_item(b, item);
    free_item(item);
    p11s_lock(&b->lock);
    b->busy--;
    pthread_cond_broadcast(&b->changed);
  }
  p11s_unlock(&b->lock);
  return NULL;
}

/* -- the one who adds */

static void destroy(struct p11s_bulk_sign *b)
{
  while (b->queued > 0)
    free_item(take_locked(b));
  pthread_cond_destroy(&b->to_do);
  pthread_cond_destroy(&b->changed);
  p11s_mutex_destroy(&b->lock);
  p11s_buf_clear(&b->refused);
  free(b->threads);
  free(b);
}

enum p11s_err p11s_bulk_sign_new(struct p11s_signer *signer, unsigned threads,
                                 struct p11s_bulk_sign **ret_batch, struct p11s_error *e)
{
  struct p11s_bulk_sign *b = calloc(1, sizeof *b);

  if (b == NULL)
    return p11s_error_no_memory(e);
  p11s_mutex_init(&b->lock, P11S_RANK_ALONE);
  p11s_cond_init(&b->to_do);
  p11s_cond_init(&b->changed);
  b->signer = signer;
  STAILQ_INIT(&b->items);
  b->room = (size_t)threads * AHEAD;
  b->threads = calloc(threads, sizeof *b->threads);
  while (b->threads != NULL && b->thread_count < threads &&
         p11s_thread_start(&b->threads[b->thread_count], batch_main, b))
    b->thread_count++;
  if (b->thread_count > 0) {
    *ret_batch = b;
    return P11S_OK;
  }
  destroy(b);
  return p11s_error_set(e, P11S_ERR_NOMEM, "no thread could be started");
}

bool p11s_bulk_sign_add(struct p11s_bulk_sign *b, const struct p11s_demand *demand,
                        uint64_t until_ms)
{
  static const struct p11s_error no_memory = {.code = P11S_ERR_NOMEM, .text = "out of memory"};
  struct item *item = malloc(sizeof *item + demand->len);
  bool added;

  if (item == NULL) {
    p11s_lock(&b->lock);
    give_up_locked(b, &no_memory);
    p11s_unlock(&b->lock);
    return false;
  }
  *item =
      (struct item){.key = p11s_key_acquire(demand->key), .week = demand->week, .len = demand->len};
  memcpy(item->message, demand->message, demand->len);
  p11s_lock(&b->lock);
  while (b->queued >= b->room && !b->stopping &&
         p11s_cond_wait_until(&b->changed, &b->lock, until_ms))
    ;
  added = b->queued < b->room && !b->stopping;
  if (added) {
    STAILQ_INSERT_TAIL(&b->items, item, next);
    b->queued++;
    pthread_cond_signal(&b->to_do);
  }
  p11s_unlock(&b->lock);
  if (!added)
    free_item(item);
  return added;
}

static bool is_done_locked(const struct p11s_bulk_sign *b)
{
  return b->busy == 0 && (b->stopping || b->queued == 0);
}

bool p11s_bulk_sign_wait(struct p11s_bulk_sign *b, uint64_t until_ms)
{
  bool done;

  p11s_lock(&b->lock);
  while (!is_done_locked(b) && p11s_cond_wait_until(&b->changed, &b->lock, until_ms))
    ;
  done = is_done_locked(b);
  p11s_unlock(&b->lock);
  return p11s_store_flush(p11s_signer_store(b->signer), until_ms) && done;
}

enum p11s_err p11s_bulk_sign_error(struct p11s_bulk_sign *b, struct p11s_error *e)
{
  struct p11s_error error;

  p11s_lock(&b->lock);
  error = b->error;
  p11s_unlock(&b->lock);
  if (error.code != P11S_OK)
    (void)p11s_error_set(e, error.code, "%s", error.text);
  return error.code;
}

void p11s_bulk_sign_get_counts(struct p11s_bulk_sign *b, struct p11s_bulk_sign_counts *ret)
{
  p11s_lock(&b->lock);
  *ret = b->counts;
  p11s_unlock(&b->lock);
}

void p11s_bulk_sign_add_refused(struct p11s_bulk_sign *b, struct p11s_buf *out)
{
  p11s_lock(&b->lock);
  p11s_buf_add(out, b->refused.data, b->refused.len);
  p11s_unlock(&b->lock);
}

bool p11s_bulk_sign_stop(struct p11s_bulk_sign *b, uint64_t until_ms)
{
  p11s_lock(&b->lock);
  b->stopping = true;
  pthread_cond_broadcast(&b->to_do);
  p11s_unlock(&b->lock);
  return p11s_bulk_sign_wait(b, until_ms);
}

void p11s_bulk_sign_free(struct p11s_bulk_sign *b, uint64_t until_ms)
{
  bool all_back;

  if (b == NULL)
    return;
  (void)p11s_bulk_sign_stop(b, until_ms);
  p11s_lock(&b->lock);
  all_back = b->busy == 0;
  p11s_unlock(&b->lock);
  if (!all_back)
    return;
  for (unsigned i = 0; i < b->thread_count; i++)
    (void)pthread_join(b->threads[i], NULL);
  destroy(b);
}

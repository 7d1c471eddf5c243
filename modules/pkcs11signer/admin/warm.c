/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "admin/warm.h"

#include "admin/bulk_sign.h"
#include "base/array.h"
#include "base/lock.h"
#include "admin/message_file.h"
#include "store/lazy.h"
#include "store/record.h"
#include "format/message.h"

#include <stdlib.h>
#include <string.h>

#define LOOK_EVERY_MS 200 /* at progress and Ctrl-C */
#define THREADS_MOST 64
#define STOP_WITHIN_MS 5000

struct p11s_warm {
  struct p11s_signer *signer;
  unsigned weeks;
  uint32_t start;
  struct p11s_message_file *messages;
  struct p11s_buf left_out;
  struct p11s_key **keys; /* each with a reference */
  size_t key_count;
  struct p11s_error error; /* what ended the reading of the zone */
};

/* -- reading the zone */

/* The key's number; it is w->key_count when there is no memory. */
static unsigned number_of(struct p11s_warm *w, struct p11s_key *key)
{
  struct p11s_key **place;
  unsigned number = 0;

  while (number < w->key_count && w->keys[number] != key)
    number++;
  if (number == w->key_count && (place = P11S_ARRAY_ADD(w->keys, w->key_count)) != NULL)
    *place = p11s_key_acquire(key);
  return number;
}

static bool take_demand(const struct p11s_demand *demand, void *arg)
{
  struct p11s_warm *w = arg;
  unsigned key = number_of(w, demand->key);

  if (key == w->key_count)
    (void)p11s_error_no_memory(&w->error);
  else
    (void)p11s_message_file_add(w->messages, key, demand->week, demand->message, demand->len,
                                &w->error);
  return w->error.code == P11S_OK;
}

static void take_left_out(const char *what, void *arg)
{
  struct p11s_warm *w = arg;

  p11s_buf_add_text(&w->left_out, what);
}

static enum p11s_err read_zone(struct p11s_warm *w, const struct p11s_host *host, const char *zone,
                               struct p11s_error *e)
{
  const struct p11s_demand_sink sink = {take_demand, take_left_out, w};
  enum p11s_err result;

  if (p11s_signer_store(w->signer) == NULL)
    return p11s_lazy_store_missing(" that could keep what is signed", e);
  p11s_store_connect(p11s_signer_store(w->signer));
  result = p11s_message_file_new(p11s_signer_config(w->signer)->state_dir, &w->messages, e);
  if (result == P11S_OK)
    result = host->zone_check(host->ctx, zone, e);
  if (result == P11S_OK)
    result = host->each_demand(host->ctx, zone, w->weeks, &sink, e);
  if (result == P11S_OK && w->error.code != P11S_OK)
    result = p11s_error_set(e, w->error.code, "%s", w->error.text);
  if (result == P11S_OK && w->left_out.failed)
    result = p11s_error_no_memory(e);
  return result;
}

enum p11s_err p11s_warm_new(struct p11s_signer *signer, const struct p11s_host *host,
                            const char *zone, unsigned weeks, struct p11s_warm **ret_warm,
                            struct p11s_error *e)
{
  struct p11s_warm *w = calloc(1, sizeof *w);
  enum p11s_err result;

  if (w == NULL)
    return p11s_error_no_memory(e);
  w->signer = signer;
  w->weeks = weeks;
  w->start = p11s_week_start(p11s_record_now());
  result = read_zone(w, host, zone, e);
  if (result == P11S_OK)
    *ret_warm = w;
  else
    p11s_warm_free(w);
  return result;
}

void p11s_warm_free(struct p11s_warm *w)
{
  if (w == NULL)
    return;
  for (size_t i = 0; i < w->key_count; i++)
    p11s_key_release(w->keys[i]);
  free(w->keys);
  p11s_message_file_free(w->messages);
  p11s_buf_clear(&w->left_out);
  free(w);
}

/* -- all messages of all weeks */

/* fn gets the week's number. Returning false ends it. */
static enum p11s_err each_message(struct p11s_warm *w,
                                  bool (*fn)(const struct p11s_demand *demand, void *arg),
                                  void *arg, struct p11s_error *e)
{
  struct p11s_message_file_record r;

  for (int week = 0; week <= (int)w->weeks; week++) {
    enum p11s_err result = p11s_message_file_rewind(w->messages, e);

    if (result != P11S_OK)
      return result;
    while (p11s_message_file_next(w->messages, &r)) {
      const struct p11s_demand demand = {w->keys[r.key], r.data, r.len, week};

      if (r.week != P11S_EVERY_WEEK && r.week != week)
        continue;
      p11s_message_advance(r.data, week);
      if (!fn(&demand, arg))
        return P11S_OK;
    }
    if (p11s_message_file_failed(w->messages))
      return p11s_error_set(e, P11S_ERR_HOST, "the temporary file cannot be read to its end");
  }
  return P11S_OK;
}

struct planning {
  struct p11s_store *store;
  struct p11s_warm_plan sum;
};

static bool plan_one(const struct p11s_demand *demand, void *arg)
{
  const struct p11s_pubkey *public_key = p11s_key_public(demand->key);
  struct planning *planning = arg;
  size_t bytes =
      P11S_RECORD_KEY_LEN + p11s_record_size(demand->len, p11s_pubkey_signature_len(public_key));
  struct p11s_question q;

  planning->sum.messages++;
  if (p11s_question_init(&q, p11s_pubkey_hash(public_key), demand->message, demand->len) &&
      p11s_store_has(planning->store, &q)) {
    planning->sum.kept += bytes;
  } else {
    planning->sum.missing++;
    planning->sum.bytes += bytes;
  }
  return true;
}

enum p11s_err p11s_warm_plan(struct p11s_warm *w, struct p11s_warm_plan *ret, struct p11s_error *e)
{
  struct planning planning = {p11s_signer_store(w->signer), {0, 0, 0, 0}};
  enum p11s_err result = each_message(w, plan_one, &planning, e);

  if (result == P11S_OK)
    *ret = planning.sum;
  return result;
}

/* -- signing */

struct run {
  struct p11s_bulk_sign *batch;
  bool (*progress)(uint64_t made, void *arg);
  void *arg;
  bool stopped;
};

static bool look(struct run *run)
{
  struct p11s_bulk_sign_counts counts;
  uint64_t made = 0;

  p11s_bulk_sign_get_counts(run->batch, &counts);
  for (unsigned i = 0; i < P11S_WARM_WEEKS; i++)
    made += counts.made[i];
  run->stopped = !run->progress(made, run->arg);
  return !run->stopped;
}

static bool sign_one(const struct p11s_demand *demand, void *arg)
{
  struct run *run = arg;

  while (!p11s_bulk_sign_add(run->batch, demand, p11s_now_ms() + LOOK_EVERY_MS))
    if (p11s_bulk_sign_error(run->batch, NULL) != P11S_OK || !look(run))
      return false;
  return look(run);
}

/* As many as all sessions of all tokens that the keys are on. */
static unsigned threads_for(const struct p11s_warm *w)
{
  unsigned tokens = 0, threads;

  for (size_t i = 0; i < w->key_count; i++) {
    bool seen = false;

    for (size_t j = 0; j < i; j++)
      seen = seen || p11s_key_token(w->keys[j]) == p11s_key_token(w->keys[i]);
    tokens += seen ? 0 : 1;
  }
  threads = tokens * p11s_signer_config(w->signer)->sessions;
  return threads < THREADS_MOST ? threads : THREADS_MOST;
}

enum p11s_err p11s_warm_run(struct p11s_warm *w, bool (*progress)(uint64_t made, void *arg),
                            void *arg, struct p11s_warm_result *ret, struct p11s_error *e)
{
  struct run run = {NULL, progress, arg, false};
  struct p11s_bulk_sign_counts counts;
  enum p11s_err result;

  memset(ret, 0, sizeof *ret);
  if (w->key_count == 0)
    return P11S_OK;
  result = p11s_bulk_sign_new(w->signer, threads_for(w), &run.batch, e);
  if (result != P11S_OK)
    return result;
  result = each_message(w, sign_one, &run, e);
  while (result == P11S_OK && !run.stopped &&
         !p11s_bulk_sign_wait(run.batch, p11s_now_ms() + LOOK_EVERY_MS))
    (void)look(&run);
  if (result == P11S_OK)
    result = p11s_bulk_sign_error(run.batch, e);
  if (result == P11S_OK && run.stopped)
    result = p11s_error_set(e, P11S_ERR_STOPPED, "interrupted");
  (void)p11s_bulk_sign_stop(run.batch, p11s_now_ms() + STOP_WITHIN_MS);
  p11s_bulk_sign_get_counts(run.batch, &counts);
  p11s_bulk_sign_add_refused(run.batch, &w->left_out);
  memcpy(ret->made, counts.made, sizeof ret->made);
  memcpy(ret->there, counts.there, sizeof ret->there);
  p11s_bulk_sign_free(run.batch, p11s_now_ms());
  return result;
}

const struct p11s_buf *p11s_warm_left_out(const struct p11s_warm *w)
{
  return &w->left_out;
}

uint32_t p11s_warm_start(const struct p11s_warm *w)
{
  return w->start;
}

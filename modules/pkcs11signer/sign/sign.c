/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sign/sign.h"

#include "base/crypto.h"
#include "token/job.h"
#include "base/lock.h"
#include "sign/key_internal.h"
#include "token/queue.h"
#include "sign/sign_store.h"
#include "sign/key_table.h"
#include "base/counters.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#define BUCKETS 1024

struct flight {
  struct p11s_job job; /* first member */

  /* immutable */
  struct p11s_flights *flights;
  struct p11s_key *key;
  uint64_t asked_ms;
  void (*ended)(void *arg); /* of the background; or NULL */
  void *ended_arg;

  /* written by the worker before the job is done, read afterwards */
  struct p11s_signature signature;

  /* guarded by the flights' lock */
  LIST_ENTRY(flight) in_bucket;
  TAILQ_ENTRY(flight) in_kept;
  bool kept;
  bool taken;      /* somebody has got the signature */
  bool background; /* nobody has asked for it yet */
  bool claimed;    /* other servers of the fleet wait for it (store/store.h) */
  unsigned waiters;

  /* immutable, but for the key's id, which the worker knows when it has found the key */
  struct p11s_question question;
  unsigned char message[];
};

struct p11s_flights {
  bool verify; /* immutable */

  struct p11s_mutex lock;                     /* guards the rest */
  LIST_HEAD(bucket, flight) bucket[BUCKETS];  /* under way, and kept: a reference each */
  TAILQ_HEAD(kept_flights, flight) kept_list; /* oldest first */
  size_t under_way;
  size_t kept;
};

struct p11s_flights *p11s_flights_new(bool verify)
{
  struct p11s_flights *flights = calloc(1, sizeof *flights);

  if (flights == NULL)
    return NULL;
  flights->verify = verify;
  TAILQ_INIT(&flights->kept_list);
  p11s_mutex_init(&flights->lock, P11S_RANK_FLIGHTS);
  return flights;
}

/* -- the table */

static const unsigned char *message_id(const struct p11s_question *question)
{
  return question->key + P11S_STORE_ID_LEN;
}

static struct bucket *bucket_of(struct p11s_flights *flights, const struct p11s_question *question)
{
  const unsigned char *id = message_id(question);

  return &flights->bucket[(id[0] | id[1] << 8) % BUCKETS];
}

static struct flight *find_locked(struct p11s_flights *flights, const struct flight *same)
{
  struct flight *f;

  LIST_FOREACH(f, bucket_of(flights, &same->question), in_bucket)
  if (f->key == same->key &&
      memcmp(message_id(&f->question), message_id(&same->question), P11S_SHA256_LEN) == 0)
    break;
  return f;
}

/* The table's reference becomes the caller's. */
static void unkeep_locked(struct p11s_flights *flights, struct flight *f)
{
  TAILQ_REMOVE(&flights->kept_list, f, in_kept);
  LIST_REMOVE(f, in_bucket);
  f->kept = false;
  flights->kept--;
}

/* Keeps a signature that nobody waited for. Returns the oldest when that is one too many. */
static struct flight *keep_locked(struct p11s_flights *flights, struct flight *f)
{
  struct flight *oldest = NULL;

  if (flights->kept >= P11S_FLIGHTS_KEPT) {
    oldest = TAILQ_FIRST(&flights->kept_list);
    unkeep_locked(flights, oldest);
  }
  f->kept = true;
  TAILQ_INSERT_TAIL(&flights->kept_list, f, in_kept);
  flights->kept++;
  return oldest;
}

/* -- flights */

static bool is_background(struct flight *f)
{
  bool background;

  p11s_lock(&f->flights->lock);
  background = f->background;
  p11s_unlock(&f->flights->lock);
  return background;
}

/* Who asked first may not have known the key. */
static void identify(struct flight *f)
{
  const struct p11s_pubkey *public_key = p11s_key_public(f->key);

  if (public_key != NULL)
    memcpy(f->question.key, p11s_pubkey_hash(public_key), P11S_STORE_ID_LEN);
}

static enum p11s_err flight_run(struct p11s_job *job, struct p11s_work *work, struct p11s_error *e)
{
  struct flight *f = (struct flight *)job;
  struct p11s_signing signing = {
      .message = f->message, .len = f->question.len, .signature = &f->signature};
  enum p11s_err result = p11s_key_sign_work(f->key, work, &signing, f->flights->verify, e);

  if (result != P11S_OK)
    return result;
  identify(f);
  /* Before those who wait are told: they may want the store written. */
  p11s_sign_put(f->key, &f->question, &f->signature, is_background(f));
  return P11S_OK;
}

static void flight_finished(struct p11s_job *job)
{
  struct flight *f = (struct flight *)job, *drop = f;
  bool good = job->error.code == P11S_OK, ahead = is_background(f), give_back;
  struct p11s_flights *flights = f->flights;

  if (good) {
    p11s_counter_count(P11S_STAT_SIGNATURES);
    if (ahead)
      p11s_counter_count(P11S_STAT_AHEAD_SIGNATURES);
    else
      p11s_counter_latency(p11s_now_ms() - f->asked_ms);
  }
  p11s_lock(&flights->lock);
  give_back = f->claimed && !good;
  flights->under_way--;
  if (good && f->waiters == 0 && !f->taken && !f->background)
    drop = keep_locked(flights, f);
  else
    LIST_REMOVE(f, in_bucket);
  p11s_unlock(&flights->lock);
  if (give_back) {
    identify(f);
    p11s_sign_abandon(f->key, &f->question);
  }
  if (f->ended != NULL)
    f->ended(f->ended_arg);
  if (drop != NULL)
    p11s_job_release(&drop->job);
}

static void flight_destroy(struct p11s_job *job)
{
  struct flight *f = (struct flight *)job;
  struct p11s_key *key = f->key;

  p11s_job_fini(job);
  free(f);
  p11s_key_release(key);
}

/* NULL: no memory. ahead: nobody waits for it; else NULL. */
static struct flight *make_flight(struct p11s_flights *flights, struct p11s_key *key,
                                  const struct p11s_question *question,
                                  const struct p11s_sign_ahead *ahead)
{
  static const struct p11s_job_ops ops = {flight_run, flight_finished, flight_destroy, false,
                                          false};
  struct flight *f = calloc(1, sizeof *f + question->len);

  if (f == NULL)
    return NULL;
  p11s_job_init(&f->job, &ops, p11s_key_pin(key));
  p11s_queue_classify(question->message, question->len, &f->job.lane, &f->job.urgent);
  f->job.signs = true;
  f->flights = flights;
  f->key = p11s_key_acquire(key);
  f->question = *question;
  f->question.message = memcpy(f->message, question->message, question->len);
  f->asked_ms = p11s_now_ms();
  if (ahead != NULL) {
    f->background = f->job.background = true;
    f->ended = ahead->ended;
    f->ended_arg = ahead->arg;
  }
  return f;
}

/* A flight under way or kept for the same, or a new one: *ret_new, to be submitted. With a
   reference, and counted as waited for unless ahead. NULL: no memory, and the claim is given
   back. */
static struct flight *join(struct p11s_flights *flights, struct p11s_key *key,
                           const struct p11s_question *question, bool claimed,
                           const struct p11s_sign_ahead *ahead, bool *ret_new)
{
  struct flight *fresh = make_flight(flights, key, question, ahead), *f;

  if (fresh == NULL) {
    if (claimed)
      p11s_sign_abandon(key, question);
    return NULL;
  }
  p11s_lock(&flights->lock);
  f = find_locked(flights, fresh);
  *ret_new = f == NULL;
  if (f == NULL) {
    f = fresh;
    LIST_INSERT_HEAD(bucket_of(flights, question), f, in_bucket);
    flights->under_way++;
    (void)p11s_job_acquire(&f->job);
  } else if (ahead == NULL) {
    p11s_counter_count(f->kept ? P11S_STAT_LATE_USED : P11S_STAT_SHARED);
  }
  f->claimed = f->claimed || claimed;
  if (ahead == NULL) {
    f->waiters++;
    f->background = false;
  }
  if (f->kept && ahead == NULL)
    unkeep_locked(flights, f); /* its reference goes to us */
  else
    (void)p11s_job_acquire(&f->job);
  p11s_unlock(&flights->lock);
  p11s_job_release(&fresh->job);
  return f;
}

static void leave(struct p11s_flights *flights, struct flight *f, bool taken)
{
  p11s_lock(&flights->lock);
  f->taken = f->taken || taken;
  f->waiters--;
  p11s_unlock(&flights->lock);
  p11s_job_release(&f->job);
}

enum p11s_err p11s_sign(struct p11s_flights *flights, struct p11s_key *key,
                        const struct p11s_question *question, struct p11s_wait wait,
                        struct p11s_signature *ret, struct p11s_error *e)
{
  enum p11s_err result;
  struct flight *f;
  bool is_new, claimed;

  if (p11s_sign_find(key, question, wait, ret, &claimed))
    return P11S_OK;
  f = join(flights, key, question, claimed, NULL, &is_new);
  if (f == NULL)
    return p11s_error_no_memory(e);
  result = p11s_token_await(p11s_key_token(key), &f->job, is_new, wait, e);
  if (result == P11S_OK) {
    *ret = f->signature;
  } else {
    p11s_counter_count(result == P11S_ERR_TIMEOUT ? P11S_STAT_TIMEOUTS
                       : result == P11S_ERR_BUSY  ? P11S_STAT_OVERLOADED
                                                  : P11S_STAT_FAILURES);
    p11s_key_error_prefix(key, e);
  }
  leave(flights, f, result == P11S_OK);
  return result;
}

enum p11s_err p11s_sign_in_background(struct p11s_flights *flights, struct p11s_key *key,
                                      const struct p11s_question *question,
                                      const struct p11s_sign_ahead *ahead,
                                      struct p11s_job **ret_job, struct p11s_error *e)
{
  struct p11s_error error = {0};
  bool is_new;
  struct flight *f = join(flights, key, question, ahead->claimed, ahead, &is_new);

  if (f == NULL)
    return p11s_error_no_memory(e);
  if (!is_new) {
    p11s_job_release(&f->job);
    return p11s_error_set(e, P11S_ERR_BUSY, "this is being signed already");
  }
  if (p11s_token_submit(p11s_key_token(key), &f->job, &error) != P11S_OK)
    p11s_job_finish(&f->job, &error);
  *ret_job = &f->job;
  return P11S_OK;
}

void p11s_flights_free(struct p11s_flights *flights)
{
  struct flight *f;

  if (flights == NULL)
    return;
  while ((f = TAILQ_FIRST(&flights->kept_list)) != NULL) {
    unkeep_locked(flights, f);
    p11s_job_release(&f->job);
  }
  p11s_mutex_destroy(&flights->lock);
  free(flights);
}

void p11s_flights_get_stats(struct p11s_flights *flights, struct p11s_flights_stats *ret)
{
  p11s_lock(&flights->lock);
  *ret = (struct p11s_flights_stats){flights->under_way, flights->kept};
  p11s_unlock(&flights->lock);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sign/sign.h"

#include "base/crypto.h"
#include "token/job.h"
#include "base/lock.h"
#include "sign/key_internal.h"
#include "base/log.h"
#include "token/queue.h"
#include "sign/sign_store.h"
#include "sign/key_table.h"
#include "base/counters.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS 1024
#define FLIGHT_ID_LEN 32 /* SHA-256 */

struct flight {
  struct p11s_job job; /* first member */
  struct p11s_flights *flights;
  struct p11s_key *key;
  void (*ended)(void *arg); /* of the background; NULL: none, as is */
  void *ended_arg;
  unsigned char id[FLIGHT_ID_LEN];

  /* guarded by the flights' lock */
  struct flight *next; /* in its bucket */
  bool listed;
  bool kept;
  bool taken;      /* somebody has got the signature */
  bool background; /* nobody has asked for it yet */
  bool claimed;    /* other servers of the fleet wait for it (store/store.h) */
  unsigned waiters;
  struct flight *older_next; /* among the kept, oldest first */

  /* written by the worker before the job is done, read afterwards */
  unsigned char signature[P11S_SIGNATURE_MAX];
  size_t signature_len;

  uint64_t asked_ms; /* immutable */
  size_t message_len;
  unsigned char message[];
};

struct p11s_flights {
  bool verify;            /* immutable */
  struct p11s_mutex lock; /* guards the rest */
  struct flight *bucket[BUCKETS];
  struct flight *oldest;
  struct flight *newest;
  size_t under_way;
  size_t kept;
};

struct p11s_flights *p11s_flights_new(bool verify)
{
  struct p11s_flights *flights = calloc(1, sizeof *flights);

  if (flights == NULL)
    return NULL;
  flights->verify = verify;
  p11s_mutex_init(&flights->lock, P11S_RANK_FLIGHTS);
  return flights;
}

static struct flight **find_locked(struct p11s_flights *flights, const unsigned char *id)
{
  struct flight **at = &flights->bucket[(id[0] | id[1] << 8) % BUCKETS];

  while (*at != NULL && memcmp((*at)->id, id, sizeof(*at)->id) != 0)
    at = &(*at)->next;
  return at;
}

/* Takes it out of its bucket. The table's reference becomes the caller's. */
static void unlist_locked(struct p11s_flights *flights, struct flight *f)
{
  *find_locked(flights, f->id) = f->next;
  f->listed = false;
}

static void unkeep_locked(struct p11s_flights *flights, struct flight *f)
{
  struct flight **at = &flights->oldest;
  struct flight *before = NULL;

  while (*at != f) {
    before = *at;
    at = &(*at)->older_next;
  }
  *at = f->older_next;
  if (flights->newest == f)
    flights->newest = before;
  f->kept = false;
  flights->kept--;
  unlist_locked(flights, f);
}

/* Keeps a signature that nobody waited for. Returns the one that had to make room, or NULL. */
static struct flight *keep_locked(struct p11s_flights *flights, struct flight *f)
{
  struct flight *out = NULL;

  if (flights->kept >= P11S_FLIGHTS_KEPT) {
    out = flights->oldest;
    unkeep_locked(flights, out);
  }
  f->kept = true;
  f->older_next = NULL;
  if (flights->newest != NULL)
    flights->newest->older_next = f;
  else
    flights->oldest = f;
  flights->newest = f;
  flights->kept++;
  return out;
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

static enum p11s_err flight_run(struct p11s_job *job, struct p11s_work *work, struct p11s_error *e)
{
  struct flight *f = (struct flight *)job;
  enum p11s_err result;

  f->signature_len = sizeof f->signature;
  result = p11s_key_sign_work(f->key, work, f->message, f->message_len, f->flights->verify,
                              f->signature, &f->signature_len, e);
  /* Before those who wait are told: they may want the store written. */
  if (result == P11S_OK)
    p11s_sign_put(f->key, f->message, f->message_len, f->signature, f->signature_len,
                  is_background(f));
  return result;
}

static void flight_finished(struct p11s_job *job)
{
  struct flight *f = (struct flight *)job;
  struct p11s_flights *flights = f->flights;
  struct flight *drop = NULL;
  bool give_back, ahead = is_background(f);

  if (job->error.code == P11S_OK) {
    p11s_counter_count(P11S_STAT_SIGNATURES);
    if (ahead)
      p11s_counter_count(P11S_STAT_AHEAD_SIGNATURES);
    else
      p11s_counter_latency(p11s_now_ms() - f->asked_ms);
  }
  p11s_lock(&flights->lock);
  give_back = f->claimed && job->error.code != P11S_OK;
  flights->under_way--;
  if (f->listed) {
    if (f->waiters == 0 && !f->taken && !f->background && job->error.code == P11S_OK) {
      drop = keep_locked(flights, f);
    } else {
      unlist_locked(flights, f);
      drop = f;
    }
  }
  p11s_unlock(&flights->lock);
  if (give_back)
    p11s_sign_abandon(f->key, f->message, f->message_len);
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

static const struct p11s_job_ops flight_ops = {flight_run, flight_finished, flight_destroy, false,
                                               false};

static struct flight *make_flight(struct p11s_flights *flights, struct p11s_key *key,
                                  const unsigned char *id, const unsigned char *message, size_t len)
{
  struct flight *f = calloc(1, sizeof *f + len);

  if (f == NULL)
    return NULL;
  p11s_job_init(&f->job, &flight_ops, p11s_key_pin(key));
  p11s_queue_classify(message, len, &f->job.lane, &f->job.urgent);
  f->job.signs = true;
  f->flights = flights;
  f->key = p11s_key_acquire(key);
  memcpy(f->id, id, sizeof f->id);
  memcpy(f->message, message, len);
  f->message_len = len;
  f->asked_ms = p11s_now_ms();
  return f;
}

static bool flight_id(const struct p11s_key *key, const unsigned char *message, size_t len,
                      unsigned char *id)
{
  EVP_MD_CTX *ctx = EVP_MD_CTX_new();
  bool ok = ctx != NULL && EVP_DigestInit_ex(ctx, p11s_crypto_digest("SHA256"), NULL) == 1 &&
            EVP_DigestUpdate(ctx, p11s_key_identity(key), P11S_KEY_IDENTITY_LEN) == 1 &&
            EVP_DigestUpdate(ctx, message, len) == 1 && EVP_DigestFinal_ex(ctx, id, NULL) == 1;

  EVP_MD_CTX_free(ctx);
  return ok;
}

/* The flight for this id, with a reference and counted as a waiter; *ret_new: it has to be
 * submitted. */
static struct flight *join(struct p11s_flights *flights, struct p11s_key *key,
                           const unsigned char *message, size_t len, bool claimed, bool *ret_new)
{
  unsigned char id[FLIGHT_ID_LEN];
  struct flight *fresh, *f, **at;

  if (!flight_id(key, message, len, id))
    return NULL;
  fresh = make_flight(flights, key, id, message, len);
  if (fresh == NULL)
    return NULL;
  p11s_lock(&flights->lock);
  at = find_locked(flights, id);
  *ret_new = *at == NULL;
  if (*ret_new) {
    *at = fresh;
    fresh->listed = true;
    flights->under_way++;
    (void)p11s_job_acquire(&fresh->job);
  }
  f = *at;
  f->waiters++;
  f->background = false;
  f->claimed = f->claimed || claimed;
  if (!*ret_new)
    p11s_counter_count(f->kept ? P11S_STAT_LATE_USED : P11S_STAT_SHARED);
  if (f->kept)
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

static void count_failure(enum p11s_err result)
{
  p11s_counter_count(result == P11S_ERR_TIMEOUT ? P11S_STAT_TIMEOUTS
                     : result == P11S_ERR_BUSY  ? P11S_STAT_OVERLOADED
                                                : P11S_STAT_FAILURES);
}

enum p11s_err p11s_sign(struct p11s_flights *flights, struct p11s_key *key,
                        const unsigned char *message, size_t message_len, struct p11s_wait wait,
                        unsigned char *signature, size_t *len, struct p11s_error *e)
{
  enum p11s_err result;
  struct flight *f;
  bool is_new, claimed;

  if (p11s_sign_find(key, message, message_len, wait, signature, len, &claimed))
    return P11S_OK;
  f = join(flights, key, message, message_len, claimed, &is_new);
  if (f == NULL)
    return p11s_error_set(e, P11S_ERR_NOMEM, "out of memory");
  result = p11s_token_await(p11s_key_token(key), &f->job, is_new, wait, e);
  if (result == P11S_OK && f->signature_len > *len)
    result = p11s_error_set(e, P11S_ERR_SIGNATURE, "the signature is too long");
  if (result == P11S_OK) {
    memcpy(signature, f->signature, f->signature_len);
    *len = f->signature_len;
  } else {
    count_failure(result);
    p11s_key_error_prefix(key, e);
  }
  leave(flights, f, result == P11S_OK);
  return result;
}

enum p11s_err p11s_sign_in_background(struct p11s_flights *flights, struct p11s_key *key,
                                      const unsigned char *message, size_t message_len,
                                      bool claimed, void (*ended)(void *arg), void *arg,
                                      struct p11s_job **ret_job, struct p11s_error *e)
{
  struct p11s_error error = {0};
  unsigned char id[FLIGHT_ID_LEN];
  struct flight *f = NULL, **at;
  bool is_new;

  if (flight_id(key, message, message_len, id))
    f = make_flight(flights, key, id, message, message_len);
  if (f == NULL) {
    if (claimed)
      p11s_sign_abandon(key, message, message_len);
    return p11s_error_set(e, P11S_ERR_NOMEM, "out of memory");
  }
  f->background = f->job.background = true;
  f->ended = ended;
  f->ended_arg = arg;
  p11s_lock(&flights->lock);
  at = find_locked(flights, id);
  is_new = *at == NULL;
  if (is_new) {
    *at = f;
    f->listed = true;
    flights->under_way++;
    (void)p11s_job_acquire(&f->job);
  }
  (*at)->claimed = (*at)->claimed || claimed;
  p11s_unlock(&flights->lock);
  if (!is_new) {
    p11s_job_release(&f->job);
    return p11s_error_set(e, P11S_ERR_BUSY, "this is being signed already");
  }
  if (p11s_token_submit(p11s_key_token(key), &f->job, &error) != P11S_OK)
    p11s_job_finish(&f->job, &error);
  *ret_job = &f->job;
  return P11S_OK;
}

/* Gives back the table's references. */
static void drop_all(struct p11s_flights *flights)
{
  for (unsigned i = 0; i < BUCKETS; i++)
    while (flights->bucket[i] != NULL) {
      struct flight *f = flights->bucket[i];

      flights->bucket[i] = f->next;
      f->listed = f->kept = false;
      p11s_job_release(&f->job);
    }
  flights->oldest = flights->newest = NULL;
  flights->under_way = flights->kept = 0;
}

void p11s_flights_free(struct p11s_flights *flights)
{
  if (flights == NULL)
    return;
  drop_all(flights);
  p11s_mutex_destroy(&flights->lock);
  free(flights);
}

void p11s_flights_get_stats(struct p11s_flights *flights, struct p11s_flights_stats *ret)
{
  p11s_lock(&flights->lock);
  ret->under_way = flights->under_way;
  ret->kept = flights->kept;
  p11s_unlock(&flights->lock);
}

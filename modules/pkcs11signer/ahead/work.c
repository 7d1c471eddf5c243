/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One token's part of a plan: what to sign, and when (ahead/work.h). */
#include "ahead/work.h"
#include "base/crypto.h"
#include "token/job.h"
#include "sign/key.h"
#include "base/lock.h"
#include "base/log.h"
#include "ahead/pace.h"
#include "sign/sign.h"
#include "sign/sign_store.h"
#include "store/record.h"
#include "token/token.h"

#include <stdlib.h>
#include <string.h>

#define LOOK_AGAIN_US 50000 /* whether the token is free */
#define FAILED_FIRST_US 5000000u
#define FAILED_MOST_US 300000000u
#define ELSEWHERE_US 2500000 /* longer than a claim counts (store/fleet/sql.h) */
#define SKIP_MOST 500        /* tasks found done, before others get their turn */

/* -- the message */

struct fetched {
  const struct p11s_pubkey *public_key;
  const unsigned char *message_id;
  unsigned char *message;
  size_t len;
  bool bad;
};

/* What is in the file may be anybody's: only what this key has signed before is signed again, and
   only the very message that the plan has seen: the serial that it gets is that message's zone's.
 */
static bool fetch(const struct p11s_store_record *record, void *arg)
{
  struct fetched *f = arg;
  unsigned char id[P11S_SHA256_LEN];

  f->bad = !p11s_sha256(record->message, record->message_len, id) ||
           memcmp(id, f->message_id, sizeof id) != 0 ||
           !p11s_pubkey_verify(f->public_key, record->message, record->message_len,
                               record->signature, record->signature_len);
  if (f->bad)
    return false;
  f->message = malloc(record->message_len);
  if (f->message == NULL)
    return false;
  memcpy(f->message, record->message, record->message_len);
  f->len = record->message_len;
  return true;
}

static bool make_message(const struct p11s_ahead_work *work, const struct p11s_plan_task *task,
                         struct fetched *f)
{
  const unsigned char *key_id = p11s_plan_key_id(work->plan, task->key);

  *f = (struct fetched){.public_key = p11s_key_public(work->keys.key[task->key]),
                        .message_id = task->message_id};
  if (!p11s_store_read(work->store, key_id, task->message_id, fetch, f)) {
    if (f->bad)
      p11s_log_limited(P11S_LOG_ERROR, "ahead: invalid",
                       "signature store: a signature does not verify: it is not signed for the "
                       "weeks to come; find out who writes to the file, or whether the disk is "
                       "failing");
    return false;
  }
  if (f->message == NULL)
    return false;
  if (p11s_plan_apply(task, f->message, f->len))
    return true;
  free(f->message);
  return false;
}

/* -- one signature */

/* Whether nobody else makes it, or has. */
static bool is_ours(struct p11s_ahead_work *work, struct p11s_ahead_token *t, struct p11s_key *key,
                    const struct p11s_question *question, bool *ret_claimed)
{
  enum p11s_store_found found = work->shared ? p11s_sign_claim(key, question)
                                : p11s_sign_is_stored(key, question) ? P11S_STORE_FOUND
                                                                     : P11S_STORE_ABSENT;

  if (found == P11S_STORE_FOUND) /* by another process, or server */
    p11s_plan_done(work->plan, &t->task);
  t->elsewhere = t->elsewhere || found == P11S_STORE_ELSEWHERE;
  *ret_claimed = found == P11S_STORE_CLAIMED;
  return found == P11S_STORE_CLAIMED || found == P11S_STORE_ABSENT;
}

/* A key may have been taken from the zone since the plan was made. */
static bool is_still_so(const struct p11s_ahead_work *work, const struct p11s_plan_task *task)
{
  const struct p11s_zone *zone =
      work->zones != NULL ? p11s_zones_get(work->zones, p11s_plan_zone_name(work->plan, task->zone),
                                           P11S_ZONES_FRESH_MS)
                          : NULL;

  enum p11s_use_state state =
      zone != NULL ? p11s_zone_use(zone, p11s_plan_key_id(work->plan, task->key), task->purpose)
                   : P11S_USE_UNKNOWN;

  return state == P11S_USE_UNKNOWN || state == P11S_USE_SIGNS;
}

/* false: there is nothing to be done for the task now. */
static bool begin_task(struct p11s_ahead_work *work, struct p11s_ahead_token *t,
                       struct p11s_error *e)
{
  struct p11s_key *key = work->keys.key[t->task.key];
  struct p11s_sign_ahead ahead = {false, work->ended, work->ended_arg};
  struct p11s_question question;
  struct fetched f;
  bool begun;

  if (key == NULL || !is_still_so(work, &t->task) || !make_message(work, &t->task, &f))
    return false;
  begun = p11s_sign_question(key, f.message, f.len, &question, e) == P11S_OK &&
          is_ours(work, t, key, &question, &ahead.claimed) &&
          p11s_sign_in_background(work->flights, key, &question, &ahead, &t->job, e) == P11S_OK;
  free(f.message);
  return begun;
}

void p11s_ahead_rewind(const struct p11s_ahead_work *work, struct p11s_ahead_token *t)
{
  t->cursor = (struct p11s_plan_cursor){0};
  t->elsewhere = false;
  t->left = p11s_plan_count(work->plan, t->number, t->cursor);
}

/* Behind the last task, or the last one for which there is room. Later there may be room for more;
   and what other servers were making is there, or they have died. */
static void end_or_look_again(const struct p11s_ahead_work *work, struct p11s_ahead_token *t)
{
  t->exhausted = !t->elsewhere && !work->crowded;
  if (t->exhausted)
    return;
  t->not_before_us = p11s_now_us() + ELSEWHERE_US;
  if (t->elsewhere)
    p11s_ahead_rewind(work, t);
}

bool p11s_ahead_begin(struct p11s_ahead_work *work, struct p11s_ahead_token *t,
                      struct p11s_error *e)
{
  e->code = P11S_OK;
  t->cursor.dnskeys_only = work->crowded;
  for (unsigned i = 0; i < SKIP_MOST; i++) {
    if (!p11s_plan_next(work->plan, t->number, &t->cursor, &t->task)) {
      end_or_look_again(work, t);
      return false;
    }
    if (t->left > 0)
      t->left--;
    if (begin_task(work, t, e))
      return true;
    if (e->code != P11S_OK && e->code != P11S_ERR_BUSY)
      return false;
  }
  return false;
}

bool p11s_ahead_end(struct p11s_ahead_work *work, struct p11s_ahead_token *t,
                    struct p11s_error *ret_result)
{
  if (t->job == NULL || !p11s_job_is_done(t->job))
    return false;
  ret_result->code = P11S_OK;
  if (p11s_job_wait(t->job, 0, ret_result) == P11S_OK) {
    ret_result->code = P11S_OK;
    p11s_plan_done(work->plan, &t->task);
  }
  p11s_job_release(t->job);
  t->job = NULL;
  return true;
}

/* -- when */

static void note_failure(struct p11s_ahead_token *t, const struct p11s_error *why)
{
  uint64_t pause = FAILED_FIRST_US << (t->failures < 6 ? t->failures : 6);

  t->failures++;
  t->not_before_us = p11s_now_us() + (pause < FAILED_MOST_US ? pause : FAILED_MOST_US);
  /* That a token is away, or the server ends, is said elsewhere. */
  if (why->code != P11S_ERR_STOPPED && why->code != P11S_ERR_NO_TOKEN)
    p11s_log_limited(P11S_LOG_WARNING, "ahead: failed",
                     "signing ahead: %s; queries are answered all the same, and it is tried again",
                     why->text);
}

static void note_result(struct p11s_ahead_token *t, const struct p11s_error *result)
{
  uint64_t idle = 0, since = p11s_now_us() - t->begun_us;

  (void)p11s_token_is_free(t->token, &idle);
  idle -= t->idle_at_us;
  t->took_us = since > idle ? since - idle : 1;
  if (result->code == P11S_OK)
    t->failures = 0;
  else
    note_failure(t, result);
}

static uint64_t time_left_us(const struct p11s_ahead_work *work)
{
  int32_t left = p11s_time_diff(work->deadline, p11s_record_now());

  return left > 0 ? (uint64_t)left * 1000000 : 0;
}

static uint64_t pause_us(const struct p11s_ahead_work *work, const struct p11s_ahead_token *t,
                         uint64_t now_us, uint64_t idle_us)
{
  struct p11s_pace pace = {
      .rate = work->rate,
      .since_us = now_us - t->begun_us,
      .idle_us = idle_us - t->idle_at_us,
      .took_us = t->took_us,
      .time_left_us = time_left_us(work),
      .left = t->left,
      .urgent = t->cursor.next > 0 && t->task.purpose == P11S_FOR_DNSKEY,
  };

  if (now_us < t->not_before_us)
    return t->not_before_us - now_us;
  return t->begun_us > 0 ? p11s_pace_wait(&pace) : 0;
}

/* Begins the next one, if it is time. Returns when to look again. */
static uint64_t begin_if_due(struct p11s_ahead_work *work, struct p11s_ahead_token *t)
{
  uint64_t now = p11s_now_us(), idle, wait;
  struct p11s_error error;

  if (!p11s_token_is_free(t->token, &idle))
    return LOOK_AGAIN_US;
  wait = pause_us(work, t, now, idle);
  if (wait > 0)
    return wait;
  if (p11s_ahead_begin(work, t, &error)) {
    t->begun_us = now;
    t->idle_at_us = idle;
    return UINT64_MAX; /* ended() tells */
  }
  if (error.code != P11S_OK && error.code != P11S_ERR_BUSY) {
    note_failure(t, &error);
    return LOOK_AGAIN_US;
  }
  return t->exhausted ? UINT64_MAX : 0;
}

bool p11s_ahead_step(struct p11s_ahead_work *work, struct p11s_ahead_token *t,
                     uint64_t *ret_wait_us)
{
  struct p11s_error result;
  bool ended = p11s_ahead_end(work, t, &result);

  if (ended)
    note_result(t, &result);
  *ret_wait_us = t->job == NULL && !t->exhausted ? begin_if_due(work, t) : UINT64_MAX;
  return ended && result.code == P11S_OK;
}

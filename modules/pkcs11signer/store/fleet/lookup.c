/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Look-ups in the fleet's store, as callers see them (store/fleet/fleet.h). */
#include "base/lock.h"
#include "base/counters.h"
#include "store/fleet/request.h"
#include "store/record.h"

#include <stdlib.h>
#include <string.h>

#define PATIENT_MS 500

/* -- requests */

static struct p11s_fleet_request *make_request(const struct p11s_question *q, bool claim,
                                               size_t size)
{
  struct p11s_fleet_request *r = calloc(1, sizeof *r + q->len);

  if (r == NULL)
    return NULL;
  if (!p11s_fleet_id(q->key, r->id)) {
    free(r);
    return NULL;
  }
  p11s_cond_init(&r->answered);
  r->claim = claim;
  r->size = size < sizeof r->signature ? size : sizeof r->signature;
  memcpy(r->key, q->key, sizeof r->key);
  memcpy(r->message, q->message, q->len);
  r->message_len = q->len;
  r->expires = p11s_fleet_expires(q->message, q->len, p11s_record_now());
  return r;
}

static void free_request(struct p11s_fleet_request *r)
{
  pthread_cond_destroy(&r->answered);
  free(r);
}

void p11s_fleet_request_release_locked(struct p11s_fleet_request *r)
{
  if (--r->refs > 0)
    return;
  if (!r->done)
    LIST_REMOVE(r, link);
  free_request(r);
}

/* A request for the same that waits already, or fresh. */
static struct p11s_fleet_request *queue_locked(struct p11s_fleet *fleet,
                                               struct p11s_fleet_request *fresh)
{
  struct p11s_fleet_request *r;

  LIST_FOREACH(r, &fleet->requests, link)
  if (memcmp(r->id, fresh->id, sizeof r->id) == 0)
    break;
  if (r == NULL) {
    r = fresh;
    r->ask_ms = r->heard_ms = p11s_now_ms();
    LIST_INSERT_HEAD(&fleet->requests, r, link);
    pthread_cond_signal(&fleet->find.wake);
  }
  r->claim = r->claim || fresh->claim;
  r->refs++;
  return r;
}

/* -- callers */

/* false: the database has not answered in time. */
static bool await_answer_locked(struct p11s_fleet *fleet, struct p11s_fleet_request *r,
                                const struct p11s_store_ask *ask)
{
  uint64_t now = p11s_now_ms(), began = now;
  unsigned timeout_ms = fleet->config->timeout_ms;

  if (ask->patient && timeout_ms < PATIENT_MS)
    timeout_ms = PATIENT_MS;
  while (!r->done && !fleet->stopping && p11s_health_allows(&fleet->health)) {
    uint64_t since = r->heard_ms > began ? r->heard_ms : began;
    uint64_t until = since + timeout_ms;

    if (r->awaited && now >= ask->deadline_ms)
      return true;
    if (now >= until)
      return false;
    if (r->awaited && ask->deadline_ms < until)
      until = ask->deadline_ms;
    (void)p11s_cond_wait_until(&r->answered, &fleet->lock, until);
    now = p11s_now_ms();
  }
  return true;
}

static enum p11s_store_found take_locked(const struct p11s_fleet_request *r,
                                         unsigned char *signature, size_t *signature_len)
{
  if (!r->done)
    return r->awaited ? P11S_STORE_ELSEWHERE : P11S_STORE_ABSENT;
  if (r->found != P11S_STORE_FOUND)
    return r->found;
  if (r->signature_len > *signature_len)
    return P11S_STORE_ABSENT;
  memcpy(signature, r->signature, r->signature_len);
  *signature_len = r->signature_len;
  return P11S_STORE_FOUND;
}

enum p11s_store_found p11s_fleet_lookup(struct p11s_fleet *fleet, const struct p11s_question *q,
                                        const struct p11s_store_ask *ask, unsigned char *signature,
                                        size_t *signature_len)
{
  struct p11s_fleet_request *fresh = make_request(q, ask->claim, *signature_len), *r;
  enum p11s_store_found found = P11S_STORE_ABSENT;
  bool in_time = true, asked = false;

  if (fresh == NULL)
    return P11S_STORE_ABSENT;
  p11s_lock(&fleet->lock);
  if (!fleet->stopping && p11s_health_allows(&fleet->health)) {
    r = queue_locked(fleet, fresh);
    if (r == fresh)
      fresh = NULL;
    in_time = await_answer_locked(fleet, r, ask);
    asked = r->done || r->awaited;
    if (r->awaited)
      p11s_counter_count(P11S_STAT_FLEET_AWAITED);
    found = take_locked(r, signature, signature_len);
    p11s_fleet_request_release_locked(r);
  }
  p11s_unlock(&fleet->lock);
  if (fresh != NULL)
    free_request(fresh);
  if (!in_time) {
    p11s_counter_count(P11S_STAT_FLEET_TIMEOUTS);
    p11s_fleet_note_late(fleet);
  } else if (asked) {
    p11s_counter_count(found == P11S_STORE_FOUND ? P11S_STAT_FLEET_HITS : P11S_STAT_FLEET_MISSES);
  }
  return found;
}

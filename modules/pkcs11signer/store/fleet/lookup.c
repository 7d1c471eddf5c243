/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Look-ups in the fleet's store, as callers see them (store/fleet/fleet.h). */
#include "base/lock.h"
#include "base/counters.h"
#include "store/fleet/request.h"
#include "store/record.h"

#include <stdlib.h>
#include <string.h>

#define PATIENT_MS 500

static struct p11s_fleet_request *make_request(const unsigned char *key,
                                               const unsigned char *message, size_t message_len,
                                               bool claim, size_t room)
{
  struct p11s_fleet_request *r = malloc(sizeof *r + message_len);

  if (r == NULL)
    return NULL;
  memset(r, 0, sizeof *r);
  if (!p11s_fleet_id(key, r->id)) {
    free(r);
    return NULL;
  }
  p11s_cond_init(&r->answered);
  r->claim = claim;
  r->room = room < sizeof r->signature ? room : sizeof r->signature;
  memcpy(r->key_id, key, sizeof r->key_id);
  memcpy(r->message, message, message_len);
  r->message_len = message_len;
  r->expires = p11s_fleet_expires(message, message_len, p11s_record_now());
  return r;
}

static struct p11s_fleet_request *find_locked(struct p11s_fleet *my, const unsigned char *id)
{
  struct p11s_fleet_request *r = my->requests;

  while (r != NULL && memcmp(r->id, id, sizeof r->id) != 0)
    r = r->next;
  return r;
}

/* A request for the same that waits already, or fresh. */
static struct p11s_fleet_request *queue_locked(struct p11s_fleet *my,
                                               struct p11s_fleet_request *fresh)
{
  struct p11s_fleet_request *r = find_locked(my, fresh->id);

  if (r == NULL) {
    r = fresh;
    r->ask_ms = r->heard_ms = p11s_now_ms();
    r->next = my->requests;
    my->requests = r;
    pthread_cond_signal(&my->find.wake);
  }
  r->claim = r->claim || fresh->claim;
  r->refs++;
  return r;
}

/* false: the database has not answered in time. */
static bool await_answer_locked(struct p11s_fleet *my, struct p11s_fleet_request *r,
                                const struct p11s_store_ask *ask)
{
  uint64_t now = p11s_now_ms(), began = now;
  unsigned timeout_ms = my->config->timeout_ms;

  if (ask->patient && timeout_ms < PATIENT_MS)
    timeout_ms = PATIENT_MS;
  while (!r->done && !my->stopping && p11s_health_allows(&my->breaker)) {
    uint64_t since = r->heard_ms > began ? r->heard_ms : began;
    uint64_t until = since + timeout_ms;

    if (r->awaited && now >= ask->deadline_ms)
      return true;
    if (now >= until)
      return false;
    if (r->awaited && ask->deadline_ms < until)
      until = ask->deadline_ms;
    (void)p11s_cond_wait_until(&r->answered, &my->lock, until);
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

enum p11s_store_found p11s_fleet_find(struct p11s_fleet *my, const unsigned char *key,
                                      const unsigned char *message, size_t message_len,
                                      const struct p11s_store_ask *ask, unsigned char *signature,
                                      size_t *signature_len)
{
  enum p11s_store_found found = P11S_STORE_ABSENT;
  struct p11s_fleet_request *fresh, *r;
  bool in_time = true, asked = false;

  if (!p11s_fleet_is_ours(my) || message_len > P11S_STORE_MAX_MESSAGE)
    return P11S_STORE_ABSENT;
  p11s_fleet_start(my);
  fresh = make_request(key, message, message_len, ask->claim, *signature_len);
  if (fresh == NULL)
    return P11S_STORE_ABSENT;
  p11s_lock(&my->lock);
  if (!my->stopping && p11s_health_allows(&my->breaker)) {
    r = queue_locked(my, fresh);
    if (r == fresh)
      fresh = NULL;
    in_time = await_answer_locked(my, r, ask);
    asked = r->done || r->awaited;
    if (r->awaited)
      p11s_counter_count(P11S_STAT_FLEET_AWAITED);
    found = take_locked(r, signature, signature_len);
    p11s_fleet_request_release_locked(my, r);
  }
  p11s_unlock(&my->lock);
  if (fresh != NULL)
    p11s_fleet_request_free(fresh);
  if (!in_time) {
    p11s_counter_count(P11S_STAT_FLEET_TIMEOUTS);
    p11s_fleet_note_late(my);
  } else if (asked) {
    p11s_counter_count(found == P11S_STORE_FOUND ? P11S_STAT_FLEET_HITS : P11S_STAT_FLEET_MISSES);
  }
  return found;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The thread that looks up in the fleet's store (store/fleet/fleet.h). */
#include "base/lock.h"
#include "base/log.h"
#include "base/counters.h"
#include "store/fleet/request.h"
#include "store/record.h"

#include <stdlib.h>
#include <string.h>

#define BATCH 64
#define AGAIN_MS 2 /* until a claim of another server is looked at again */
#define PROBE_MS 10000
#define CLAIM_TRIES 3
/* Claims that are late, as they write, must not spoil what look-ups are good for. */
#define LATE_CLAIMS 2
#define NO_CLAIMS_SHORTEST_MS 10000
#define NO_CLAIMS_LONGEST_MS 600000

/* -- what an answer means */

enum verdict { UNANSWERED, NOTHING, SIGNED, OURS, THEIRS };

struct batch {
  struct p11s_fleet *fleet;
  struct p11s_fleet_request *request[BATCH]; /* in the order of their ids */
  bool claim[BATCH];
  enum verdict verdict[BATCH];
  size_t count;
};

/* What stands there may have been put there by anybody. */
static void distrust(struct p11s_fleet *fleet, const unsigned char *key)
{
  p11s_counter_count(P11S_STAT_STORE_INVALID);
  p11s_fleet_write_queue(fleet, P11S_OP_FORGET, key);
  p11s_log_limited(P11S_LOG_ERROR, "fleet: invalid",
                   "fleet store %s: a row is not what its id says: it is not used, deleted, and "
                   "made anew. Find out who writes to table " P11S_FLEET_TABLE,
                   fleet->where);
}

static enum verdict judge(struct p11s_fleet *fleet, struct p11s_fleet_request *r,
                          const struct p11s_fleet_row *row)
{
  if (row->signature_len == 0) {
    if (memcmp(row->server, fleet->server, sizeof fleet->server) == 0)
      return OURS;
    return row->age_ms <= P11S_FLEET_CLAIM_MS ? THEIRS : NOTHING;
  }
  if (memcmp(row->key_id, r->key, P11S_STORE_ID_LEN) != 0 || row->message_len != r->message_len ||
      memcmp(row->message, r->message, r->message_len) != 0 || row->signature_len > r->size) {
    distrust(fleet, r->key);
    return NOTHING;
  }
  memcpy(r->signature, row->signature, row->signature_len);
  r->signature_len = row->signature_len;
  if (row->idle_days > 0)
    p11s_fleet_write_queue(fleet, P11S_OP_USED, r->key);
  return SIGNED;
}

static void take_row(const struct p11s_fleet_field *fields, unsigned count, void *arg)
{
  struct p11s_fleet_row row;
  struct batch *b = arg;

  if (!p11s_fleet_row_parse(fields, count, &row))
    return;
  for (size_t i = 0; i < b->count; i++)
    if (memcmp(b->request[i]->id, row.id, P11S_STORE_ID_LEN) == 0)
      b->verdict[i] = judge(b->fleet, b->request[i], &row);
}

/* One statement for those that have no answer; none when there are none. */
static enum p11s_fleet_result run_for_open(struct batch *b, bool claims, uint64_t *ret_affected,
                                           size_t *ret_count, struct p11s_error *e)
{
  struct p11s_fleet_wanted wanted[BATCH];
  struct p11s_buf sql = P11S_BUF_INIT;
  size_t count = 0;

  for (size_t i = 0; i < b->count; i++)
    if (b->verdict[i] == UNANSWERED)
      wanted[count++] =
          (struct p11s_fleet_wanted){b->request[i]->id, b->request[i]->key, b->request[i]->expires};
  *ret_count = count;
  if (count == 0)
    return P11S_FLEET_DONE;
  if (claims)
    p11s_fleet_sql_claim(&sql, wanted, count, b->fleet->server);
  else
    p11s_fleet_sql_find(&sql, wanted, count);
  return p11s_connection_run(b->fleet->find.conn, &sql, take_row, b, ret_affected, e);
}

/* Gives those that have no answer this one; the claimers too? */
static void settle(struct batch *b, enum verdict verdict, bool claimers)
{
  for (size_t i = 0; i < b->count; i++)
    if (b->verdict[i] == UNANSWERED && (claimers || !b->claim[i]))
      b->verdict[i] = verdict;
}

static void note_claim(struct p11s_fleet *fleet, uint64_t took_ms)
{
  if (took_ms <= fleet->config->timeout_ms) {
    fleet->late_claims = 0;
    fleet->no_claims_ms = 0;
  } else if (++fleet->late_claims >= LATE_CLAIMS) {
    fleet->no_claims_ms =
        p11s_health_lengthen(fleet->no_claims_ms, NO_CLAIMS_SHORTEST_MS, NO_CLAIMS_LONGEST_MS);
    fleet->no_claims_until_ms = p11s_now_ms() + fleet->no_claims_ms;
  }
}

/* Of those for which nothing is there: who may make them. OURS: we. */
static enum p11s_fleet_result claim(struct batch *b, struct p11s_error *e)
{
  enum p11s_fleet_result result = P11S_FLEET_AGAIN;
  uint64_t made = 0, began = p11s_now_ms();
  size_t count = 0;

  for (unsigned i = 0; i < CLAIM_TRIES && result == P11S_FLEET_AGAIN; i++)
    result = run_for_open(b, true, &made, &count, e);
  if (count > 0)
    note_claim(b->fleet, p11s_now_ms() - began);
  if (result == P11S_FLEET_AGAIN) {
    settle(b, NOTHING, true);
    return P11S_FLEET_DONE;
  }
  if (result != P11S_FLEET_DONE || count == 0)
    return result;
  if (made == count)
    settle(b, OURS, true);
  else
    result = run_for_open(b, false, NULL, &count, e); /* somebody was quicker with some */
  settle(b, NOTHING, true);
  return result;
}

/* -- asking */

static enum p11s_fleet_result ask(struct batch *b, struct p11s_error *e)
{
  enum p11s_fleet_result result;
  size_t count;

  result = run_for_open(b, false, NULL, &count, e);
  if (result != P11S_FLEET_DONE)
    return result;
  /* A claim of ours from before: somebody in this process is at it. */
  for (size_t i = 0; i < b->count; i++)
    if (b->verdict[i] == OURS)
      b->verdict[i] = NOTHING;
  settle(b, NOTHING, false);
  return claim(b, e);
}

static void answer_locked(struct batch *b, bool answered)
{
  static const enum p11s_store_found found[] = {P11S_STORE_ABSENT, P11S_STORE_ABSENT,
                                                P11S_STORE_FOUND, P11S_STORE_CLAIMED,
                                                P11S_STORE_ABSENT};
  uint64_t now = p11s_now_ms();

  for (size_t i = 0; i < b->count; i++) {
    struct p11s_fleet_request *r = b->request[i];

    r->asking = false;
    if (answered)
      r->heard_ms = now;
    if (answered && b->verdict[i] == THEIRS) {
      r->awaited = true;
      r->ask_ms = now + AGAIN_MS;
    } else {
      r->found = answered ? found[b->verdict[i]] : P11S_STORE_ABSENT;
      r->done = true;
      LIST_REMOVE(r, link);
      pthread_cond_broadcast(&r->answered);
    }
    p11s_fleet_request_release_locked(r);
  }
}

static void fail(struct p11s_fleet *fleet, const struct p11s_error *why)
{
  p11s_log_debug("fleet store %s: %s", fleet->where, why->text);
  p11s_fleet_note_failure(fleet, NULL);
  p11s_fleet_disconnect(fleet, &fleet->find);
}

static void ask_batch(struct batch *b)
{
  uint64_t began = p11s_now_ms();
  struct p11s_error error;
  bool answered = ask(b, &error) == P11S_FLEET_DONE;

  p11s_lock(&b->fleet->lock);
  answer_locked(b, answered);
  p11s_unlock(&b->fleet->lock);
  if (answered)
    p11s_fleet_note_answer(b->fleet, p11s_now_ms() - began);
  else
    fail(b->fleet, &error);
}

/* Whether it answers, as for a look-up. */
static void probe(struct p11s_fleet *fleet)
{
  static const unsigned char nobody[P11S_STORE_ID_LEN];
  const struct p11s_fleet_wanted wanted = {nobody, nobody, 0};
  struct p11s_buf sql = P11S_BUF_INIT;
  uint64_t began = p11s_now_ms();
  struct p11s_error error;

  p11s_fleet_sql_find(&sql, &wanted, 1);
  if (p11s_connection_run(fleet->find.conn, &sql, NULL, NULL, NULL, &error) == P11S_FLEET_DONE)
    p11s_fleet_note_answer(fleet, p11s_now_ms() - began);
  else
    fail(fleet, &error);
}

/* However long it took: it is the answers that count. */
static void connect_anew(struct p11s_fleet *fleet)
{
  struct p11s_error error;

  if (p11s_fleet_connect(fleet, &fleet->find, P11S_FLEET_FIND_S, &error) == P11S_OK)
    p11s_fleet_note_answer(fleet, 0);
  else
    p11s_fleet_note_failure(fleet, &error);
}

/* -- the thread */

static int by_id(const void *a, const void *b)
{
  const struct p11s_fleet_request *const *one = a, *const *other = b;

  return memcmp((*one)->id, (*other)->id, P11S_STORE_ID_LEN);
}

/* Takes those that are due, at most a batch. *until: when the next one is. */
static void take_due_locked(struct p11s_fleet *fleet, struct batch *b, uint64_t *until)
{
  uint64_t now = p11s_now_ms();
  struct p11s_fleet_request *r;

  LIST_FOREACH(r, &fleet->requests, link)
  {
    if (b->count == BATCH)
      break;
    if (r->ask_ms > now) {
      *until = r->ask_ms < *until ? r->ask_ms : *until;
      continue;
    }
    r->asking = true;
    r->refs++;
    b->request[b->count++] = r;
  }
  /* All servers take rows in the same order: fewer deadlocks. */
  if (b->count > 1)
    qsort(b->request, b->count, sizeof(struct p11s_fleet_request *), by_id);
  for (size_t i = 0; i < b->count; i++) {
    b->claim[i] = b->request[i]->claim && now >= fleet->no_claims_until_ms;
    b->verdict[i] = UNANSWERED;
  }
}

enum step { WAIT, ASK, PROBE, CONNECT, STOP };

/* What the thread is to do now. WAIT: nothing before *until, unless it is woken. */
static enum step next_step_locked(struct p11s_fleet *fleet, struct batch *b, uint64_t probe_ms,
                                  uint64_t *until)
{
  bool connected = fleet->find.conn != NULL, down = fleet->health.state == P11S_HEALTH_DOWN;

  if (fleet->stopping)
    return STOP;
  *until = down ? fleet->health.trial_ms : connected ? probe_ms : 0;
  if (*until <= p11s_now_ms())
    return connected ? PROBE : CONNECT;
  b->count = 0;
  if (!down)
    take_due_locked(fleet, b, until);
  return b->count > 0 ? ASK : WAIT;
}

static enum step await_step(struct p11s_fleet *fleet, struct batch *b)
{
  uint64_t probe_ms = p11s_now_ms() + PROBE_MS, until;
  enum step step;

  p11s_lock(&fleet->lock);
  while ((step = next_step_locked(fleet, b, probe_ms, &until)) == WAIT)
    (void)p11s_cond_wait_until(&fleet->find.wake, &fleet->lock, until);
  p11s_unlock(&fleet->lock);
  return step;
}

void p11s_fleet_ask_main(void *arg)
{
  struct p11s_fleet *fleet = arg;
  struct batch batch = {.fleet = fleet};
  enum step step;

  while ((step = await_step(fleet, &batch)) != STOP) {
    if (step == CONNECT)
      connect_anew(fleet);
    else if (step == PROBE)
      probe(fleet);
    else
      ask_batch(&batch);
  }
  p11s_fleet_disconnect(fleet, &fleet->find);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Looking through the store for what recurs and is not signed yet (ahead/ahead.h). */
#include "ahead/ahead.h"
#include "ahead/internal.h"
#include "base/array.h"
#include "sign/key.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/paste.h"
#include "token/status_file.h"
#include "base/counters.h"
#include "store/record.h"
#include "token/token.h"

#include <stdlib.h>
#include <string.h>

#define LOOK_PART 100        /* of the thread's time, for looking through the store */
#define LOOK_AGAIN_MS 600000 /* while something is missing */
#define LOOK_ALWAYS_MS 3600000
#define LOOK_DOUBT_MS 60000 /* while an RRset has several contents */
#define FLUSH_MS 500
/* A tenth of the time, for asking the database about zones; more when many are new. */
#define REFRESH_EVERY_MS 1000
#define REFRESH_US 100000
#define ASK_US 1000000

/* What may have changed what recurs: signatures that were asked for, of which the store had some
   and tokens made the others. Tokens that come back count, as their keys were left out. */
static uint64_t count_activity(void)
{
  return p11s_counter_get(P11S_STAT_STORE_HITS) + p11s_counter_get(P11S_STAT_SIGNATURES) -
         p11s_counter_get(P11S_STAT_AHEAD_SIGNATURES) + p11s_counter_get(P11S_STAT_RECONNECTS);
}

/* -- a look through the store */

void p11s_ahead_drop_plan(struct p11s_ahead *a)
{
  /* A signature that is under way is made and stored all the same. */
  for (size_t i = 0; i < a->token_count; i++) {
    p11s_job_release(a->tokens[i].job);
    a->tokens[i].job = NULL;
    a->tokens[i].exhausted = true;
  }
  p11s_ahead_keys_release(&a->work.keys);
  p11s_plan_free(a->work.plan);
  a->work.plan = NULL;
  p11s_key_locks_drop(&a->key_locks);
}

static bool add(const struct p11s_store_record *record, void *arg)
{
  struct p11s_ahead *a = arg;

  return !atomic_load_explicit(&a->thread.stop, memory_order_relaxed) &&
         p11s_plan_add(record, a->work.plan);
}

/* The number of the token in the list; it stays there, with what is known of its pace. */
static uint32_t number_of(struct p11s_ahead *a, struct p11s_token *token)
{
  uint32_t number = (uint32_t)a->token_count;
  struct p11s_ahead_token *t;

  for (uint32_t i = 0; i < number; i++)
    if (a->tokens[i].token == token)
      return i;
  t = P11S_ARRAY_ADD(a->tokens, a->token_count);
  if (t == NULL)
    return P11S_PLAN_NO_TOKEN;
  *t = (struct p11s_ahead_token){.token = token, .number = number, .exhausted = true};
  return number;
}

static bool is_there(struct p11s_token *token)
{
  struct p11s_token_stats stats;

  p11s_token_get_stats(token, &stats);
  return stats.state != P11S_TOKEN_AWAY;
}

static void assign_tokens(struct p11s_ahead *a)
{
  struct p11s_plan *plan = a->work.plan;

  p11s_key_locks_renew(&a->key_locks, a->config.state_dir);
  for (size_t i = 0; i < a->work.keys.count; i++) {
    struct p11s_key *key = a->work.keys.key[i];

    if (key != NULL && is_there(p11s_key_token(key)) &&
        p11s_key_locks_take(&a->key_locks, p11s_plan_key_id(plan, i)))
      p11s_plan_set_token(plan, i, number_of(a, p11s_key_token(key)));
  }
  for (size_t i = 0; i < a->token_count; i++) {
    p11s_ahead_rewind(&a->work, &a->tokens[i]);
    a->tokens[i].exhausted = a->tokens[i].left == 0;
  }
}

/* How many signatures are missing, those that this process cannot make among them. */
static uint64_t count_missing(const struct p11s_ahead *a)
{
  const struct p11s_plan_cursor beginning = {0};
  uint64_t missing = p11s_plan_count(a->work.plan, P11S_PLAN_NO_TOKEN, beginning);

  for (size_t i = 0; i < a->token_count; i++)
    missing += p11s_plan_count(a->work.plan, (uint32_t)i, beginning);
  return missing;
}

/* Once, when it changes. */
static void say_why(struct p11s_ahead *a, enum p11s_budget_why why)
{
  struct p11s_buf text = P11S_BUF_INIT;

  if (why != a->why && p11s_plan_why(a->work.plan, why, &text)) {
    p11s_buf_addstr(&text, ". All zones: ");
    p11s_paste(&text, "pkcs11signer", "budget", NULL);
    p11s_log_event(P11S_LOG_WARNING, "signing ahead: %s", p11s_buf_text(&text));
  }
  a->why = why;
  p11s_buf_clear(&text);
}

void p11s_ahead_update_budget(struct p11s_ahead *a)
{
  struct p11s_budget budget;

  p11s_plan_budget(a->work.plan, &budget);
  atomic_store(&a->until,
               budget.recurring > 0 && budget.why != P11S_BUDGET_UNCLEAR ? budget.until : 0);
  atomic_store(&a->missing, count_missing(a));
  say_why(a, budget.why);
  a->budget_ms = p11s_now_ms();
  a->budget_stale = false;
}

static void tell_zones(struct p11s_ahead *a)
{
  struct p11s_plan_doubt doubt;
  size_t cursor = 0;

  if (a->work.zones != NULL)
    p11s_zones_tell(a->work.zones, a->work.plan, a->work.store, UINT64_MAX, ASK_US);
  a->zones_changed = false;
  a->doubtful = p11s_plan_next_doubt(a->work.plan, &cursor, &doubt);
  (void)p11s_gone_note(&a->gone, a->work.plan, p11s_record_now());
}

/* -- what belongs to no zone */

static bool is_gone(const struct p11s_store_record *record, void *arg)
{
  return p11s_gone_has(arg, record);
}

struct asking {
  struct p11s_zones *zones;
  uint64_t begun_ms, until_us;
};

static enum p11s_gone_answer ask_again(const unsigned char *name, const unsigned char *key_id,
                                       void *arg)
{
  struct asking *asking = arg;
  const struct p11s_zone *zone;

  if (p11s_now_us() >= asking->until_us)
    return P11S_GONE_LATER;
  zone = p11s_zones_get_since(asking->zones, name, asking->begun_ms);
  return zone != NULL && p11s_zone_use(zone, key_id, P11S_FOR_ALL_ELSE) == P11S_USE_UNNAMED
             ? P11S_GONE_STILL
             : P11S_GONE_NOT;
}

/* Another server with the same directory may have another database. */
static bool is_alone(const struct p11s_ahead *a)
{
  unsigned servers = 0;

  return p11s_status_read(a->config.state_dir, NULL, NULL, &servers, NULL) == P11S_OK &&
         servers <= 1;
}

static void purge_gone(struct p11s_ahead *a)
{
  struct asking asking = {a->work.zones, p11s_now_ms(), p11s_now_us() + ASK_US};
  uint32_t now = p11s_record_now();
  struct p11s_error error;
  uint64_t deleted = 0;

  if (a->work.zones == NULL || !p11s_gone_is_due(&a->gone, now))
    return;
  p11s_gone_confirm(&a->gone, now, ask_again, &asking);
  if (is_alone(a) &&
      p11s_store_purge(a->work.store, is_gone, &a->gone, &deleted, &error) != P11S_OK)
    p11s_log_event(P11S_LOG_WARNING,
                   "signature store: what belongs to no zone any more is not deleted: %s",
                   error.text);
  else if (deleted > 0)
    p11s_log_event(P11S_LOG_NOTICE,
                   "signature store: %llu signature%s deleted, as for a day no zone had a key that "
                   "made them",
                   (unsigned long long)deleted, p11s_plural(deleted));
  p11s_gone_drop_confirmed(&a->gone);
}

void p11s_ahead_refresh(struct p11s_ahead *a)
{
  uint64_t now = p11s_now_ms();

  if (a->work.zones == NULL || now - a->refreshed_ms < REFRESH_EVERY_MS)
    return;
  p11s_retire_step(&a->retire, a->config.tokens, a->work.zones, &a->thread.stop);
  p11s_zones_refresh(a->work.zones, P11S_ZONES_FRESH_MS, REFRESH_US);
  a->refreshed_ms = p11s_now_ms();
  a->zones_changed = p11s_zones_take_change(a->work.zones) || a->zones_changed;
}

void p11s_ahead_look(struct p11s_ahead *a)
{
  uint64_t begun = p11s_now_ms();
  uint32_t now = p11s_record_now();
  bool good = false;

  a->activity = count_activity();
  a->looked = true;
  a->week = p11s_week_start(now);
  (void)p11s_store_flush(a->work.store, begun + FLUSH_MS);
  p11s_ahead_drop_plan(a);
  a->work.plan = p11s_plan_new(now, a->config.weeks, NULL, 0);
  if (a->work.plan != NULL) {
    p11s_plan_set_extension(a->work.plan, a->config.expiry_extension);
    good = p11s_store_each(a->work.store, add, a) && !p11s_plan_has_failed(a->work.plan);
  }
  if (good) {
    tell_zones(a);
    good = p11s_plan_finish(a->work.plan) &&
           p11s_ahead_keys_find(&a->work.keys, a->work.plan, a->config.keys);
  }
  if (good) {
    a->work.deadline = a->week + P11S_WEEK_SECONDS - P11S_AHEAD_EARLY;
    assign_tokens(a);
    p11s_ahead_update_budget(a);
    purge_gone(a);
  } else {
    p11s_ahead_drop_plan(a);
  }
  a->looked_ms = p11s_now_ms();
  a->look_ms = a->looked_ms - begun;
}

bool p11s_ahead_look_is_due(const struct p11s_ahead *a)
{
  uint64_t since = p11s_now_ms() - a->looked_ms;
  uint64_t least = a->look_ms * LOOK_PART;

  if (!a->looked || (a->week != p11s_week_start(p11s_record_now()) && since >= a->look_ms))
    return true;
  if (since < P11S_AHEAD_LOOK_MS || since < least)
    return false;
  if ((a->doubtful && since >= LOOK_DOUBT_MS) || p11s_gone_is_due(&a->gone, p11s_record_now()))
    return true;
  return a->zones_changed || a->activity != count_activity() || since >= LOOK_ALWAYS_MS ||
         (since >= LOOK_AGAIN_MS && atomic_load(&a->missing) > 0);
}

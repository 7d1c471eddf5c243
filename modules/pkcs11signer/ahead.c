/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ahead.h"

#include "ahead_internal.h"
#include "claims.h"
#include "key.h"
#include "lock.h"
#include "log.h"
#include "stats.h"
#include "store_file.h"
#include "store_record.h"
#include "thread.h"
#include "token.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define LONGEST_SLEEP_MS 1000
#define LOOK_PART 100        /* of the thread's time, for looking through the store */
#define LOOK_AGAIN_MS 600000 /* while something is missing */
#define LOOK_ALWAYS_MS 3600000
#define FLUSH_MS 500
#define BUDGET_EVERY_MS 5000
#define NICE 10

struct p11s_ahead {
  struct p11s_signer *signer; /* immutable */
  unsigned weeks;
  pthread_t thread;
  atomic_bool stop; /* for who is in the middle of something */
  _Atomic(uint64_t) missing;
  _Atomic(uint64_t) until;

  pthread_mutex_t lock; /* guards the next three */
  pthread_cond_t wake;  /* a signature is made, to stop, or the thread has ended */
  bool woken;
  bool stopping;
  bool ended;

  /* the thread's own */
  struct p11s_ahead_work work; /* plan: NULL when there is nothing to be done */
  struct p11s_claims claims;
  struct p11s_ahead_token *tokens;
  size_t token_count;
  uint32_t week; /* of the last look */
  bool looked;
  uint64_t looked_ms; /* when it ended, */
  uint64_t look_ms;   /* how long it took, */
  uint64_t activity;  /* and what had been asked for until then */
  uint64_t budget_ms;
  bool budget_stale;
  bool crowded;
  uint64_t made;       /* since the last that was said */
  uint64_t said_until; /* in the log */
  uint32_t warned;     /* the week for which it was said that it is late */
};

static void wake_up(void *arg)
{
  struct p11s_ahead *a = arg;

  pthread_mutex_lock(&a->lock);
  a->woken = true;
  pthread_cond_signal(&a->wake);
  pthread_mutex_unlock(&a->lock);
}

/* What may have changed what recurs: signatures that were asked for, of which the store had some
   and tokens made the others. Tokens that come back count, as their keys were left out. */
static uint64_t count_activity(void)
{
  return p11s_stats_get(P11S_STAT_STORE_HITS) + p11s_stats_get(P11S_STAT_SIGNATURES) -
         p11s_stats_get(P11S_STAT_AHEAD_SIGNATURES) + p11s_stats_get(P11S_STAT_RECONNECTS);
}

/* -- a look through the store */

static void drop_plan(struct p11s_ahead *a)
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
  p11s_claims_drop(&a->claims);
}

static bool add(const struct p11s_store_record *record, void *arg)
{
  struct p11s_ahead *a = arg;

  return !atomic_load_explicit(&a->stop, memory_order_relaxed) &&
         p11s_plan_add(record, a->work.plan);
}

/* The number of the token in the list; it stays there, with what is known of its pace. */
static uint32_t number_of(struct p11s_ahead *a, struct p11s_token *token)
{
  struct p11s_ahead_token *more;

  for (size_t i = 0; i < a->token_count; i++)
    if (a->tokens[i].token == token)
      return (uint32_t)i;
  more = reallocarray(a->tokens, a->token_count + 1, sizeof *more);
  if (more == NULL)
    return P11S_PLAN_NO_TOKEN;
  a->tokens = more;
  more[a->token_count] = (struct p11s_ahead_token){.token = token, .exhausted = true};
  more[a->token_count].number = (uint32_t)a->token_count;
  return (uint32_t)a->token_count++;
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

  p11s_claims_renew(&a->claims, p11s_signer_config(a->signer)->state_dir);
  for (size_t i = 0; i < a->work.keys.count; i++) {
    struct p11s_key *key = a->work.keys.key[i];

    if (key != NULL && is_there(p11s_key_token(key)) &&
        p11s_claims_take(&a->claims, p11s_plan_key_id(plan, i)))
      p11s_plan_set_token(plan, i, number_of(a, p11s_key_token(key)));
  }
  for (size_t i = 0; i < a->token_count; i++) {
    struct p11s_ahead_token *t = &a->tokens[i];

    memset(&t->cursor, 0, sizeof t->cursor);
    t->left = p11s_plan_count(plan, t->number, t->cursor);
    t->exhausted = t->left == 0;
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

static void update_budget(struct p11s_ahead *a)
{
  struct p11s_budget budget;

  p11s_plan_budget(a->work.plan, &budget);
  atomic_store(&a->until, budget.recurring > 0 ? budget.until : 0);
  atomic_store(&a->missing, count_missing(a));
  a->budget_ms = p11s_now_ms();
  a->budget_stale = false;
}

static void look(struct p11s_ahead *a)
{
  uint64_t begun = p11s_now_ms();
  uint32_t now = p11s_record_now();
  bool good;

  a->activity = count_activity();
  a->looked = true;
  a->week = p11s_week_start(now);
  (void)p11s_store_flush(a->work.store, begun + FLUSH_MS);
  drop_plan(a);
  a->work.plan = p11s_plan_new(now, a->weeks, NULL, 0);
  good = a->work.plan != NULL && p11s_store_each(a->work.store, add, a) &&
         p11s_plan_finish(a->work.plan) &&
         p11s_ahead_keys_find(&a->work.keys, a->work.plan, a->signer);
  if (good) {
    a->work.deadline = a->week + P11S_WEEK_SECONDS - P11S_AHEAD_EARLY;
    assign_tokens(a);
    update_budget(a);
  } else {
    drop_plan(a);
  }
  a->looked_ms = p11s_now_ms();
  a->look_ms = a->looked_ms - begun;
}

static bool has_work(const struct p11s_ahead *a)
{
  for (size_t i = 0; i < a->token_count; i++)
    if (a->tokens[i].job != NULL || !a->tokens[i].exhausted)
      return true;
  return false;
}

static bool is_due(const struct p11s_ahead *a)
{
  uint64_t since = p11s_now_ms() - a->looked_ms;
  uint64_t least = a->look_ms * LOOK_PART;

  if (!a->looked || (a->week != p11s_week_start(p11s_record_now()) && since >= a->look_ms))
    return true;
  if (since < P11S_AHEAD_LOOK_MS || since < least)
    return false;
  return a->activity != count_activity() || since >= LOOK_ALWAYS_MS ||
         (since >= LOOK_AGAIN_MS && atomic_load(&a->missing) > 0);
}

/* -- signing */

static void format_time(uint64_t seconds, char *text, size_t size)
{
  time_t when = (time_t)seconds;
  struct tm tm;

  if (gmtime_r(&when, &tm) == NULL || strftime(text, size, "%Y-%m-%d %H:%M UTC", &tm) == 0)
    text[0] = '\0';
}

static void say_done(struct p11s_ahead *a)
{
  uint64_t until = atomic_load(&a->until);
  char text[32];

  if (until <= a->said_until || atomic_load(&a->missing) > 0)
    return;
  format_time(until, text, sizeof text);
  p11s_log_event(P11S_LOG_NOTICE,
                 "signed ahead: %llu signature%s. What was served in the last week can be served "
                 "without the token until %s",
                 (unsigned long long)a->made, p11s_plural(a->made), text);
  a->said_until = until;
  a->made = 0;
}

/* Once a week: that the token does not keep up, while there is time to do something about it. */
static void say_late(struct p11s_ahead *a)
{
  uint64_t missing = atomic_load(&a->missing);
  uint32_t now = p11s_record_now();
  char text[32];

  if (missing == 0 || a->weeks == 0 || a->warned == a->week ||
      p11s_time_diff(now, a->week + P11S_WEEK_SECONDS - P11S_AHEAD_EARLY) < 0)
    return;
  a->warned = a->week;
  format_time(a->week + P11S_WEEK_SECONDS, text, sizeof text);
  p11s_log_event(
      P11S_LOG_WARNING,
      "signing ahead is late: %llu signature%s still missing, and PowerDNS asks for what "
      "is missing from %s on. Is the token away (backend-cmd pkcs11signer status), or "
      "pkcs11signer-ahead-rate too low? backend-cmd pkcs11signer \"sign-ahead all\" "
      "makes them now",
      (unsigned long long)missing, p11s_plural(missing), text);
}

/* A store in which there is no room for what is signed ahead: signing would be in vain. */
static bool is_crowded(struct p11s_ahead *a)
{
  struct p11s_store_stats stats;

  p11s_store_get_stats(a->work.store, &stats);
  if (stats.crowded && !a->crowded)
    p11s_log_event(P11S_LOG_WARNING,
                   "signature store: no room for the weeks to come, so nothing is signed ahead "
                   "until there is: set pkcs11signer-store-size to more than %llu",
                   (unsigned long long)(stats.limit_bytes >> 20));
  a->crowded = stats.crowded;
  return stats.crowded || stats.off;
}

/* One step for each token; returns how long to sleep. */
static uint64_t step_all(struct p11s_ahead *a)
{
  uint64_t wait_us = LONGEST_SLEEP_MS * 1000, wait;

  for (size_t i = 0; i < a->token_count; i++) {
    if (p11s_ahead_step(&a->work, &a->tokens[i], &wait)) {
      a->made++;
      a->budget_stale = true;
    }
    wait_us = wait < wait_us ? wait : wait_us;
  }
  return wait_us;
}

static uint64_t work_on(struct p11s_ahead *a)
{
  uint64_t wait_us = LONGEST_SLEEP_MS * 1000;

  if (is_due(a))
    look(a);
  if (a->work.plan == NULL)
    return wait_us;
  if (!is_crowded(a))
    wait_us = step_all(a);
  /* Nobody is told before it is written; and who takes over the claims must find it. */
  if (!has_work(a))
    (void)p11s_store_flush(a->work.store, p11s_now_ms() + FLUSH_MS);
  if (!has_work(a) || (a->budget_stale && p11s_now_ms() - a->budget_ms >= BUDGET_EVERY_MS))
    update_budget(a);
  say_late(a);
  if (!has_work(a)) {
    say_done(a);
    drop_plan(a);
  }
  return wait_us;
}

/* -- the thread */

/* false: to stop. */
static bool rest(struct p11s_ahead *a, uint64_t wait_us)
{
  uint64_t until = p11s_now_ms() + (wait_us + 999) / 1000;
  bool stopping;

  pthread_mutex_lock(&a->lock);
  while (!a->stopping && !a->woken && wait_us > 0 &&
         p11s_cond_wait_until(&a->wake, &a->lock, until))
    ;
  a->woken = false;
  stopping = a->stopping;
  pthread_mutex_unlock(&a->lock);
  return !stopping;
}

static void *ahead_main(void *arg)
{
  struct p11s_ahead *a = arg;

  (void)pthread_setname_np(pthread_self(), "p11s/ahead");
  (void)setpriority(PRIO_PROCESS, 0, NICE); /* of this thread */
  (void)p11s_store_file_own(p11s_signer_config(a->signer)->state_dir);
  while (rest(a, work_on(a)))
    ;
  drop_plan(a);
  pthread_mutex_lock(&a->lock);
  a->ended = true;
  pthread_cond_broadcast(&a->wake);
  pthread_mutex_unlock(&a->lock);
  return NULL;
}

struct p11s_ahead *p11s_ahead_start(struct p11s_signer *signer)
{
  const struct p11s_config *config = p11s_signer_config(signer);
  struct p11s_ahead *a = calloc(1, sizeof *a);

  if (a == NULL)
    return NULL;
  a->signer = signer;
  a->weeks = config->ahead_weeks;
  a->claims.fd = -1;
  a->work = (struct p11s_ahead_work){.signer = signer,
                                     .store = p11s_signer_store(signer),
                                     .rate = config->ahead_rate,
                                     .shared = true,
                                     .ended = wake_up,
                                     .ended_arg = a};
  pthread_mutex_init(&a->lock, NULL);
  p11s_cond_init(&a->wake);
  if (p11s_thread_start(&a->thread, ahead_main, a))
    return a;
  p11s_log_event(P11S_LOG_WARNING, "no thread could be started for signing ahead");
  a->ended = true;
  p11s_ahead_free(a);
  return NULL;
}

bool p11s_ahead_stop(struct p11s_ahead *a, uint64_t deadline_ms)
{
  bool ended, join;

  if (a == NULL)
    return true;
  atomic_store(&a->stop, true);
  if (!p11s_mutex_lock_until(&a->lock, deadline_ms))
    return false;
  join = !a->stopping;
  a->stopping = true;
  pthread_cond_broadcast(&a->wake);
  while (!a->ended && p11s_cond_wait_until(&a->wake, &a->lock, deadline_ms))
    ;
  ended = a->ended;
  pthread_mutex_unlock(&a->lock);
  if (ended && join)
    (void)pthread_join(a->thread, NULL);
  return ended;
}

void p11s_ahead_free(struct p11s_ahead *a)
{
  if (a == NULL)
    return;
  pthread_cond_destroy(&a->wake);
  pthread_mutex_destroy(&a->lock);
  free(a->tokens);
  free(a);
}

void p11s_ahead_get_stats(const struct p11s_ahead *a, struct p11s_ahead_stats *ret)
{
  ret->missing = a != NULL ? atomic_load(&a->missing) : 0;
  ret->until = a != NULL ? atomic_load(&a->until) : 0;
}

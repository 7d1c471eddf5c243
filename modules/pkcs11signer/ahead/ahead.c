/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ahead/ahead.h"

#include "ahead/internal.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/paste.h"
#include "base/text.h"
#include "store/recover.h"
#include "store/record.h"

#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#define LONGEST_SLEEP_MS 1000
#define FLUSH_MS 500
#define BUDGET_EVERY_MS 5000
#define NICE 10

static void wake_up(void *arg)
{
  struct p11s_ahead *a = arg;

  p11s_lock(&a->thread.lock);
  a->woken = true;
  pthread_cond_broadcast(&a->thread.changed);
  p11s_unlock(&a->thread.lock);
}

static bool has_work(const struct p11s_ahead *a)
{
  for (size_t i = 0; i < a->token_count; i++)
    if (a->tokens[i].job != NULL || !a->tokens[i].exhausted)
      return true;
  return false;
}

/* -- signing */

static void say_done(struct p11s_ahead *a)
{
  uint64_t until = atomic_load(&a->until);
  char text[32];

  if (a->config.weeks == 0 || until <= a->said_until || until <= p11s_record_now() ||
      atomic_load(&a->missing) > 0)
    return;
  p11s_utc(text, sizeof text, P11S_UTC_MINUTE, (int64_t)until);
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
  struct p11s_buf status = P11S_BUF_INIT, all = P11S_BUF_INIT;
  char text[32];

  if (missing == 0 || a->config.weeks == 0 || a->warned == a->week ||
      p11s_time_diff(now, a->week + P11S_WEEK_SECONDS - P11S_AHEAD_EARLY) < 0)
    return;
  a->warned = a->week;
  p11s_utc(text, sizeof text, P11S_UTC_MINUTE, (int64_t)a->week + P11S_WEEK_SECONDS);
  p11s_paste(&status, "pkcs11signer", "status", NULL);
  p11s_paste(&all, "pkcs11signer", "sign-ahead", "all", NULL);
  p11s_log_event(P11S_LOG_WARNING,
                 "signing ahead is late: %llu signature%s still missing, and PowerDNS asks for "
                 "what is missing from %s on. Is the token away (%s), or pkcs11signer-ahead-rate "
                 "too low? To make them now: %s",
                 (unsigned long long)missing, p11s_plural(missing), text, p11s_buf_text(&status),
                 p11s_buf_text(&all));
  p11s_buf_clear(&status);
  p11s_buf_clear(&all);
}

/* Whether the store keeps anything that is signed ahead. DNSKEY signatures stay in a crowded one.
 */
static bool has_room(struct p11s_ahead *a)
{
  struct p11s_store_stats stats;

  p11s_store_get_stats(a->work.store, &stats);
  if (stats.crowded && !a->work.crowded)
    p11s_log_event(P11S_LOG_WARNING,
                   "signature store: no room for the weeks to come, so only DNSKEY is signed ahead "
                   "until there is: set pkcs11signer-store-size to more than %llu",
                   (unsigned long long)(stats.limit_bytes >> 20));
  a->work.crowded = stats.crowded;
  return !stats.full && !stats.off;
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

  p11s_ahead_refresh(a);
  if (a->work.store != NULL && p11s_ahead_look_is_due(a))
    p11s_ahead_look(a);
  if (a->work.plan == NULL)
    return wait_us;
  if (has_room(a))
    wait_us = step_all(a);
  /* Nobody is told before it is written; and who takes over the locks must find it. */
  if (!has_work(a))
    (void)p11s_store_flush(a->work.store, p11s_now_ms() + FLUSH_MS);
  if (!has_work(a) || (a->budget_stale && p11s_now_ms() - a->budget_ms >= BUDGET_EVERY_MS))
    p11s_ahead_update_budget(a);
  say_late(a);
  if (!has_work(a)) {
    say_done(a);
    p11s_ahead_drop_plan(a);
  }
  return wait_us;
}

/* -- the thread */

static void rest(struct p11s_ahead *a, uint64_t wait_us)
{
  uint64_t until = p11s_now_ms() + (wait_us + 999) / 1000;

  p11s_lock(&a->thread.lock);
  while (!atomic_load(&a->thread.stop) && !a->woken && wait_us > 0 &&
         p11s_cond_wait_until(&a->thread.changed, &a->thread.lock, until))
    ;
  a->woken = false;
  p11s_unlock(&a->thread.lock);
}

static void run(void *arg)
{
  struct p11s_ahead *a = arg;

  (void)setpriority(PRIO_PROCESS, 0, NICE); /* of this thread */
  p11s_store_file_own(a->config.state_dir);
  a->work.zones = p11s_zones_new(a->config.keys, NULL, a->config.hosts);
  while (!atomic_load(&a->thread.stop))
    rest(a, work_on(a));
  p11s_ahead_drop_plan(a);
  p11s_zones_free(a->work.zones);
  p11s_gone_clear(&a->gone);
  p11s_retire_clear(&a->retire);
}

struct p11s_ahead *p11s_ahead_start(const struct p11s_ahead_config *config)
{
  struct p11s_ahead *a = calloc(1, sizeof *a);

  if (a == NULL)
    return NULL;
  a->config = *config;
  a->key_locks.fd = -1;
  a->work = (struct p11s_ahead_work){.flights = config->flights,
                                     .store = config->store,
                                     .rate = config->rate,
                                     .shared = true,
                                     .ended = wake_up,
                                     .ended_arg = a};
  p11s_service_init(&a->thread);
  if (p11s_service_start(&a->thread, "p11s/ahead", run, a))
    return a;
  p11s_log_event(P11S_LOG_WARNING, "no thread could be started for signing ahead");
  p11s_ahead_free(a);
  return NULL;
}

bool p11s_ahead_stop(struct p11s_ahead *a, uint64_t deadline_ms)
{
  return a == NULL || p11s_service_stop(&a->thread, deadline_ms);
}

void p11s_ahead_free(struct p11s_ahead *a)
{
  if (a == NULL)
    return;
  p11s_service_destroy(&a->thread);
  free(a->tokens);
  free(a);
}

void p11s_ahead_get_stats(const struct p11s_ahead *a, struct p11s_ahead_stats *ret)
{
  ret->missing = a != NULL ? atomic_load(&a->missing) : 0;
  ret->until = a != NULL ? atomic_load(&a->until) : 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The two threads and their connections, and what becomes known of the database by them
   (store/fleet/internal.h). */
#include "base/fork.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/thread.h"
#include "store/fleet/internal.h"

#include <stdio.h>
#include <string.h>

bool p11s_fleet_is_ours(const struct p11s_fleet *my)
{
  return my != NULL && my->generation == p11s_fork_generation();
}

static void start_link(struct p11s_fleet *my, struct p11s_fleet_link *link)
{
  pthread_t thread;
  bool started;

  started = p11s_thread_start(&thread, link->main, my);
  p11s_lock(&my->lock);
  link->running = started;
  if (started)
    link->thread = thread;
  p11s_unlock(&my->lock);
}

void p11s_fleet_start(struct p11s_fleet *my)
{
  struct p11s_error error;

  if (!p11s_fleet_is_ours(my) || atomic_load_explicit(&my->started, memory_order_relaxed) ||
      atomic_exchange(&my->started, true))
    return;
  start_link(my, &my->find);
  start_link(my, &my->write);
  if (my->find.running && my->write.running)
    return;
  (void)p11s_error_set(&error, P11S_ERR_NOMEM, "no thread could be started for it");
  p11s_fleet_note_failure(my, &error);
}

/* -- connections */

enum p11s_err p11s_fleet_connect(struct p11s_fleet *my, struct p11s_fleet_link *link,
                                 unsigned answer_s, struct p11s_error *e)
{
  struct p11s_connection *conn = NULL;
  enum p11s_err result = p11s_connection_open(my->config, answer_s, &conn, e);

  if (result != P11S_OK)
    return result;
  p11s_lock(&my->lock);
  link->conn = conn;
  p11s_unlock(&my->lock);
  return P11S_OK;
}

void p11s_fleet_disconnect(struct p11s_fleet *my, struct p11s_fleet_link *link)
{
  struct p11s_connection *conn;

  p11s_lock(&my->lock);
  conn = link->conn;
  link->conn = NULL;
  p11s_unlock(&my->lock);
  p11s_connection_close(conn);
}

void p11s_fleet_end_link(struct p11s_fleet *my, struct p11s_fleet_link *link)
{
  p11s_fleet_disconnect(my, link);
  p11s_lock(&my->lock);
  link->ended = true;
  pthread_cond_broadcast(&my->done);
  p11s_unlock(&my->lock);
}

/* -- whether it is there */

void p11s_fleet_note_answer(struct p11s_fleet *my, uint64_t took_ms)
{
  uint64_t now = p11s_now_ms(), away_ms = 0;
  bool is_first = false, is_back = false;

  p11s_lock(&my->lock);
  if (my->reason[0] != '\0')
    away_ms = now - my->breaker.since_ms;
  if (p11s_health_answered(&my->breaker, now, took_ms, my->config->timeout_ms)) {
    is_back = my->reason[0] != '\0';
    is_first = !my->was_up;
    my->was_up = true;
    my->reason[0] = '\0';
    pthread_cond_signal(&my->write.wake);
  }
  p11s_unlock(&my->lock);
  if (is_back)
    p11s_log_event(P11S_LOG_NOTICE,
                   "fleet store %s is back after %llu s: signatures are shared again", my->where,
                   (unsigned long long)(away_ms + 999) / 1000);
  else if (is_first)
    p11s_log_event(P11S_LOG_NOTICE,
                   "fleet store %s: connected; what another server has signed is not signed again",
                   my->where);
}

/* It has gone down, or is down for another reason than was said. */
static void say_down(const struct p11s_fleet *my, const char *reason)
{
  p11s_log_event(P11S_LOG_WARNING,
                 "fleet store %s: %s. Until it is there again signatures are not shared with other "
                 "servers; queries are answered all the same, and it is tried again by itself",
                 my->where, reason);
}

void p11s_fleet_note_late(struct p11s_fleet *my)
{
  char reason[P11S_ERROR_SIZE];
  bool changed;

  p11s_lock(&my->lock);
  changed = p11s_health_late(&my->breaker, p11s_now_ms(), my->config->timeout_ms);
  if (changed) {
    (void)snprintf(my->reason, sizeof my->reason, "no answer within %u ms, %d times in a row",
                   my->config->timeout_ms, P11S_HEALTH_LATE);
    memcpy(reason, my->reason, sizeof reason);
    p11s_fleet_wake_all_locked(my);
  }
  p11s_unlock(&my->lock);
  if (changed)
    say_down(my, reason);
}

void p11s_fleet_note_lost(struct p11s_fleet *my)
{
  p11s_lock(&my->lock);
  (void)p11s_health_failed(&my->breaker, p11s_now_ms());
  p11s_fleet_wake_all_locked(my);
  p11s_unlock(&my->lock);
}

void p11s_fleet_note_failure(struct p11s_fleet *my, const struct p11s_error *why)
{
  bool is_news;

  p11s_lock(&my->lock);
  (void)p11s_health_failed(&my->breaker, p11s_now_ms());
  is_news = strcmp(my->reason, why->text) != 0 && !my->stopping;
  memcpy(my->reason, why->text, sizeof my->reason);
  p11s_fleet_wake_all_locked(my);
  p11s_unlock(&my->lock);
  if (is_news)
    say_down(my, why->text);
}

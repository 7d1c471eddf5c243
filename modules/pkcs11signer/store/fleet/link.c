/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The two threads and their connections, and what becomes known of the database by them
   (store/fleet/internal.h). */
#include "base/fork.h"
#include "base/lock.h"
#include "base/log.h"
#include "store/fleet/request.h"

#include <stdio.h>
#include <string.h>

bool p11s_fleet_is_ours(const struct p11s_fleet *fleet)
{
  return fleet != NULL && fleet->generation == p11s_fork_generation();
}

void p11s_fleet_wake_all_locked(struct p11s_fleet *fleet)
{
  struct p11s_fleet_request *r;

  LIST_FOREACH(r, &fleet->requests, link)
  pthread_cond_broadcast(&r->answered);
  pthread_cond_broadcast(&fleet->find.wake);
  pthread_cond_broadcast(&fleet->write.wake);
  pthread_cond_broadcast(&fleet->done);
}

/* -- connections */

enum p11s_err p11s_fleet_connect(struct p11s_fleet *fleet, struct p11s_fleet_link *link,
                                 unsigned answer_s, struct p11s_error *e)
{
  struct p11s_connection *conn = NULL;
  enum p11s_err result = p11s_connection_open(fleet->config, answer_s, &conn, e);

  if (result != P11S_OK)
    return result;
  p11s_lock(&fleet->lock);
  link->conn = conn;
  p11s_unlock(&fleet->lock);
  return P11S_OK;
}

void p11s_fleet_disconnect(struct p11s_fleet *fleet, struct p11s_fleet_link *link)
{
  struct p11s_connection *conn;

  p11s_lock(&fleet->lock);
  conn = link->conn;
  link->conn = NULL;
  p11s_unlock(&fleet->lock);
  p11s_connection_close(conn);
}

/* -- whether it is there */

void p11s_fleet_note_answer(struct p11s_fleet *fleet, uint64_t took_ms)
{
  uint64_t now = p11s_now_ms(), away_ms = 0;
  bool is_first = false, is_back = false;

  p11s_lock(&fleet->lock);
  if (fleet->reason[0] != '\0')
    away_ms = now - fleet->health.since_ms;
  if (p11s_health_answered(&fleet->health, now, took_ms, fleet->config->timeout_ms)) {
    is_back = fleet->reason[0] != '\0';
    is_first = !fleet->was_up;
    fleet->was_up = true;
    fleet->reason[0] = '\0';
    pthread_cond_signal(&fleet->write.wake);
  }
  p11s_unlock(&fleet->lock);
  if (is_back)
    p11s_log_event(P11S_LOG_NOTICE,
                   "fleet store %s is back after %llu s: signatures are shared again", fleet->where,
                   (unsigned long long)(away_ms + 999) / 1000);
  else if (is_first)
    p11s_log_event(P11S_LOG_NOTICE,
                   "fleet store %s: connected; what another server has signed is not signed again",
                   fleet->where);
}

/* It has gone down, or is down for another reason than was said. */
static void say_down(const struct p11s_fleet *fleet, const char *reason)
{
  p11s_log_event(P11S_LOG_WARNING,
                 "fleet store %s: %s. Until it is there again signatures are not shared with other "
                 "servers; queries are answered all the same, and it is tried again by itself",
                 fleet->where, reason);
}

void p11s_fleet_note_late(struct p11s_fleet *fleet)
{
  char reason[P11S_ERROR_SIZE];
  bool changed;

  p11s_lock(&fleet->lock);
  changed = p11s_health_late(&fleet->health, p11s_now_ms(), fleet->config->timeout_ms);
  if (changed) {
    (void)snprintf(fleet->reason, sizeof fleet->reason, "no answer within %u ms, %d times in a row",
                   fleet->config->timeout_ms, P11S_HEALTH_LATE);
    memcpy(reason, fleet->reason, sizeof reason);
    p11s_fleet_wake_all_locked(fleet);
  }
  p11s_unlock(&fleet->lock);
  if (changed)
    say_down(fleet, reason);
}

void p11s_fleet_note_failure(struct p11s_fleet *fleet, const struct p11s_error *why)
{
  bool is_news = false;

  p11s_lock(&fleet->lock);
  (void)p11s_health_failed(&fleet->health, p11s_now_ms());
  if (why != NULL) {
    is_news = strcmp(fleet->reason, why->text) != 0 && !fleet->stopping;
    memcpy(fleet->reason, why->text, sizeof fleet->reason);
  }
  p11s_fleet_wake_all_locked(fleet);
  p11s_unlock(&fleet->lock);
  if (is_news)
    say_down(fleet, why->text);
}

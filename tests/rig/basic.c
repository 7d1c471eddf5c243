/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What needs no token (rig/rig.h). */
#include "rig/rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

void rig_watchdog(void)
{
  (void)alarm(RIG_WATCHDOG_S);
}

struct p11s_keyref *rig_ref(const char *label, const char *pin)
{
  struct p11s_keyref *ref = calloc(1, sizeof *ref);

  assert_non_null(ref);
  ref->algorithm = 13;
  ref->engine = strdup(RIG_MODULE);
  ref->slot = strdup(RIG_TOKEN);
  ref->label = strdup(label);
  ref->pin = pin != NULL ? p11s_secret_new(pin, strlen(pin)) : NULL;
  return ref;
}

struct p11s_keyref *rig_ref_in(const char *slot, struct p11s_keyref *ref)
{
  free(ref->slot);
  ref->slot = strdup(slot);
  assert_non_null(ref->slot);
  return ref;
}

uint64_t rig_later(void)
{
  struct timespec now;

  /* Not p11s_now_ms(): some tests put that forward. */
  (void)clock_gettime(CLOCK_MONOTONIC, &now);
  return ((uint64_t)now.tv_sec + RIG_PATIENCE_S) * 1000;
}

struct p11s_wait rig_wait(uint64_t deadline_ms)
{
  return (struct p11s_wait){deadline_ms, false, 0, false};
}

void rig_event_reset(struct rig_event *event)
{
  pthread_mutex_lock(&event->lock);
  event->count = 0;
  pthread_mutex_unlock(&event->lock);
}

void rig_event_note(struct rig_event *event)
{
  pthread_mutex_lock(&event->lock);
  event->count++;
  pthread_cond_broadcast(&event->changed);
  pthread_mutex_unlock(&event->lock);
}

unsigned rig_event_count(struct rig_event *event)
{
  unsigned count;

  pthread_mutex_lock(&event->lock);
  count = event->count;
  pthread_mutex_unlock(&event->lock);
  return count;
}

void rig_event_wait(struct rig_event *event, unsigned n)
{
  struct timespec until;
  unsigned count;

  (void)clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec += RIG_PATIENCE_S;
  pthread_mutex_lock(&event->lock);
  while (event->count < n && pthread_cond_timedwait(&event->changed, &event->lock, &until) == 0)
    ;
  count = event->count;
  pthread_mutex_unlock(&event->lock);
  if (count < n)
    fail_msg("%u events came where %u were waited for", count, n);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/log.h"

#include "base/err.h"
#include "base/lock.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define LINE_MAX_LEN 1024
#define CAUSES 2048 /* that are told apart within P11S_LOG_EVERY_MS */
#define PLACES 16   /* for each */

struct cause {
  char name[96];
  uint64_t said_ms;
  unsigned long left_out;
};

static _Atomic(p11s_log_sink) the_sink;

static struct p11s_mutex lock =
    P11S_MUTEX_INIT(P11S_RANK_LOG); /* guards causes; nothing is called */
static struct cause causes[CAUSES];

void p11s_log_set_sink(p11s_log_sink sink)
{
  atomic_store(&the_sink, sink);
}

static void say(enum p11s_log_level level, const char *format, va_list args, unsigned long left_out)
{
  p11s_log_sink sink = atomic_load(&the_sink);
  char line[LINE_MAX_LEN];
  size_t len;

  if (sink == NULL || vsnprintf(line, sizeof line, format, args) < 0)
    return;
  len = strlen(line);
  if (left_out > 0)
    (void)snprintf(line + len, sizeof line - len, " (%lu more like this were not logged)",
                   left_out);
  p11s_error_clean(line);
  sink(level, line);
}

void p11s_log_debug(const char *format, ...)
{
  va_list args;

  va_start(args, format);
  say(P11S_LOG_DEBUG, format, args, 0);
  va_end(args);
}

void p11s_log_event(enum p11s_log_level level, const char *format, ...)
{
  va_list args;

  va_start(args, format);
  say(level, format, args, 0);
  va_end(args);
}

/* FNV-1a of as much of it as an entry holds. */
static size_t place_of(const char *name)
{
  uint32_t hash = 2166136261u;

  for (size_t i = 0; name[i] != '\0' && i < sizeof causes[0].name - 1; i++)
    hash = (hash ^ (unsigned char)name[i]) * 16777619u;
  return hash % CAUSES;
}

static bool is_old(const struct cause *cause, uint64_t now)
{
  return cause->said_ms == 0 || now - cause->said_ms >= P11S_LOG_EVERY_MS;
}

/* The entry of that cause, or an old one, emptied. Where all its places are taken, the first, whose
   cause it is counted with: so many lines in a minute are enough. */
static struct cause *find_cause_locked(const char *name, uint64_t now)
{
  size_t first = place_of(name);
  struct cause *old = NULL;

  for (size_t i = 0; i < PLACES; i++) {
    struct cause *cause = &causes[(first + i) % CAUSES];

    if (strncmp(cause->name, name, sizeof cause->name - 1) == 0)
      return cause;
    if (old == NULL && is_old(cause, now))
      old = cause;
  }
  if (old == NULL)
    return &causes[first];
  (void)snprintf(old->name, sizeof old->name, "%s", name);
  old->said_ms = 0;
  old->left_out = 0;
  return old;
}

/* Whether it is time to say it; *ret_left_out: how often it was not, since the last time. */
static bool is_due(const char *name, unsigned long *ret_left_out)
{
  uint64_t now = p11s_now_ms();
  struct cause *cause;
  bool due;

  p11s_lock(&lock);
  cause = find_cause_locked(name, now);
  due = is_old(cause, now);
  if (due) {
    *ret_left_out = cause->left_out;
    cause->left_out = 0;
    cause->said_ms = now;
  } else {
    cause->left_out++;
  }
  p11s_unlock(&lock);
  return due;
}

void p11s_log_limited(enum p11s_log_level level, const char *cause, const char *format, ...)
{
  unsigned long left_out = 0;
  va_list args;

  if (!is_due(cause, &left_out))
    return;
  va_start(args, format);
  say(level, format, args, left_out);
  va_end(args);
}

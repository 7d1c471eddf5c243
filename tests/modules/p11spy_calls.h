/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Part of p11spy.c: what every function does: it is written down, and may be spoilt. */
#pragma once

#include "p11spy_token.h"

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

/* -- the list of calls */

static void append(const char *path, const char *line, size_t n)
{
  int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);

  if (fd < 0)
    return;
  if (write(fd, line, n) != (ssize_t)n)
    abort(); /* a test that misses a call proves nothing */
  close(fd);
}

static void note(const char *function)
{
  const char *path = getenv("P11SPY_LOG");
  char thread[32] = "?";
  char line[128];
  int n;

  if (!path)
    return;
  pthread_getname_np(pthread_self(), thread, sizeof(thread));
  n = snprintf(line, sizeof(line), "%s %s\n", thread, function);
  append(path, line, (size_t)n);
}

static void note_key(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key)
{
  const char *path = getenv("P11SPY_KEYS");
  char line[128] = "?";
  CK_ATTRIBUTE label = {CKA_LABEL, line, sizeof(line) - 1};

  if (!path)
    return;
  if (module->C_GetAttributeValue(session, key, &label, 1) != CKR_OK)
    label.ulValueLen = 1;
  line[label.ulValueLen] = '\n';
  append(path, line, label.ulValueLen + 1);
}

/* -- what every function does */

static void note_event(const char *function, struct where where, const char *what)
{
  const char *path = getenv("P11SPY_EVENTS");
  char line[128];
  int n;

  if (!path)
    return;
  n = snprintf(line, sizeof(line), "%s %lu %s\n", function, where.session, what);
  append(path, line, (size_t)n);
}

/* At its end. */
static CK_RV done(const char *function, struct where where, CK_RV rv)
{
  char text[32];
  CK_RV late;

  if (rv == CKR_OK && is_meant(where.slot) && each_rule(function, "late", take_times, &late))
    rv = late;
  snprintf(text, sizeof(text), "0x%lx", rv);
  note_event(function, where, text);
  return rv;
}

static void hang(const char *function, struct where where)
{
  static const struct timespec five_ms = {0, 5000000};
  char line[LINE_SIZE];

  if (!each_rule(function, "hang", take_line, line))
    return;
  note_event(function, where, "hangs");
  while (each_rule(function, "hang", is_line, line))
    nanosleep(&five_ms, NULL);
}

/* First. True: return *ret_rv. */
static bool intercept(const char *function, struct where where, CK_RV *ret_rv)
{
  struct timespec delay;
  unsigned long ms;

  note(function);
  if (is_meant(where.slot)) {
    if (rule(function, "delay", &ms)) {
      delay = (struct timespec){(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};
      nanosleep(&delay, NULL);
    }
    hang(function, where);
    if (rule(function, "return", ret_rv) || each_rule(function, "fail", take_once, ret_rv))
      return true;
  }
  return cut_off(where, ret_rv);
}

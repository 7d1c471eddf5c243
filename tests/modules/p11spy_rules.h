/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Part of p11spy.c: the file of rules. */
#pragma once

#include <p11-kit/pkcs11.h>

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_SIZE 128
#define LINES_MAX 4096

/* Calls fn for each rule "function verb" until it says true; whether it did. */
static bool each_rule(const char *function, const char *verb,
                      bool (*fn)(const char *line, const char *value, void *arg), void *arg)
{
  const char *path = getenv("P11SPY_RULES");
  char line[LINE_SIZE], f[64], v[32], value[64];
  bool done = false;
  FILE *in;

  in = path ? fopen(path, "re") : NULL;
  if (!in)
    return false;
  while (!done && fgets(line, sizeof(line), in)) {
    value[0] = '\0';
    if (sscanf(line, "%63s %31s %63s", f, v, value) >= 2)
      done = strcmp(f, function) == 0 && strcmp(v, verb) == 0 && fn(line, value, arg);
  }
  fclose(in);
  return done;
}

static bool take_number(const char *line, const char *value, void *arg)
{
  (void)line;
  if (arg)
    *(unsigned long *)arg = strtoul(value, NULL, 0);
  return true;
}

/* True if there is a rule "function verb"; its number goes to ret_value. */
static bool rule(const char *function, const char *verb, unsigned long *ret_value)
{
  return each_rule(function, verb, take_number, ret_value);
}

/* Whether a line has been applied fewer than `most` times in this process; counts. */
static bool spend(const char *line, unsigned long most)
{
  static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  static struct {
    char line[LINE_SIZE];
    unsigned long spent;
  } lines[LINES_MAX];
  size_t i = 0;
  bool ok;

  pthread_mutex_lock(&lock);
  while (i < LINES_MAX - 1 && lines[i].line[0] && strcmp(lines[i].line, line) != 0)
    i++;
  if (!lines[i].line[0])
    snprintf(lines[i].line, sizeof(lines[i].line), "%s", line);
  ok = strcmp(lines[i].line, line) == 0 && lines[i].spent < most;
  if (ok)
    lines[i].spent++;
  pthread_mutex_unlock(&lock);
  return ok;
}

static bool take_once(const char *line, const char *value, void *arg)
{
  char count[32] = "";

  if (sscanf(line, "%*s %*s %*s %31s", count) != 1 ||
      !spend(line, strcmp(count, "once") == 0 ? 1 : strtoul(count, NULL, 0)))
    return false;
  *(CK_RV *)arg = strtoul(value, NULL, 0);
  return true;
}

/* Likewise, or without a number of times. */
static bool take_times(const char *line, const char *value, void *arg)
{
  char count[32] = "";

  if (sscanf(line, "%*s %*s %*s %31s", count) == 1)
    return take_once(line, value, arg);
  *(CK_RV *)arg = strtoul(value, NULL, 0);
  return true;
}

/* A rule with or without a number of times. The line is kept: whoever waits for its end must know
   which one it is. */
static bool take_line(const char *line, const char *value, void *arg)
{
  unsigned long most = strtoul(value, NULL, 0);

  if (most != 0 && !spend(line, most))
    return false;
  memcpy(arg, line, strlen(line) + 1);
  return true;
}

static bool is_number(const char *line, const char *value, void *arg)
{
  (void)line;
  return strtoul(value, NULL, 0) == *(const unsigned long *)arg;
}

static bool is_line(const char *line, const char *value, void *arg)
{
  (void)value;
  return strcmp(line, arg) == 0;
}

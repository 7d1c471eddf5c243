/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pkcs11/exclusive.h"

#include "base/lock.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct p11s_exclusive {
  struct p11s_exclusive *next;
  char *name;
  unsigned inside;
  bool closed; /* somebody wants to be alone, or is */
};

/* Guards all gates. */
static struct p11s_mutex lock = P11S_MUTEX_INIT(P11S_RANK_ALONE);
static pthread_cond_t changed;
static struct p11s_exclusive *gates;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* Whoever was inside has not come along. */
static void empty_in_child(void)
{
  static const struct p11s_mutex fresh_lock = P11S_MUTEX_INIT(P11S_RANK_ALONE);

  lock = fresh_lock;
  p11s_cond_init(&changed);
  for (struct p11s_exclusive *g = gates; g != NULL; g = g->next) {
    g->inside = 0;
    g->closed = false;
  }
}

static void prepare(void)
{
  p11s_cond_init(&changed);
  (void)pthread_atfork(NULL, NULL, empty_in_child);
}

static struct p11s_exclusive *find_locked(const char *name)
{
  struct p11s_exclusive *g = gates;

  while (g != NULL && strcmp(g->name, name) != 0)
    g = g->next;
  return g;
}

static struct p11s_exclusive *make_locked(const char *name)
{
  struct p11s_exclusive *g = calloc(1, sizeof *g);

  if (g == NULL)
    return NULL;
  g->name = strdup(name);
  if (g->name == NULL) {
    free(g);
    return NULL;
  }
  g->next = gates;
  gates = g;
  return g;
}

struct p11s_exclusive *p11s_exclusive_get(const char *name)
{
  struct p11s_exclusive *g;

  (void)pthread_once(&once, prepare);
  p11s_lock(&lock);
  g = find_locked(name);
  if (g == NULL)
    g = make_locked(name);
  p11s_unlock(&lock);
  return g;
}

void p11s_exclusive_enter(struct p11s_exclusive *g)
{
  if (g == NULL)
    return;
  p11s_lock(&lock);
  while (g->closed)
    p11s_cond_wait(&changed, &lock);
  g->inside++;
  p11s_unlock(&lock);
}

void p11s_exclusive_leave(struct p11s_exclusive *g)
{
  if (g == NULL)
    return;
  p11s_lock(&lock);
  g->inside--;
  pthread_cond_broadcast(&changed);
  p11s_unlock(&lock);
}

enum p11s_exclusive_result p11s_exclusive_close(struct p11s_exclusive *g, uint64_t deadline_ms)
{
  enum p11s_exclusive_result result = P11S_EXCLUSIVE_ALONE;

  if (g == NULL)
    return P11S_EXCLUSIVE_BUSY;
  p11s_lock(&lock);
  if (g->closed) {
    /* Two who wait for each other to leave would both wait for ever. */
    g->inside--;
    pthread_cond_broadcast(&changed);
    while (g->closed)
      p11s_cond_wait(&changed, &lock);
    g->inside++;
    p11s_unlock(&lock);
    return P11S_EXCLUSIVE_AFTER;
  }
  g->closed = true;
  while (result == P11S_EXCLUSIVE_ALONE && g->inside > 1)
    if (!p11s_cond_wait_until(&changed, &lock, deadline_ms))
      result = P11S_EXCLUSIVE_BUSY;
  if (result == P11S_EXCLUSIVE_BUSY) {
    g->closed = false;
    pthread_cond_broadcast(&changed);
  }
  p11s_unlock(&lock);
  return result;
}

void p11s_exclusive_open(struct p11s_exclusive *g)
{
  p11s_lock(&lock);
  g->closed = false;
  pthread_cond_broadcast(&changed);
  p11s_unlock(&lock);
}

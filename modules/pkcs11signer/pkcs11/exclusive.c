/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pkcs11/exclusive.h"

#include "base/lock.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

struct p11s_exclusive {
  SLIST_ENTRY(p11s_exclusive) link;
  unsigned inside;
  bool closed; /* somebody wants to be alone, or is */
  char name[];
};

/* Guards all of them. */
static struct p11s_mutex lock = P11S_MUTEX_INIT(P11S_RANK_ALONE);
static pthread_cond_t changed;
static SLIST_HEAD(, p11s_exclusive) all = SLIST_HEAD_INITIALIZER(all);
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* Whoever was inside has not come along. */
static void empty_in_child(void)
{
  static const struct p11s_mutex fresh_lock = P11S_MUTEX_INIT(P11S_RANK_ALONE);

  lock = fresh_lock;
  p11s_cond_init(&changed);
  for (struct p11s_exclusive *x = SLIST_FIRST(&all); x != NULL; x = SLIST_NEXT(x, link)) {
    x->inside = 0;
    x->closed = false;
  }
}

static void prepare(void)
{
  p11s_cond_init(&changed);
  (void)pthread_atfork(NULL, NULL, empty_in_child);
}

static struct p11s_exclusive *new_locked(const char *name)
{
  struct p11s_exclusive *x = calloc(1, sizeof *x + strlen(name) + 1);

  if (x == NULL)
    return NULL;
  (void)memcpy(x->name, name, strlen(name) + 1);
  SLIST_INSERT_HEAD(&all, x, link);
  return x;
}

struct p11s_exclusive *p11s_exclusive_get(const char *name)
{
  struct p11s_exclusive *x;

  (void)pthread_once(&once, prepare);
  p11s_lock(&lock);
  x = SLIST_FIRST(&all);
  while (x != NULL && strcmp(x->name, name) != 0)
    x = SLIST_NEXT(x, link);
  if (x == NULL)
    x = new_locked(name);
  p11s_unlock(&lock);
  return x;
}

void p11s_exclusive_enter(struct p11s_exclusive *x)
{
  if (x == NULL)
    return;
  p11s_lock(&lock);
  while (x->closed)
    p11s_cond_wait(&changed, &lock);
  x->inside++;
  p11s_unlock(&lock);
}

void p11s_exclusive_leave(struct p11s_exclusive *x)
{
  if (x == NULL)
    return;
  p11s_lock(&lock);
  x->inside--;
  pthread_cond_broadcast(&changed);
  p11s_unlock(&lock);
}

enum p11s_exclusive_result p11s_exclusive_close(struct p11s_exclusive *x, uint64_t deadline_ms)
{
  enum p11s_exclusive_result result = P11S_EXCLUSIVE_ALONE;

  if (x == NULL)
    return P11S_EXCLUSIVE_BUSY;
  p11s_lock(&lock);
  if (x->closed) {
    /* Two who wait for each other to leave would both wait for ever. */
    x->inside--;
    pthread_cond_broadcast(&changed);
    while (x->closed)
      p11s_cond_wait(&changed, &lock);
    x->inside++;
    p11s_unlock(&lock);
    return P11S_EXCLUSIVE_AFTER;
  }
  x->closed = true;
  while (result == P11S_EXCLUSIVE_ALONE && x->inside > 1)
    if (!p11s_cond_wait_until(&changed, &lock, deadline_ms))
      result = P11S_EXCLUSIVE_BUSY;
  if (result == P11S_EXCLUSIVE_BUSY) {
    x->closed = false;
    pthread_cond_broadcast(&changed);
  }
  p11s_unlock(&lock);
  return result;
}

void p11s_exclusive_open(struct p11s_exclusive *x)
{
  p11s_lock(&lock);
  x->closed = false;
  pthread_cond_broadcast(&changed);
  p11s_unlock(&lock);
}

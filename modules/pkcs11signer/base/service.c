/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/service.h"

#include "base/thread.h"

void p11s_service_init(struct p11s_service *s)
{
  atomic_init(&s->stop, false);
  p11s_mutex_init(&s->lock, P11S_RANK_ALONE);
  p11s_cond_init(&s->changed);
  s->running = s->ended = s->joining = false;
}

static void *service_main(void *arg)
{
  struct p11s_service *s = arg;

  (void)pthread_setname_np(pthread_self(), s->name);
  s->run(s->arg);
  p11s_lock(&s->lock);
  s->ended = true;
  pthread_cond_broadcast(&s->changed);
  p11s_unlock(&s->lock);
  return NULL;
}

bool p11s_service_start(struct p11s_service *s, const char *name, void (*run)(void *arg), void *arg)
{
  bool running;

  s->name = name;
  s->run = run;
  s->arg = arg;
  p11s_lock(&s->lock);
  running = s->running = p11s_thread_start(&s->thread, service_main, s);
  p11s_unlock(&s->lock);
  return running;
}

/* One caller joins the thread; the others wait for that. */
static void join_locked(struct p11s_service *s)
{
  s->joining = true;
  p11s_unlock(&s->lock);
  (void)pthread_join(s->thread, NULL);
  p11s_lock(&s->lock);
  s->running = false;
  pthread_cond_broadcast(&s->changed);
}

bool p11s_service_stop(struct p11s_service *s, uint64_t deadline_ms)
{
  bool gone;

  atomic_store(&s->stop, true);
  if (!p11s_mutex_lock_until(&s->lock, deadline_ms))
    return false;
  pthread_cond_broadcast(&s->changed);
  while (s->running && (!s->ended || s->joining) &&
         p11s_cond_wait_until(&s->changed, &s->lock, deadline_ms))
    ;
  if (s->running && s->ended && !s->joining)
    join_locked(s);
  gone = !s->running;
  p11s_unlock(&s->lock);
  return gone;
}

void p11s_service_destroy(struct p11s_service *s)
{
  pthread_cond_destroy(&s->changed);
  p11s_mutex_destroy(&s->lock);
}

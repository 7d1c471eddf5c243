/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/lock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* -- ranks */

#ifdef P11S_CHECK_LOCKS
static _Thread_local unsigned held; /* a bit for each rank */

static void check_order(const struct p11s_mutex *mutex)
{
  unsigned worse = mutex->rank == P11S_RANK_ALONE ? held : held >> mutex->rank;

  if (worse == 0)
    return;
  (void)fprintf(stderr, "lock order: rank %d is taken with ranks %#x held\n", (int)mutex->rank,
                held);
  abort();
}

static void note_taken(const struct p11s_mutex *mutex)
{
  held |= 1u << mutex->rank;
}

static void note_given(const struct p11s_mutex *mutex)
{
  held &= ~(1u << mutex->rank);
}
#else
#define check_order(mutex) ((void)0)
#define note_taken(mutex) ((void)0)
#define note_given(mutex) ((void)0)
#endif

void p11s_mutex_init(struct p11s_mutex *mutex, enum p11s_rank rank)
{
  pthread_mutex_init(&mutex->mutex, NULL);
  mutex->rank = rank;
}

void p11s_mutex_destroy(struct p11s_mutex *mutex)
{
  pthread_mutex_destroy(&mutex->mutex);
}

void p11s_lock(struct p11s_mutex *mutex)
{
  check_order(mutex);
  pthread_mutex_lock(&mutex->mutex);
  note_taken(mutex);
}

void p11s_unlock(struct p11s_mutex *mutex)
{
  note_given(mutex);
  pthread_mutex_unlock(&mutex->mutex);
}

bool p11s_trylock(struct p11s_mutex *mutex)
{
  if (pthread_mutex_trylock(&mutex->mutex) != 0)
    return false;
  note_taken(mutex);
  return true;
}

/* -- time */

uint64_t p11s_now_us(void)
{
  struct timespec now;

  /* cannot fail: the clock exists on every Linux and the address is good */
  (void)clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

uint64_t p11s_now_ms(void)
{
  return p11s_now_us() / 1000;
}

void p11s_pause(unsigned ms)
{
  const struct timespec time = {ms / 1000, (long)(ms % 1000) * 1000000};

  (void)nanosleep(&time, NULL);
}

void p11s_cond_init(pthread_cond_t *cond)
{
  pthread_condattr_t attr;

  (void)pthread_condattr_init(&attr);
  (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
  (void)pthread_cond_init(cond, &attr);
  (void)pthread_condattr_destroy(&attr);
}

bool p11s_cond_wait_until(pthread_cond_t *cond, struct p11s_mutex *mutex, uint64_t deadline_ms)
{
  struct timespec until;
  bool in_time;

  until.tv_sec = (time_t)(deadline_ms / 1000);
  until.tv_nsec = (long)(deadline_ms % 1000) * 1000000;
  /* Names the clock once more: libfaketime, for the tests, knows better than the attribute. */
  note_given(mutex);
  in_time = pthread_cond_clockwait(cond, &mutex->mutex, CLOCK_MONOTONIC, &until) != ETIMEDOUT;
  note_taken(mutex);
  return in_time;
}

void p11s_cond_wait(pthread_cond_t *cond, struct p11s_mutex *mutex)
{
  note_given(mutex);
  (void)pthread_cond_wait(cond, &mutex->mutex);
  note_taken(mutex);
}

/* Not pthread_mutex_clocklock(): ThreadSanitizer does not know it. */
bool p11s_mutex_lock_until(struct p11s_mutex *mutex, uint64_t deadline_ms)
{
  while (!p11s_trylock(mutex)) {
    if (p11s_now_ms() >= deadline_ms)
      return false;
    p11s_pause(1);
  }
  return true;
}

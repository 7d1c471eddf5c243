/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/lock.h"

#include <errno.h>
#include <time.h>

static struct timespec now_exactly(void)
{
  struct timespec now;

  /* cannot fail: the clock exists on every Linux and the address is good */
  (void)clock_gettime(CLOCK_MONOTONIC, &now);
  return now;
}

uint64_t p11s_now_ms(void)
{
  struct timespec now = now_exactly();

  return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint64_t p11s_now_us(void)
{
  struct timespec now = now_exactly();

  return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

void p11s_cond_init(pthread_cond_t *cond)
{
  pthread_condattr_t attr;

  (void)pthread_condattr_init(&attr);
  (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
  (void)pthread_cond_init(cond, &attr);
  (void)pthread_condattr_destroy(&attr);
}

bool p11s_cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t deadline_ms)
{
  struct timespec until;

  until.tv_sec = (time_t)(deadline_ms / 1000);
  until.tv_nsec = (long)(deadline_ms % 1000) * 1000000;
  /* Names the clock once more: libfaketime, for the tests, knows better than the attribute. */
  return pthread_cond_clockwait(cond, mutex, CLOCK_MONOTONIC, &until) != ETIMEDOUT;
}

/* Not pthread_mutex_clocklock(): ThreadSanitizer does not know it. */
bool p11s_mutex_lock_until(pthread_mutex_t *mutex, uint64_t deadline_ms)
{
  static const struct timespec pause = {0, 1000000};

  while (pthread_mutex_trylock(mutex) != 0) {
    if (p11s_now_ms() >= deadline_ms)
      return false;
    (void)nanosleep(&pause, NULL);
  }
  return true;
}

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * LD_PRELOAD: CLOCK_MONOTONIC is ahead by the milliseconds in the file that P11S_HURRY_FILE names,
 * a 64-bit number that a test makes larger meanwhile. A thread that waits by that clock is woken
 * often, as if by chance, which POSIX allows: it looks at the clock again. Other waits take as long
 * as ever.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define VISIBLE __attribute__((visibility("default")))
#define SECOND_NS 1000000000L
#define LOOK_AGAIN_NS 20000000L

static const volatile int64_t *more_ms;

__attribute__((constructor)) static void begin(void)
{
  const char *path = getenv("P11S_HURRY_FILE");
  int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  void *found;

  if (fd < 0)
    return;
  found = mmap(NULL, sizeof *more_ms, PROT_READ, MAP_SHARED, fd, 0);
  if (found != MAP_FAILED)
    more_ms = found;
  close(fd);
}

static struct timespec plus(struct timespec t, int64_t ms)
{
  int64_t ns = t.tv_nsec + ms % 1000 * 1000000;

  t.tv_sec += (time_t)(ms / 1000);
  if (ns >= SECOND_NS || ns < 0) {
    t.tv_sec += ns < 0 ? -1 : 1;
    ns += ns < 0 ? SECOND_NS : -SECOND_NS;
  }
  t.tv_nsec = (long)ns;
  return t;
}

VISIBLE int clock_gettime(clockid_t clock, struct timespec *ret)
{
  static int (*next)(clockid_t, struct timespec *);
  int result;

  if (next == NULL) {
    void *found = dlsym(RTLD_NEXT, "clock_gettime");

    memcpy(&next, &found, sizeof next);
  }
  result = next(clock, ret);
  if (result == 0 && clock == CLOCK_MONOTONIC && more_ms != NULL)
    *ret = plus(*ret, *more_ms);
  return result;
}

VISIBLE int pthread_cond_clockwait(pthread_cond_t *cond, pthread_mutex_t *mutex, clockid_t clock,
                                   const struct timespec *until)
{
  static int (*next)(pthread_cond_t *, pthread_mutex_t *, clockid_t, const struct timespec *);
  struct timespec now, look;
  int64_t more;
  int result;

  if (next == NULL) {
    void *found = dlsym(RTLD_NEXT, "pthread_cond_clockwait");

    memcpy(&next, &found, sizeof next);
  }
  if (clock != CLOCK_MONOTONIC || more_ms == NULL)
    return next(cond, mutex, clock, until);
  (void)clock_gettime(CLOCK_MONOTONIC, &now);
  more = *more_ms;
  look = plus(now, LOOK_AGAIN_NS / 1000000);
  if (until->tv_sec < look.tv_sec ||
      (until->tv_sec == look.tv_sec && until->tv_nsec <= look.tv_nsec))
    look = *until;
  look = plus(look, -more);
  result = next(cond, mutex, clock, &look);
  if (result != ETIMEDOUT)
    return result;
  (void)clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec > until->tv_sec ||
                 (now.tv_sec == until->tv_sec && now.tv_nsec >= until->tv_nsec)
             ? ETIMEDOUT
             : 0;
}

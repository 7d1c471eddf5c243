/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * LD_PRELOAD: the machine has been up for longer than it has, by the seconds in the file that
 * P11S_UPTIME_FILE names. CLOCK_BOOTTIME alone, by which nobody waits.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static long more(void)
{
  const char *path = getenv("P11S_UPTIME_FILE");
  FILE *in = path ? fopen(path, "re") : NULL;
  long seconds = 0;

  if (in == NULL)
    return 0;
  if (fscanf(in, "%ld", &seconds) != 1)
    seconds = 0;
  fclose(in);
  return seconds;
}

__attribute__((visibility("default"))) int clock_gettime(clockid_t clock, struct timespec *ret)
{
  static int (*next)(clockid_t, struct timespec *);

  if (clock == CLOCK_BOOTTIME) {
    int result = (int)syscall(SYS_clock_gettime, clock, ret);

    ret->tv_sec += more();
    return result;
  }
  if (next == NULL) {
    void *found = dlsym(RTLD_NEXT, "clock_gettime");

    memcpy(&next, &found, sizeof next);
  }
  return next(clock, ret);
}

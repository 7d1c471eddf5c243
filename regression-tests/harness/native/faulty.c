/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * LD_PRELOAD: what a sanitizer has to find, in any program that it is loaded into. Built with the
 * sanitizer whose turn it is.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static volatile int shared;

static void *count(void *arg)
{
  for (int i = 0; i < 1000; i++)
    shared++;
  return arg;
}

/* Two threads, and no lock. */
static void race(void)
{
  pthread_t thread;

  if (pthread_create(&thread, NULL, count, NULL) != 0)
    abort();
  (void)count(NULL);
  (void)pthread_join(thread, NULL);
}

/* One byte behind the end. */
static void read_beyond(void)
{
  volatile char *few = malloc(8);

  if (few == NULL)
    abort();
  shared += few[8 + shared];
  free((void *)few);
}

static void overflow(void)
{
  volatile int most = 0x7fffffff;

  shared = most + 1;
}

__attribute__((constructor)) static void go_wrong(void)
{
#if FAULT == 1
  read_beyond();
#elif FAULT == 2
  overflow();
#else
  race();
#endif
  (void)fprintf(stderr, "gone wrong\n");
}

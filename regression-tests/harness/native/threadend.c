/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * LD_PRELOAD: makes a rare race certain. Threads named p11s/… take a while longer to
 * end after their function has returned. A process in which one of them is still ending
 * when the exit handlers run, which take down OpenSSL and the PKCS#11 library, ends with
 * status 99.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TAKES_MS 100

struct start {
  void *(*function)(void *);
  void *argument;
};

static atomic_int ending;

static void *run(void *data)
{
  static const struct timespec while_longer = {0, TAKES_MS * 1000000L};
  struct start start = *(struct start *)data;
  char name[32] = "";
  void *result;

  free(data);
  result = start.function(start.argument);
  pthread_getname_np(pthread_self(), name, sizeof(name));
  if (strncmp(name, "p11s/", 5) == 0) {
    atomic_fetch_add(&ending, 1);
    nanosleep(&while_longer, NULL);
    atomic_fetch_sub(&ending, 1);
  }
  return result;
}

__attribute__((visibility("default"))) int pthread_create(pthread_t *thread,
                                                          const pthread_attr_t *attr,
                                                          void *(*function)(void *), void *argument)
{
  int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
  struct start *start = malloc(sizeof(*start));

  *(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
  start->function = function;
  start->argument = argument;
  return real(thread, attr, run, start);
}

/* Registered first, so it runs after the handlers of everybody else. */
static void look(void)
{
  static const char found[] = "a thread of the module outlived the exit handlers\n";

  if (atomic_load(&ending) > 0) {
    (void)!write(STDERR_FILENO, found, sizeof(found) - 1);
    _exit(99);
  }
}

__attribute__((constructor)) static void prepare(void)
{
  atexit(look);
}

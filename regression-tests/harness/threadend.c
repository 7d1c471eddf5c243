/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * LD_PRELOAD: makes a rare race certain. A thread named p11s/… whose function returns
 * while OpenSSL keeps data for it would free that data while it ends, which may be while
 * exit() frees it too. A process in which that happened says so and ends with status 99.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KEYS 1024 /* PTHREAD_KEYS_MAX */
#define EXPORT __attribute__((visibility("default")))

struct start {
  void *(*function)(void *);
  void *argument;
};

/* For each key, whether libcrypto has a destructor for it. */
static atomic_bool of_openssl[KEYS];
static atomic_bool found;

EXPORT int pthread_key_create(pthread_key_t *key, void (*destructor)(void *))
{
  int (*real)(pthread_key_t *, void (*)(void *));
  Dl_info owner = {0};
  int result;

  *(void **)&real = dlsym(RTLD_NEXT, "pthread_key_create");
  result = real(key, destructor);
  if (result == 0 && destructor && *key < KEYS && dladdr(*(void **)&destructor, &owner))
    of_openssl[*key] = owner.dli_fname && strstr(owner.dli_fname, "libcrypto") != NULL;
  return result;
}

static void *run(void *data)
{
  struct start start = *(struct start *)data;
  char name[32] = "";
  void *result;

  free(data);
  result = start.function(start.argument);
  pthread_getname_np(pthread_self(), name, sizeof(name));
  for (pthread_key_t key = 0; strncmp(name, "p11s/", 5) == 0 && key < KEYS; key++)
    if (of_openssl[key] && pthread_getspecific(key))
      found = true;
  return result;
}

EXPORT int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*function)(void *),
                          void *argument)
{
  int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
  struct start *start = malloc(sizeof(*start));

  *(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
  start->function = function;
  start->argument = argument;
  return real(thread, attr, run, start);
}

static void judge(void)
{
  static const char text[] = "a thread of the module ended with OpenSSL's data\n";

  if (!found)
    return;
  (void)!write(STDERR_FILENO, text, sizeof(text) - 1);
  _exit(99);
}

__attribute__((constructor)) static void prepare(void)
{
  atexit(judge);
}

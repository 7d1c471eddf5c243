/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/fork.h"

#include <pthread.h>
#include <stdatomic.h>

static atomic_uint generation;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void in_child(void)
{
  atomic_fetch_add(&generation, 1);
}

static void watch(void)
{
  (void)pthread_atfork(NULL, NULL, in_child);
}

unsigned p11s_fork_generation(void)
{
  (void)pthread_once(&once, watch);
  return atomic_load(&generation);
}

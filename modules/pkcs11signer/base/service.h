/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/lock.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * A service: a thread that works until it is told to stop, with a lock and a condition variable
 * that its owner uses too. The lock's rank is P11S_RANK_ALONE.
 *
 * run() returns soon after `stop` is set. It checks `stop` before each wait on `changed`.
 */
struct p11s_service {
  const char *name; /* of the thread; immutable, as are the next two; static */
  void (*run)(void *arg);
  void *arg;
  atomic_bool stop;
  struct p11s_mutex lock; /* guards the rest, and what the owner puts under it */
  pthread_cond_t changed; /* to stop, the thread has ended, or what the owner broadcasts */
  pthread_t thread;
  bool running; /* was started, and not joined */
  bool ended;   /* run() has returned */
  bool joining; /* somebody joins it */
};

void p11s_service_init(struct p11s_service *service);
/* Once. false: as with p11s_thread_start(). */
bool p11s_service_start(struct p11s_service *service, const char *name, void (*run)(void *arg),
                        void *arg);
/* Sets `stop`, and waits for the thread until deadline_ms. true: there is none, or none any more,
   whichever caller has joined it. May be called again, and by several threads. */
bool p11s_service_stop(struct p11s_service *service, uint64_t deadline_ms);
/* There is no thread any more. */
void p11s_service_destroy(struct p11s_service *service);

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/thread.h"

#include <signal.h>

bool p11s_thread_start(pthread_t *ret, void *(*run)(void *), void *arg)
{
  sigset_t all, before;
  pthread_t thread;
  bool started;

  sigfillset(&all);
  (void)pthread_sigmask(SIG_SETMASK, &all, &before);
  started = pthread_create(&thread, NULL, run, arg) == 0;
  (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (started)
    *ret = thread;
  return started;
}

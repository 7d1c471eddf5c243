// SPDX-License-Identifier: GPL-2.0-or-later
#include "shim/ending.hh"

#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

extern "C" {
#include "base/thread.h"
}

namespace pkcs11signer {
namespace {
int s_pipe[2] = {-1, -1}; // from the handler to the thread
pid_t s_process = 0;
void (*s_stop)() = nullptr;

// In a child of fork() that has not become another program yet, it ends the child.
void note(int signal)
{
  const int error = errno;
  const auto byte = static_cast<unsigned char>(signal);
  if (getpid() != s_process || write(s_pipe[1], &byte, 1) != 1) {
    (void)raise(signal);
  }
  errno = error;
}

void *waitForEnd(void * /* unused */)
{
  unsigned char signal = 0;
  (void)pthread_setname_np(pthread_self(), "p11s/end");
  while (read(s_pipe[0], &signal, 1) != 1) {
  }
  s_stop();
  (void)kill(getpid(), signal);
  return nullptr;
}

void handle(int signal)
{
  struct sigaction action {};
  if (sigaction(signal, nullptr, &action) != 0 || (action.sa_flags & SA_SIGINFO) != 0 ||
      action.sa_handler != SIG_DFL) {
    return;
  }
  action.sa_handler = note;
  action.sa_flags = SA_RESTART | static_cast<int>(SA_RESETHAND);
  (void)sigaction(signal, &action, nullptr);
}
} // namespace

void endInOrder(void (*stop)())
{
  pthread_t thread{};
  s_stop = stop;
  s_process = getpid();
  if (pipe2(s_pipe, O_CLOEXEC) == 0 && p11s_thread_start(&thread, waitForEnd, nullptr)) {
    (void)pthread_detach(thread);
    handle(SIGTERM);
    handle(SIGINT);
  }
}
} // namespace pkcs11signer

// SPDX-License-Identifier: GPL-2.0-or-later
#include "shim/patience.hh"

#include "shim/metrics.hh"
#include "shim/signer.hh"

#include <cstring>
#include <pthread.h>
#include <sys/resource.h>

extern "C" {
#include "signer/signer.h"
}

namespace pkcs11signer {
namespace {
// What this thread is at.
struct Thread {
  bool hasQuery = false;
  uint64_t deadline_ms = 0;
  uint64_t waited_ms = 0; // for that query
  long slept = 0;         // how often it had when it last asked for a signature
};
thread_local Thread s_thread;

// UDP queries are answered on threads of these two names, and must not wait as long as others.
bool isQueryThread()
{
  char name[16] = "";
  (void)pthread_getname_np(pthread_self(), name, sizeof name);
  return strcmp(name, "pdns/distributo") == 0 || strcmp(name, "pdns/receiver") == 0;
}

long slept()
{
  struct rusage usage {};
  (void)getrusage(RUSAGE_THREAD, &usage);
  return usage.ru_nvcsw;
}
} // namespace

Patience::Patience() : d_begun_ms(p11s_now_ms())
{
  thread_local const bool s_answersQueries = isQueryThread();
  if (!s_answersQueries) {
    d_wait = {p11s_signer_admin_deadline(signer()), false, 0, false};
    return;
  }
  if (s_thread.slept != slept()) {
    s_thread.hasQuery = false;
  }
  if (!s_thread.hasQuery) {
    s_thread.hasQuery = true;
    s_thread.deadline_ms = p11s_signer_query_deadline(signer());
    s_thread.waited_ms = 0;
  }
  d_wait = {s_thread.deadline_ms, true, s_thread.waited_ms, questionsWaiting() > 0};
}

Patience::~Patience()
{
  s_thread.waited_ms += p11s_now_ms() - d_begun_ms;
  s_thread.slept = slept();
}

void Patience::endQuery()
{
  s_thread.hasQuery = false;
}
} // namespace pkcs11signer

// SPDX-License-Identifier: GPL-2.0-or-later
#include "shim/signer.hh"

#include "shim/ending.hh"
#include "shim/logsink.hh"
#include "shim/pdns-compat.hh"
#include "shim/settings.hh"

#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <mutex>
#include <unistd.h>

extern "C" {
#include "base/fork.h"
#include "base/lock.h"
#include "base/owner.h"
#include "base/paste.h"
#include "pkcs11/module.h"
}

namespace pkcs11signer {
namespace {
std::mutex s_lock; // guards the two below
p11s_signer *s_signer = nullptr;
unsigned s_generation = 0;

p11s_signer *makeSigner()
{
  const Settings settings;
  const char *stateDir = settings.config.state_dir;
  p11s_error error{};
  p11s_signer *made = nullptr;

  installLogSink();
  p11s_paste_set_configuration(::arg()["config-dir"].c_str(), ::arg()["config-name"].c_str());
  if (!compat::isServer() && !p11s_owner_set(stateDir)) {
    const std::string why = stringerror();
    g_log << Logger::Warning << "[pkcs11signer] root may not work as the owner of " << stateDir
          << ": " << why << "; keys made here may be closed to the server" << endl;
  }
  if (p11s_signer_new(&settings.config, &made, &error) != P11S_OK) {
    throw PDNSException(std::string(ModuleName) + ": " + error.text);
  }
  return made;
}

// Destructors of a PKCS#11 library must not run under a worker that is inside it. A server's
// threads are all still running, and PowerDNS crashes when one of them answers a query meanwhile,
// or asks OpenSSL for something: so nothing is destroyed there.
bool stopOnce()
{
  static std::once_flag s_once;
  static bool s_back = true;

  std::call_once(s_once, [] { s_back = p11s_signer_stop(s_signer, p11s_now_ms() + 1500); });
  return s_back;
}

void stopAtExit(int status, void * /* unused */)
{
  if (s_signer == nullptr || s_generation != p11s_fork_generation()) {
    return;
  }
  const bool back = stopOnce();
  if (compat::isServer() || !back) { // or pdnsutil with a thread inside a library
    std::cout << std::flush;
    (void)fflush(nullptr);
    _exit(status);
  }
}

// The youngest exit handler runs first, and a library's destructors are one.
void stopBeforeLibraries()
{
  (void)on_exit(stopAtExit, nullptr);
}
} // namespace

p11s_signer *signer()
{
  const unsigned generation = p11s_fork_generation();
  std::unique_lock<std::mutex> guard(s_lock);
  if (s_signer != nullptr && s_generation == generation) {
    return s_signer;
  }
  const bool first = s_signer == nullptr;
  s_signer = makeSigner();
  s_generation = generation;
  if (first) {
    p11s_module_on_load(stopBeforeLibraries);
    (void)on_exit(stopAtExit, nullptr);
    if (compat::isServer()) {
      endInOrder([] { (void)stopOnce(); });
    }
  }
  p11s_signer *made = s_signer;
  guard.unlock();
  // Before the first query; pdnsutil opens it when it comes to need it.
  if (compat::isServer()) {
    p11s_signer_open_store(made, p11s_now_ms() + 2000);
  }
  return made;
}
} // namespace pkcs11signer

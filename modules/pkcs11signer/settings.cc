// SPDX-License-Identifier: GPL-2.0-or-later
#include "settings.hh"

#include "logsink.hh"
#include "pdns-compat.hh"

#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <mutex>
#include <unistd.h>

extern "C" {
#include "forkgen.h"
#include "lock.h"
#include "p11mod.h"
}

namespace pkcs11signer {
namespace {
std::mutex s_lock; // guards the two below
p11s_signer *s_signer = nullptr;
unsigned s_generation = 0;

unsigned number(const std::string &name, int least, int most)
{
  const std::string full = std::string(ModuleName) + "-" + name;
  const std::string &text = ::arg()[full];
  char *end = nullptr;
  const long value = strtol(text.c_str(), &end, 10);
  if (text.empty() || *end != '\0' || value < least || value > most) {
    throw PDNSException("setting " + full + "=" + text + " is not a number from " +
                        std::to_string(least) + " to " + std::to_string(most));
  }
  return static_cast<unsigned>(value);
}

bool flag(const std::string &name)
{
  const std::string full = std::string(ModuleName) + "-" + name;
  const std::string &text = ::arg()[full];
  if (text != "yes" && text != "no") {
    throw PDNSException("setting " + full + "=" + text + " is neither yes nor no");
  }
  return text == "yes";
}

// Threads that take queries as they get free. Distributor threads are dealt them in turn, so that
// one that waits keeps others' queries waiting however many are free: those are not counted.
unsigned freeQueryThreads()
{
  const auto setting = [](const char *name) {
    return ::arg().parmIsset(name) ? ::arg().asNum(name) : 0;
  };
  const int receivers = setting("receiver-threads");
  return receivers > 0 && setting("distributor-threads") <= 1 ? static_cast<unsigned>(receivers)
                                                              : 0;
}

p11s_signer *makeSigner()
{
  const std::string source = ::arg()[std::string(ModuleName) + "-pin-source"];
  const std::string stateDir = ::arg()[std::string(ModuleName) + "-state-dir"];
  p11s_config config{};
  p11s_error error{};
  p11s_signer *made = nullptr;

  config.pin_source = source.c_str();
  config.sessions = number("sessions", 1, 64);
  config.timeout_ms = number("timeout", 10, 60000);
  config.transfer_timeout_ms = number("transfer-timeout", 10, 3600000);
  config.verify = flag("verify");
  config.store_pins = flag("store-pins");
  config.report = getPDNSVersion != nullptr; // a server, not pdnsutil
  config.query_threads = freeQueryThreads();
  config.state_dir = stateDir.c_str();
  installLogSink();
  if (p11s_signer_new(&config, &made, &error) != P11S_OK) {
    throw PDNSException(std::string(ModuleName) + ": " + error.text);
  }
  return made;
}

// Destructors of a PKCS#11 library must not run under a worker that is inside it. A server's
// threads are all still running, and PowerDNS crashes when one of them answers a query meanwhile,
// or asks OpenSSL for something: so nothing is destroyed there.
void stopAtExit(int status, void * /* unused */)
{
  static bool done = false;

  if (s_signer == nullptr || s_generation != p11s_fork_generation()) {
    return;
  }
  if (!done) {
    done = true;
    (void)p11s_signer_stop(s_signer, p11s_now_ms() + 1500);
  }
  if (getPDNSVersion != nullptr) { // a server, not pdnsutil
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
  const std::lock_guard<std::mutex> guard(s_lock);
  const unsigned generation = p11s_fork_generation();
  if (s_signer == nullptr || s_generation != generation) {
    const bool first = s_signer == nullptr;
    s_signer = makeSigner();
    s_generation = generation;
    if (first) {
      p11s_p11mod_on_load(stopBeforeLibraries);
      (void)on_exit(stopAtExit, nullptr);
    }
  }
  return s_signer;
}
} // namespace pkcs11signer

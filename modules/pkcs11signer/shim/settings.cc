// SPDX-License-Identifier: GPL-2.0-or-later
#include "shim/settings.hh"

#include "shim/ending.hh"
#include "shim/host.hh"
#include "shim/logsink.hh"
#include "shim/pdns-compat.hh"
#include "shim/served_zone.hh"

#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <mutex>
#include <unistd.h>

extern "C" {
#include "base/fork.h"
#include "base/lock.h"
#include "base/owner.h"
#include "pkcs11/module.h"
#include "store/fleet/fleet.h"
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

const std::string &text(const char *name)
{
  return ::arg()[std::string(ModuleName) + "-" + name];
}

enum class Store { None, Lmdb, Mysql };

Store whichStore()
{
  const std::string full = std::string(ModuleName) + "-store";
  const std::string &value = ::arg()[full];
  if (value == "none") {
    return Store::None;
  }
  if (value == "lmdb") {
    return Store::Lmdb;
  }
  if (value != "mysql") {
    throw PDNSException("setting " + full + "=" + value + " is none of lmdb, mysql and none");
  }
  if (!p11s_fleet_is_built()) {
    throw PDNSException("setting " + full +
                        "=mysql is not in this build, which has no MySQL client library; lmdb and "
                        "none are");
  }
  return Store::Mysql;
}

// The fleet's store; borrows the settings. The password is the caller's.
p11s_fleet_config mysqlConfig()
{
  p11s_fleet_config config{};
  const std::string &password = text("mysql-password");

  if (!password.empty() && !text("mysql-password-file").empty()) {
    throw PDNSException("settings " + std::string(ModuleName) + "-mysql-password and " +
                        ModuleName + "-mysql-password-file: only one of them may be set");
  }
  config.host = text("mysql-host").c_str();
  config.socket = text("mysql-socket").c_str();
  config.port = number("mysql-port", 0, 65535);
  config.user = text("mysql-user").c_str();
  config.password_file = text("mysql-password-file").c_str();
  config.dbname = text("mysql-dbname").c_str();
  config.timeout_ms = number("mysql-timeout", 1, 10000);
  config.most_rows = number("mysql-signatures", 1000, 1000000000);
  if (!password.empty()) {
    config.password = p11s_secret_new(password.data(), password.size());
  }
  return config;
}

unsigned threads(const char *setting)
{
  const int count = ::arg().parmIsset(setting) ? ::arg().asNum(setting) : 0;
  return count > 0 ? static_cast<unsigned>(count) : 0;
}

p11s_signer *makeSigner()
{
  const std::string source = ::arg()[std::string(ModuleName) + "-pin-source"];
  const std::string stateDir = ::arg()[std::string(ModuleName) + "-state-dir"];
  const std::string answers = answerSettings();
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
  // Each receiver thread has distributor threads of its own, or one answers for itself.
  const unsigned dealt = threads("distributor-threads");
  config.query_threads = threads("receiver-threads") * (dealt > 1 ? dealt : 1);
  config.query_dealt = dealt > 1;
  config.state_dir = stateDir.c_str();
  const Store store = whichStore();
  config.store = store != Store::None;
  config.store_mib = number("store-size", 4, 65536);
  p11s_fleet_config fleet{};
  if (store == Store::Mysql) {
    fleet = mysqlConfig();
    config.fleet = &fleet;
  }
  config.ahead = getPDNSVersion != nullptr;
  config.ahead_weeks = number("sign-ahead", 0, 8);
  config.ahead_rate = number("ahead-rate", 0, 100000);
  config.prepare = getPDNSVersion != nullptr && flag("prepare");
  config.expiry_extension = compat::expiryExtension();
  config.host_settings = answers.c_str();
  config.hosts = hostSource();
  installLogSink();
  if (getPDNSVersion == nullptr && !p11s_owner_set(stateDir.c_str())) { // pdnsutil
    const std::string why = stringerror();
    g_log << Logger::Warning << "[pkcs11signer] root may not work as the owner of " << stateDir
          << ": " << why << "; keys made here may be closed to the server" << endl;
  }
  const p11s_err result = p11s_signer_new(&config, &made, &error);
  p11s_secret_release(fleet.password);
  if (result != P11S_OK) {
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
  if (getPDNSVersion != nullptr || !back) { // a server, or pdnsutil with a thread inside a library
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

std::vector<std::string> launched()
{
  std::vector<std::string> names;
  stringtok(names, ::arg()["launch"], ", ");
  return names;
}

p11s_signer *signer()
{
  const unsigned generation = p11s_fork_generation();
  std::unique_lock<std::mutex> guard(s_lock);
  if (s_signer == nullptr || s_generation != generation) {
    const bool first = s_signer == nullptr;
    s_signer = makeSigner();
    s_generation = generation;
    if (first) {
      p11s_module_on_load(stopBeforeLibraries);
      (void)on_exit(stopAtExit, nullptr);
      if (getPDNSVersion != nullptr) {
        endInOrder([] { (void)stopOnce(); });
      }
    }
    p11s_signer *made = s_signer;
    guard.unlock();
    // Before the first query; pdnsutil opens it when it comes to need it.
    if (getPDNSVersion != nullptr) {
      p11s_signer_open_store(made, p11s_now_ms() + 2000);
    }
    return made;
  }
  return s_signer;
}
} // namespace pkcs11signer

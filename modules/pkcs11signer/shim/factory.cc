// SPDX-License-Identifier: GPL-2.0-or-later
#include "pkcs11signer-config.h"

#include "shim/backend.hh"
#include "shim/settings.hh"
#include "shim/threads.hh"

namespace pkcs11signer {
namespace {
// Why the way we were launched will not do; empty when it will.
std::string objection(const std::string &suffix)
{
  if (!suffix.empty()) {
    return "pkcs11signer cannot be launched under a name of its own ('" + suffix + "')";
  }
  const vector<string> parts = launched();
  if (parts.empty() || parts.front() != ModuleName) {
    return "pkcs11signer must be the first backend launched; write "
           "launch=pkcs11signer,gsqlite3 or the like";
  }
  if (parts.size() < 2) {
    return "pkcs11signer holds no zones, so a backend that does must be launched behind it; write "
           "launch=pkcs11signer,gsqlite3 or the like";
  }
  return {};
}

class Factory : public BackendFactory {
public:
  Factory() : BackendFactory(ModuleName) {}

  void declareArguments(const string &suffix) override
  {
    const std::string why = objection(suffix);
    if (!why.empty()) {
      throw ArgException(why);
    }
    for (const auto &setting : declarations()) {
      declare(suffix, setting.name, setting.help, setting.initial);
    }
    declareAnswerSettings();
    chooseThreads();
  }

  DNSBackend *make(const string &suffix) override { return new Backend(suffix); }
};
} // namespace
} // namespace pkcs11signer

// Called once by shim/version_gate.cc, in the PowerDNS that this was built for.
extern "C" __attribute__((visibility("default"))) void p11s_shim_start();
extern "C" void p11s_shim_start()
{
  using namespace pkcs11signer;
  compat::report(new Factory);
  g_log << Logger::Info << "[pkcs11signer] version " PACKAGE_VERSION
        << " for PowerDNS " P11S_PDNS_VERSION << endl;
}

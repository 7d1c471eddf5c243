// SPDX-License-Identifier: GPL-2.0-or-later
#include "pkcs11signer-config.h"

#include "backend.hh"
#include "settings.hh"

namespace pkcs11signer {
namespace {
// Why this PowerDNS, or the way we were launched in it, will not do; empty when it will.
std::string objection(const std::string &suffix)
{
  if (getPDNSVersion != nullptr && getPDNSVersion() != P11S_PDNS_VERSION) {
    return "this module was built for PowerDNS " P11S_PDNS_VERSION " and cannot run in " +
           getPDNSVersion() + "; build it for this version";
  }
  if (!suffix.empty()) {
    return "pkcs11signer cannot be launched under a name of its own ('" + suffix + "')";
  }
  vector<string> parts;
  stringtok(parts, ::arg()["launch"], ", ");
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
    declare(suffix, "pin-source",
            "PIN source for references that hold no PIN: file:PATH, env:NAME "
            "or credential:NAME; %t is the token's label",
            "");
    declare(suffix, "store-pins", "whether a PIN given to 'assign' may be stored in the database",
            "yes");
    declare(suffix, "sessions", "most sessions, and threads, per token", "8");
    declare(suffix, "timeout", "longest wait of a query for a signature, in milliseconds", "2000");
    declare(suffix, "transfer-timeout", "the same for TCP, transfers and pdnsutil", "30000");
    declare(suffix, "verify", "whether to verify each fresh signature in software", "yes");
    declare(suffix, "state-dir", "directory for what must outlive the process", P11S_STATE_DIR);
  }

  DNSBackend *make(const string &suffix) override { return new Backend(suffix); }
};

// Runs when PowerDNS loads the shared object.
struct Loader {
  Loader()
  {
    compat::report(new Factory);
    g_log << Logger::Info << "[pkcs11signer] version " PACKAGE_VERSION
          << " for PowerDNS " P11S_PDNS_VERSION << endl;
  }
} s_loader;
} // namespace
} // namespace pkcs11signer

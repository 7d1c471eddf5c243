// SPDX-License-Identifier: GPL-2.0-or-later
#include "pkcs11signer-config.h"

#include "shim/backend.hh"
#include "shim/served_zone.hh"
#include "shim/settings.hh"

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
    declare(suffix, "pin-source",
            "PIN source for references that hold no PIN: file:PATH, env:NAME "
            "or credential:NAME; %t is the token's label",
            "");
    declare(suffix, "store-pins", "whether a PIN given to 'assign' may be stored in the database",
            "yes");
    declare(suffix, "sessions", "most sessions, and threads, per token", "8");
    declare(suffix, "timeout", "longest wait of a query for a signature, in milliseconds", "2000");
    declare(suffix, "transfer-timeout", "the same for TCP, transfers and pdnsutil", "30000");
    declare(suffix, "prepare",
            "whether a server that starts logs in and looks for its keys before a query needs them",
            "yes");
    declare(suffix, "verify", "whether to verify each fresh signature in software", "yes");
    declare(suffix, "state-dir", "directory for what must outlive the process", P11S_STATE_DIR);
    declare(suffix, "store",
            "where signatures are kept beyond a restart: none, lmdb (a file) or mysql (a file, and "
            "a database that several servers share)",
            "lmdb");
    declare(suffix, "sign-ahead", "weeks for which signatures are made in advance, 0 to 8", "1");
    declare(suffix, "ahead-rate",
            "signatures a second made in advance, for each token; 0: half of what it does", "0");
    declare(suffix, "store-size", "largest size of that file, in MiB", "256");
    declare(suffix, "mysql-host", "host of that database, the primary; empty: this machine", "");
    declare(suffix, "mysql-socket", "its socket, when it is on this machine", "");
    declare(suffix, "mysql-port", "its port; 0: 3306", "0");
    declare(suffix, "mysql-user", "user to connect as", "");
    declare(suffix, "mysql-password", "password, or file:PATH, env:NAME or credential:NAME", "");
    declare(suffix, "mysql-password-file", "file that holds the password", "");
    declare(suffix, "mysql-dbname", "name of the database", "");
    declare(suffix, "mysql-signatures", "about the most signatures in its table", "1000000");
    declare(suffix, "mysql-timeout", "longest wait of a query for its answer, in milliseconds",
            "20");
    declareAnswerSettings();
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

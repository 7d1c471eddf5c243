// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>
#include <vector>

extern "C" {
#include "signer/signer.h"
#include "store/fleet/fleet.h"
}

// The settings of pdns.conf. A setting is a row of a table in settings.cc and nothing else:
// `pdns_server --help`, docs/settings.md, the parsing and the bounds all come from that row.
namespace pkcs11signer {
constexpr const char *ModuleName = "pkcs11signer";

// The backends that `launch` names, in its order.
std::vector<std::string> launched();

// For PowerDNS, which prints it: the name behind "pkcs11signer-", a sentence, the default.
struct Declaration {
  std::string name, help, initial;
};
std::vector<Declaration> declarations();

// The settings' values, as the core wants them. Borrows from PowerDNS, which keeps what it has
// read. Throws PDNSException when a setting makes no sense.
struct Settings {
  Settings();
  ~Settings();
  Settings(const Settings &) = delete;
  Settings &operator=(const Settings &) = delete;

  p11s_config config{};
  p11s_fleet_config fleet{};

private:
  std::string d_answers; // PowerDNS's own settings that decide what is signed
};

// Declares those of PowerDNS's own settings for answers that this program (pdnsutil) does not have.
void declareAnswerSettings();
} // namespace pkcs11signer

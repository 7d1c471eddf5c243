// SPDX-License-Identifier: GPL-2.0-or-later
#include "shim/repair_mode.hh"

#include "shim/command_line.hh"
#include "shim/pdns-compat.hh"

#include <algorithm>
#include <array>

namespace pkcs11signer {
namespace {
// By the names of 4.x, which later versions take too, and by those of 5.x.
constexpr std::array Commands{
    "activate-zone-key",   "deactivate-zone-key", "publish-zone-key",    "unpublish-zone-key",
    "disable-dnssec",      "list-keys",           "show-zone",           "zone activate-key",
    "zone deactivate-key", "zone publish-key",    "zone dnssec-disable", "zone list-keys",
    "zone show",           "zone unpublish-key",
};

} // namespace

bool isRepairing()
{
  static const bool s_repairing = [] {
    if (compat::isServer()) {
      return false;
    }
    const auto words = commandLine();
    const std::string first = words.empty() ? "" : words[0];
    const std::string both = words.size() < 2 ? first : first + " " + words[1];
    return std::any_of(Commands.begin(), Commands.end(),
                       [&](const char *name) { return first == name || both == name; });
  }();
  return s_repairing;
}
} // namespace pkcs11signer

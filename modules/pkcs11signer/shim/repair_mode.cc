// SPDX-License-Identifier: GPL-2.0-or-later
#include "shim/repair_mode.hh"

#include "shim/pdns-compat.hh"

#include <algorithm>
#include <array>
#include <fstream>

namespace pkcs11signer {
namespace {
// By the names of 4.x, which later versions take too, and by those of 5.x.
constexpr std::array Commands{
    "activate-zone-key",   "deactivate-zone-key", "publish-zone-key",    "unpublish-zone-key",
    "disable-dnssec",      "list-keys",           "show-zone",           "zone activate-key",
    "zone deactivate-key", "zone publish-key",    "zone dnssec-disable", "zone list-keys",
    "zone show",           "zone unpublish-key",
};

// The command, with and without the word behind it. Options come first.
std::array<std::string, 2> command()
{
  std::ifstream arguments("/proc/self/cmdline");
  std::string word;
  std::string first;

  std::getline(arguments, word, '\0'); // the program
  while (std::getline(arguments, word, '\0')) {
    if (!first.empty()) {
      std::string both = first;
      both.append(" ").append(word);
      return {first, both};
    }
    if (word.rfind('-', 0) != 0) {
      first = word;
    }
  }
  return {first, first};
}
} // namespace

bool isRepairing()
{
  static const bool s_repairing = [] {
    if (compat::isServer()) {
      return false;
    }
    const auto names = command();
    return std::any_of(Commands.begin(), Commands.end(),
                       [&names](const char *name) { return names[0] == name || names[1] == name; });
  }();
  return s_repairing;
}
} // namespace pkcs11signer

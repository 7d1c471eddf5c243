// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>
#include <vector>

extern "C" {
#include "signer/signer.h"
}

// The settings of pdns.conf (README.md has a table of them), and the one signer made from them.
namespace pkcs11signer {
constexpr const char *ModuleName = "pkcs11signer";

// What `launch` names, in its order.
std::vector<std::string> launched();

// The process's signer; made at the first call, which must come after pdns.conf was read. Makes a
// new one in a child of fork(), where the threads of the old one are gone. Throws PDNSException
// when a setting makes no sense. Any thread.
p11s_signer *signer();
} // namespace pkcs11signer

// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>
#include <vector>

namespace pkcs11signer {
// All words that this program was called with, its name first. Empty where /proc does not tell.
std::vector<std::string> allWords();

// The words that this program was called with, without its name and its options. Empty where /proc
// does not tell.
std::vector<std::string> commandLine();

// What this program says of its version ("pdnsutil 4.7.3"): calls it with --version. Empty where
// that fails.
std::string programVersion();
} // namespace pkcs11signer

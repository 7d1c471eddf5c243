// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>

// PowerDNS's threads that answer UDP queries: receiver-threads and distributor-threads.
//
// With PowerDNS's defaults, 1 and 3, every answer may wait behind a signature in the making
// (docs/performance.md). An administrator who sets neither gets several receiver threads for each
// session, and no distributor threads, which suits any token.
namespace pkcs11signer {
// To be called while the backends declare their settings. At this point PowerDNS has read its
// configuration for the first time and goes by what it reads next, which leaves alone what stands
// nowhere. Throws ArgException when a configuration file cannot be read.
void chooseThreads();

// As the server has them; in pdnsutil as the configuration file has them.
struct Threads {
  unsigned answering; // all of them
  bool dealt;         // questions are dealt to them in turn, whether they wait or not
};
Threads threads();

// A line for the log: that chooseThreads() chose them. Empty: it did not.
std::string threadsChosen();

// What they cost, and what to do, in one line, once the configuration is read. Empty: nothing.
const std::string &threadsAdvice();
} // namespace pkcs11signer

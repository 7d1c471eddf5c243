// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

extern "C" {
#include "base/lock.h"
}

namespace pkcs11signer {
// How long the calling thread waits for the token, from construction to destruction.
//
// pkcs11signer-timeout is for all signatures of a query. PowerDNS does not say which belong
// together, but asks for them one right behind the other, in one thread. The thread has another
// query when it has looked something up since, has slept, or has got an error.
class Patience {
public:
  Patience();
  ~Patience();
  Patience(const Patience &) = delete;
  Patience &operator=(const Patience &) = delete;

  operator p11s_wait() const { return d_wait; }
  // This thread's query has its answer: a wait was in vain, or PowerDNS has looked something up.
  static void endQuery();

private:
  p11s_wait d_wait;
  uint64_t d_begun_ms;
};
} // namespace pkcs11signer

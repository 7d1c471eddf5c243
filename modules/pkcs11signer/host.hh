// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include "backend.hh"

extern "C" {
#include "host.h"
}

namespace pkcs11signer {
// The core's view of PowerDNS (host.h), over a backend's siblings. Borrowed from the backend.
p11s_host hostFor(Backend &backend);
} // namespace pkcs11signer

// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include "shim/backend.hh"

extern "C" {
#include "ahead/host.h"
}

namespace pkcs11signer {
// The core's view of PowerDNS (ahead/host.h), over a backend's siblings. Borrowed from the backend.
p11s_host hostFor(Backend &backend);

// Hosts over a set of backends that is made for each (ahead/host.h). Static.
const p11s_host_source *hostSource();
} // namespace pkcs11signer

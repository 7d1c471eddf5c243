// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include "pdns-compat.hh"

#include <vector>

extern "C" {
#include "host.h"
}

// What the siblings say of a zone now. They have no caches: those are the UeberBackend's and the
// DNSSECKeeper's, which are left out. What a sibling throws passes through.
namespace pkcs11signer {
p11s_zone_state currentState(const std::vector<DNSBackend *> &siblings, const compat::Zone &zone);
} // namespace pkcs11signer

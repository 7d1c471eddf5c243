// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include "shim/key_rows.hh"

extern "C" {
#include "ahead/host.h"
}

// What the siblings say of a zone now, past the caches, which are the UeberBackend's and the
// DNSSECKeeper's. An exception of a sibling passes through.
namespace pkcs11signer {
// How PowerDNS makes the serial that it serves, by a word of SOA-EDIT. P11S_SOA_EDIT_EPOCH also
// when PowerDNS computes another serial than is known here.
p11s_soa_edit soaEdit(const SOAData &soa, const std::string &word);

p11s_zone_state currentState(const Siblings &siblings, const compat::Zone &zone);

struct RrsetName {
  DNSName owner;
  uint16_t type;
};
// message: as PowerDNS would have it signed (ahead/host.h, struct p11s_served).
p11s_served_kind currentSet(const Siblings &siblings, const compat::Zone &zone,
                            const RrsetName &name, std::string &message);
} // namespace pkcs11signer

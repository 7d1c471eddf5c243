// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include "shim/key_rows.hh"
#include "shim/served_zone.hh"

#include <optional>
#include <string>
#include <vector>

// DNSKEY, CDS and CDNSKEY, which PowerDNS makes of a zone's keys.
namespace pkcs11signer {
struct PublishedKeys {
  std::vector<DNSKEYRecordContent> all;
  std::vector<DNSKEYRecordContent> entryPoints; // the KSKs, and keys that sign everything
};

// The keys as the rows have them now. No token is asked. nullopt: a key is a software key, or its
// public half is not known in this process.
std::optional<PublishedKeys> publishedKeys(const Siblings &siblings, const compat::Zone &zone);

// Adds the records of set.type. wanted: the zone's PUBLISH-CDS or PUBLISH-CDNSKEY. true: records of
// the database are added when direct-dnskey is set.
bool addFromKeys(ServedSet &set, const SOAData &soa, const PublishedKeys &keys,
                 const std::string &wanted);
} // namespace pkcs11signer

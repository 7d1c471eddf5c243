// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include "shim/served_zone.hh"

#include <optional>
#include <string>
#include <vector>

// DNSKEY, CDS and CDNSKEY, which PowerDNS makes of a zone's keys.
namespace pkcs11signer {
struct PublishedKeys {
  std::vector<DNSKEYRecordContent> all,
      entryPoints; // these: the KSKs, and keys that sign everything
};

// As the rows have them now. None: one of them is a software key, or its public half is not known
// in this process; no token is asked.
std::optional<PublishedKeys> publishedKeys(const std::vector<DNSBackend *> &siblings,
                                           const compat::Zone &zone);

// Adds the records of set.type. wanted: the zone's PUBLISH-CDS or PUBLISH-CDNSKEY. true: records of
// the database are added when direct-dnskey is set.
bool addFromKeys(ServedSet &set, const SOAData &soa, const PublishedKeys &keys,
                 const std::string &wanted);
} // namespace pkcs11signer

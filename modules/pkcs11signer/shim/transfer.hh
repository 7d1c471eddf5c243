// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include "shim/denial.hh"

#include <optional>
#include <string>
#include <vector>

namespace pkcs11signer {
// The NSEC or NSEC3 records of a transfer (RFC 5936). PowerDNS makes their chain anew for each
// transfer, from the zone's records in canonical order. Its answers take the database's chain,
// which differs where the zone is not rectified, below delegations, and around names with unusual
// characters, which databases sort by their escapes.
class TransferChain {
public:
  TransferChain(ServedZone &zone, const Listing &listing);

  // The record whose owner is this name of the zone, at which these rows stand; nullopt: none.
  std::optional<ServedSet> at(const DNSName &name, const ServedZone::Rows &rows) const;

private:
  void findHashes();
  bool isInChain(const Listing::Names::value_type &name) const;
  Types typesAt(const DNSName &name, const ServedZone::Rows &rows) const;
  DNSName nextName(const DNSName &name) const;

  ServedZone &d_zone;
  const Listing &d_listing;
  NSEC3PARAMRecordContent d_param;
  bool d_isNarrow = false;           // then there are no transfers
  bool d_isNsec3;                    // after the two that it comes with
  std::vector<std::string> d_hashes; // sorted
};
} // namespace pkcs11signer

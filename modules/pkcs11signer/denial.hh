// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include "served.hh"

#include <optional>
#include <string>

namespace pkcs11signer {
// The NSEC or NSEC3 records that PowerDNS denies with (RFC 4034, 5155). Each record of the chain is
// given once. In narrow mode there is no chain: there is a record for each name that exists, which
// denies other types there; what denies a name is made from the name that was asked for.
class Denial {
public:
  explicit Denial(ServedZone &zone);

  bool isNarrow() const { return d_nsec3 && d_narrow; }
  // For a name of the zone, and what stands there: the record that matches it or, where it has
  // none, the one that covers it. Nothing when that has been given before.
  std::optional<ServedSet> at(const DNSName &name, const ServedZone::Rows &rows);

private:
  std::optional<ServedSet> nsecAt(const DNSName &name, const ServedZone::Rows &rows);
  std::optional<ServedSet> nsec3At(const DNSName &name, const ServedZone::Rows &rows);
  template <typename C> void setApexTypes(C &content);
  template <typename C> void setTypes(C &content, const ServedZone::Rows &rows);

  ServedZone &d_zone;
  bool d_nsec3 = false, d_narrow = false;
  bool d_expandAlias, d_directDnskey;
  NSEC3PARAMRecordContent d_param;
  std::set<DNSName> d_owners;     // of NSEC records given
  std::set<std::string> d_hashes; // of NSEC3 records given
};
} // namespace pkcs11signer

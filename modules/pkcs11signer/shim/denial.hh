// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include "shim/listing.hh"
#include "shim/served_zone.hh"

#include <map>
#include <optional>
#include <set>
#include <string>

namespace pkcs11signer {
using Types = std::set<uint16_t>;

// A record of a chain (RFC 4034, 4; RFC 5155, 3), for the types that stand at a name.
ServedSet nsecSet(const SOAData &soa, const DNSName &owner, const DNSName &next,
                  const Types &types);
ServedSet nsec3Set(const SOAData &soa, const NSEC3PARAMRecordContent &param,
                   const std::string &hash, const std::string &next, const Types &types);

// The NSEC or NSEC3 records that PowerDNS's answers deny with. Each is given once. Their chain is
// the database's, whether or not its links belong to names that exist. Narrow mode has no chain:
// each name that exists has a record, which denies other types there. A record that denies a name
// is made from the name that was asked for.
class Denial {
public:
  Denial(ServedZone &zone, const Listing &listing);

  bool isNarrow() const { return d_isNsec3 && d_isNarrow; }
  // The database has no chain (names where NSEC3 hashes should be, or nothing), so some denials are
  // missing. Known after eachOther().
  bool isBroken() const { return d_isBroken; }
  // The record whose owner is this name of the zone, at which these rows stand; nullopt: none.
  std::optional<ServedSet> at(const DNSName &name, const ServedZone::Rows &rows);
  // After all names: the links of the chain that belong to no name.
  bool eachOther(const ServedZone::Visitor &visit);

private:
  struct Link {          // NOLINT(bugprone-exception-escape): of moving it, says clang-tidy 14
    DNSName owner, next; // names, or hashes as one label
    DNSName name;        // whose types it has
  };

  Link linkAt(const DNSName &place, const DNSName &name, bool asOwner = false);
  Link linkOf(const DNSName &owner);
  bool giveLink(const DNSName &owner, const ServedZone::Visitor &visit);
  bool isLink(const DNSName &name) const;
  void note(const Link &link);
  std::optional<ServedSet> narrowAt(const DNSName &name, const ServedZone::Rows &rows);
  ServedSet setOf(const Link &link, const ServedZone::Rows &rows);
  void addApexTypes(Types &types);
  Types typesAt(const DNSName &name, const ServedZone::Rows &rows);

  ServedZone &d_zone;
  const Listing &d_listing;
  NSEC3PARAMRecordContent d_param;
  bool d_isNarrow = false;
  bool d_isNsec3; // after the two that it comes with
  bool d_isBroken = false;
  bool d_expandAlias, d_directDnskey;
  std::map<DNSName, bool> d_links; // by owner: whether it has been given
};
} // namespace pkcs11signer

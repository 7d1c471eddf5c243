// SPDX-License-Identifier: GPL-2.0-or-later
#include "shim/transfer.hh"

#include <algorithm>
#include <set>

namespace pkcs11signer {
TransferChain::TransferChain(ServedZone &zone, const Listing &listing)
    : d_zone(zone), d_listing(listing),
      d_isNsec3(zone.keeper().getNSEC3PARAM(compat::zoneOf(zone.soa()), &d_param, &d_isNarrow))
{
  if (d_isNsec3 && !d_isNarrow) {
    findHashes();
  }
}

// With opt-out (RFC 5155, 6) insecure delegations are left out, and what leads to nothing else.
bool TransferChain::isInChain(const Listing::Names::value_type &name) const
{
  const Listing::Name &what = name.second;
  const bool isOptOut = d_isNsec3 && d_param.d_flags != 0;

  if (what.isCut && !isOptOut) {
    return true;
  }
  return what.has() && (!what.isCut || what.hasDs) && !d_listing.isBelowCut(name.first);
}

void TransferChain::findHashes()
{
  const bool isOptOut = d_param.d_flags != 0;
  std::set<DNSName> nonterminals; // empty ones

  for (const auto &name : d_listing.names()) {
    const Listing::Name &what = name.second;
    if (isInChain(name)) {
      d_hashes.push_back(hashQNameWithSalt(d_param, name.first));
    }
    if ((what.isCut && isOptOut && !what.hasDs && !what.hasOther) ||
        d_listing.isBelowCut(name.first)) {
      continue;
    }
    DNSName above = name.first;
    while (what.has() && !d_listing.isApex(above) && above.chopOff()) {
      if (!d_listing.names().at(above).has() && nonterminals.insert(above).second) {
        d_hashes.push_back(hashQNameWithSalt(d_param, above));
      }
    }
  }
  std::sort(d_hashes.begin(), d_hashes.end());
}

Types TransferChain::typesAt(const DNSName &name, const ServedZone::Rows &rows) const
{
  Types types;

  if (d_listing.isApex(name)) {
    types = d_zone.madeTypes();
  }
  for (const auto &row : rows) {
    const uint16_t type = row.dr.d_type;
    if (d_listing.isTransferred(type) &&
        (type == QType::NS || d_listing.isAuthoritative(name, type))) {
      types.insert(type);
    }
  }
  return types;
}

DNSName TransferChain::nextName(const DNSName &name) const
{
  const auto &names = d_listing.names();
  auto next = names.find(name);

  do {
    if (++next == names.end()) {
      next = names.begin(); // the zone's own, which is in the chain
    }
  } while (!isInChain(*next));
  return next->first;
}

std::optional<ServedSet> TransferChain::at(const DNSName &name, const ServedZone::Rows &rows) const
{
  if (d_isNarrow) {
    return std::nullopt;
  }
  if (!d_isNsec3) {
    if (!isInChain(*d_listing.names().find(name))) {
      return std::nullopt;
    }
    return nsecSet(d_zone.soa(), name, nextName(name), typesAt(name, rows));
  }
  const std::string hash = hashQNameWithSalt(d_param, name);
  const auto found = std::lower_bound(d_hashes.begin(), d_hashes.end(), hash);
  if (found == d_hashes.end() || *found != hash) {
    return std::nullopt;
  }
  const bool isLast = found + 1 == d_hashes.end();
  return nsec3Set(d_zone.soa(), d_param, hash, isLast ? d_hashes.front() : *(found + 1),
                  typesAt(name, rows));
}
} // namespace pkcs11signer

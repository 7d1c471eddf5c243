// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include "shim/pdns-compat.hh"

#include <map>

namespace pkcs11signer {
// DNSKEY, CDS and CDNSKEY, which PowerDNS makes from a zone's keys.
bool isOfKeys(uint16_t type);

// The names of a zone, those between them and the zone's own too, in canonical order (RFC 4034,
// 6.1), and what PowerDNS makes of them when it rectifies: delegations, and what is below them.
// Names are lower case.
class Listing {
public:
  // What the database lists at a name; nothing at an empty non-terminal.
  struct Name {
    bool isCut = false; // NS, below the zone's own name
    bool hasDs = false;
    bool hasOther = false; // any type but these two that is in a transfer
    bool has() const { return isCut || hasDs || hasOther; }
  };
  using Names = std::map<DNSName, Name, CanonDNSNameCompare>;

  // Reads it. Throws PDNSException.
  explicit Listing(const SOAData &soa);

  const Names &names() const { return d_names; }
  bool isApex(const DNSName &name) const { return name == d_apex; }
  // A delegation stands above the name.
  bool isBelowCut(const DNSName &name) const;
  // RFC 4035, 2.2: neither glue, nor a delegation's NS.
  bool isAuthoritative(const DNSName &name, uint16_t type) const;
  // Whether a transfer has rows of that type as the database lists them.
  bool isTransferred(uint16_t type) const;

private:
  void add(DNSName name, uint16_t type);

  DNSName d_apex;
  bool d_directDnskey;
  Names d_names;
};
} // namespace pkcs11signer

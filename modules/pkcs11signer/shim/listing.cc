// SPDX-License-Identifier: GPL-2.0-or-later
#include "shim/listing.hh"

namespace pkcs11signer {
bool isOfKeys(uint16_t type)
{
  return type == QType::DNSKEY || type == QType::CDS || type == QType::CDNSKEY;
}

// The rows' contents are not looked at: one that cannot be read is no reason to miss the others.
Listing::Listing(const SOAData &soa)
    : d_apex(compat::nameOf(soa).makeLowerCase()), d_directDnskey(::arg().mustDo("direct-dnskey"))
{
  DNSResourceRecord row;

  if (!soa.db->list(compat::zoneOf(soa), soa.domain_id, false)) {
    throw DBException("the database behind this zone does not list its records");
  }
  d_names[d_apex].hasOther = true; // the SOA may stand elsewhere
  while (soa.db->get(row)) {
    add(row.qname.makeLowerCase(), row.qtype.getCode());
  }
}

void Listing::add(DNSName name, uint16_t type)
{
  if (!name.isPartOf(d_apex)) {
    return;
  }
  Name &found = d_names[name];
  if (isTransferred(type)) {
    found.isCut = found.isCut || (type == QType::NS && !isApex(name));
    found.hasDs = found.hasDs || type == QType::DS;
    found.hasOther = found.hasOther || (type != QType::NS && type != QType::DS);
  }
  while (!isApex(name) && name.chopOff() && d_names.emplace(name, Name()).second) {
  }
}

bool Listing::isTransferred(uint16_t type) const
{
  return type != QType::ENT && type != QType::RRSIG && (d_directDnskey || !isOfKeys(type));
}

bool Listing::isBelowCut(const DNSName &name) const
{
  DNSName above = name;
  while (!isApex(above) && above.chopOff()) {
    const auto found = d_names.find(above);
    if (found != d_names.end() && found->second.isCut) {
      return true;
    }
  }
  return false;
}

bool Listing::isAuthoritative(const DNSName &name, uint16_t type) const
{
  const auto found = d_names.find(name);
  const bool isCut = found != d_names.end() && found->second.isCut;
  return (!isCut || type == QType::DS) && !isBelowCut(name);
}
} // namespace pkcs11signer

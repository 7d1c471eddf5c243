// SPDX-License-Identifier: GPL-2.0-or-later
#include "denial.hh"

#include <algorithm>
#include <type_traits>

namespace pkcs11signer {
namespace {
// What an answer for a LUA record would be: `A "…"`.
uint16_t luaType(const DNSZoneRecord &row)
{
  const std::string text = compat::contentOf(row.dr)->getZoneRepresentation();
  return QType::chartocode(text.substr(0, text.find(' ')).c_str());
}

bool isAuthoritative(const DNSZoneRecord &row)
{
  return row.auth || row.dr.d_type == QType::NS;
}
} // namespace

Denial::Denial(ServedZone &zone)
    : d_zone(zone), d_expandAlias(::arg().mustDo("expand-alias")),
      d_directDnskey(::arg().mustDo("direct-dnskey"))
{
  d_nsec3 = zone.keeper().getNSEC3PARAM(compat::zoneOf(zone.soa()), &d_param, &d_narrow);
}

std::optional<ServedSet> Denial::at(const DNSName &name, const ServedZone::Rows &rows)
{
  return d_nsec3 ? nsec3At(name, rows) : nsecAt(name, rows);
}

// The SOA may stand elsewhere than among the records, and what is made from keys does.
template <typename C> void Denial::setApexTypes(C &content)
{
  const auto &zone = compat::zoneOf(d_zone.soa());
  const auto keys = d_zone.keys();
  std::string text;

  content.set(QType::SOA);
  if (std::none_of(keys.begin(), keys.end(), [](const auto &k) { return k.second.published; })) {
    return;
  }
  content.set(QType::DNSKEY);
  d_zone.keeper().getPublishCDNSKEY(zone, text);
  if (!text.empty()) {
    content.set(QType::CDNSKEY);
  }
  text.clear();
  d_zone.keeper().getPublishCDS(zone, text);
  if (!text.empty()) {
    content.set(QType::CDS);
  }
}

template <typename C> void Denial::setTypes(C &content, const ServedZone::Rows &rows)
{
  for (const auto &row : rows) {
    const uint16_t type = row.dr.d_type;

    if (type == QType::LUA && d_zone.doesLua()) {
      content.set(luaType(row));
    } else if (type == QType::ALIAS && d_expandAlias) {
      content.set(QType::A);
      content.set(QType::AAAA);
    } else if ((type == QType::DNSKEY || type == QType::CDS || type == QType::CDNSKEY) &&
               !d_directDnskey) {
      continue;
    } else if (isAuthoritative(row) &&
               (type != QType::ENT || std::is_same_v<C, NSECRecordContent>)) {
      content.set(type); // for NSEC PowerDNS makes no exception of an empty non-terminal's type
    }
  }
}

std::optional<ServedSet> Denial::nsecAt(const DNSName &name, const ServedZone::Rows &rows)
{
  const SOAData &soa = d_zone.soa();
  DNSName before, after;

  soa.db->getBeforeAndAfterNames(soa.domain_id, compat::zoneOf(soa), name, before, after);
  if (!d_owners.insert(before).second) {
    return std::nullopt;
  }
  auto content = std::make_shared<NSECRecordContent>();
  content->d_next = after;
  content->set(QType::NSEC);
  content->set(QType::RRSIG);
  if (before == compat::nameOf(soa)) {
    setApexTypes(*content);
  }
  setTypes(*content, before == name ? rows : d_zone.rows(QType::ANY, before));
  return ServedSet{before.makeLowerCase(), QType::NSEC, soa.getNegativeTTL(), {content}};
}

std::optional<ServedSet> Denial::nsec3At(const DNSName &name, const ServedZone::Rows &rows)
{
  const SOAData &soa = d_zone.soa();
  std::string hash = hashQNameWithSalt(d_param, name), next = hash;
  DNSName owner = name;

  if (d_narrow) {
    if (std::none_of(rows.begin(), rows.end(), isAuthoritative)) {
      return std::nullopt; // nobody gets as far as that name
    }
    incrementHash(next);
  } else {
    DNSName before, after;
    soa.db->getBeforeAndAfterNamesAbsolute(soa.domain_id, DNSName(toBase32Hex(hash)), owner, before,
                                           after);
    hash = fromBase32Hex(before.toString());
    next = fromBase32Hex(after.toString());
  }
  if (next.empty() || !d_hashes.insert(hash).second) {
    return std::nullopt;
  }
  auto content = std::make_shared<NSEC3RecordContent>();
  content->d_algorithm = d_param.d_algorithm;
  content->d_flags = d_param.d_flags;
  content->d_iterations = d_param.d_iterations;
  content->d_salt = d_param.d_salt;
  content->d_nexthash = next;
  if (!owner.empty()) {
    if (owner == compat::nameOf(soa)) {
      setApexTypes(*content);
      content->set(QType::NSEC3PARAM);
    }
    setTypes(*content, owner == name ? rows : d_zone.rows(QType::ANY, owner));
  }
  // An insecure delegation or an empty non-terminal has no signature of its own.
  const size_t count = content->numberOfTypesSet();
  if (count > 1 || (count == 1 && !content->isSet(QType::NS))) {
    content->set(QType::RRSIG);
  }
  return ServedSet{(DNSName(toBase32Hex(hash)) + compat::nameOf(soa)).makeLowerCase(),
                   QType::NSEC3,
                   soa.getNegativeTTL(),
                   {content}};
}
} // namespace pkcs11signer

// SPDX-License-Identifier: GPL-2.0-or-later
#include "shim/denial.hh"

#include <algorithm>

namespace pkcs11signer {
namespace {
constexpr size_t HashLength = 20; // SHA-1

// What an answer for a LUA record would be: `A "…"`.
uint16_t luaType(const DNSZoneRecord &row)
{
  const std::string text = compat::contentOf(row.dr)->getZoneRepresentation();
  return QType::chartocode(text.substr(0, text.find(' ')).c_str());
}

// As PowerDNS reads it from the database's chain.
std::string hashIn(const DNSName &label)
{
  return fromBase32Hex(label.toString());
}
} // namespace

ServedSet nsecSet(const SOAData &soa, const DNSName &owner, const DNSName &next, const Types &types)
{
  auto content = std::make_shared<NSECRecordContent>();

  content->d_next = next;
  for (const uint16_t type : types) {
    content->set(type); // PowerDNS makes no exception of an empty non-terminal's type
  }
  content->set(QType::NSEC);
  content->set(QType::RRSIG);
  return {owner.makeLowerCase(), QType::NSEC, soa.getNegativeTTL(), {content}};
}

ServedSet nsec3Set(const SOAData &soa, const NSEC3PARAMRecordContent &param,
                   const std::string &hash, const std::string &next, const Types &types)
{
  auto content = std::make_shared<NSEC3RecordContent>();

  content->d_algorithm = param.d_algorithm;
  content->d_flags = param.d_flags;
  content->d_iterations = param.d_iterations;
  content->d_salt = param.d_salt;
  content->d_nexthash = next;
  for (const uint16_t type : types) {
    if (type != QType::ENT) {
      content->set(type);
    }
  }
  // An insecure delegation or an empty non-terminal has no signature of its own.
  const size_t count = content->numberOfTypesSet();
  if (count > 1 || (count == 1 && !content->isSet(QType::NS))) {
    content->set(QType::RRSIG);
  }
  return {(DNSName(toBase32Hex(hash)) + compat::nameOf(soa)).makeLowerCase(),
          QType::NSEC3,
          soa.getNegativeTTL(),
          {content}};
}

Denial::Denial(ServedZone &zone, const Listing &listing)
    : d_zone(zone), d_listing(listing),
      d_isNsec3(zone.keeper().getNSEC3PARAM(compat::zoneOf(zone.soa()), &d_param, &d_isNarrow)),
      d_expandAlias(::arg().mustDo("expand-alias")), d_directDnskey(::arg().mustDo("direct-dnskey"))
{
}

// The SOA may stand elsewhere than among the records, and what is made from keys does.
void Denial::addApexTypes(Types &types)
{
  const auto &zone = compat::zoneOf(d_zone.soa());
  const auto keys = d_zone.keys();
  std::string text;

  types.insert(QType::SOA);
  if (d_isNsec3) {
    types.insert(QType::NSEC3PARAM);
  }
  if (std::none_of(keys.begin(), keys.end(), [](const auto &k) { return k.second.published; })) {
    return;
  }
  types.insert(QType::DNSKEY);
  d_zone.keeper().getPublishCDNSKEY(zone, text);
  if (!text.empty()) {
    types.insert(QType::CDNSKEY);
  }
  text.clear();
  d_zone.keeper().getPublishCDS(zone, text);
  if (!text.empty()) {
    types.insert(QType::CDS);
  }
}

Types Denial::typesAt(const DNSName &name, const ServedZone::Rows &rows)
{
  Types types;

  if (d_listing.isApex(name)) {
    addApexTypes(types);
  }
  for (const auto &row : rows) {
    const uint16_t type = row.dr.d_type;

    if (type == QType::LUA && d_zone.doesLua()) {
      types.insert(luaType(row));
    } else if (type == QType::ALIAS && d_expandAlias) {
      types.insert({QType::A, QType::AAAA});
    } else if (isOfKeys(type) && !d_directDnskey) {
      continue;
    } else if (row.auth || type == QType::NS) {
      types.insert(type);
    }
  }
  return types;
}

// What the database finds at that place of its chain. asOwner: as PowerDNS asks for the closest
// encloser of a name that does not exist: SQL databases then take the place for a link, also when
// there is none (behind empty non-terminals that lead to insecure delegations only).
Denial::Link Denial::linkAt(const DNSName &place, const DNSName &name, bool asOwner)
{
  const SOAData &soa = d_zone.soa();
  Link link;

  link.name = name;
  if (d_isNsec3) {
    link.owner = asOwner ? place : DNSName();
    soa.db->getBeforeAndAfterNamesAbsolute(soa.domain_id, place, link.name, link.owner, link.next);
  } else {
    soa.db->getBeforeAndAfterNames(soa.domain_id, compat::zoneOf(soa), place, link.owner,
                                   link.next);
    link.name = link.owner;
  }
  return link;
}

bool Denial::isLink(const DNSName &name) const
{
  return !name.empty() && (!d_isNsec3 || hashIn(name).size() == HashLength);
}

void Denial::note(const Link &link)
{
  if (isLink(link.owner) && isLink(link.next)) {
    d_links.emplace(link.owner, false);
    d_links.emplace(link.next, false);
  } else {
    d_isBroken = true;
  }
}

ServedSet Denial::setOf(const Link &link, const ServedZone::Rows &rows)
{
  if (!d_isNsec3) {
    return nsecSet(d_zone.soa(), link.owner, link.next, typesAt(link.name, rows));
  }
  return nsec3Set(d_zone.soa(), d_param, hashIn(link.owner), hashIn(link.next),
                  typesAt(link.name, rows));
}

// Nobody gets to what is below a delegation, or to a name that is not in the database.
std::optional<ServedSet> Denial::narrowAt(const DNSName &name, const ServedZone::Rows &rows)
{
  const std::string hash = hashQNameWithSalt(d_param, name);
  std::string next = hash;

  if (rows.empty() || d_listing.isBelowCut(name)) {
    return std::nullopt;
  }
  incrementHash(next);
  return nsec3Set(d_zone.soa(), d_param, hash, next, typesAt(name, rows));
}

std::optional<ServedSet> Denial::at(const DNSName &name, const ServedZone::Rows &rows)
{
  if (isNarrow()) {
    return narrowAt(name, rows);
  }
  const DNSName place = d_isNsec3 ? DNSName(toBase32Hex(hashQNameWithSalt(d_param, name))) : name;
  Link link = linkAt(place, name);
  note(link);
  if (link.owner != place && d_isNsec3 && !d_listing.names().at(name).isCut &&
      !d_listing.isBelowCut(name)) {
    link = linkAt(place, name, true);
    note(link);
  }
  if (link.owner != place || !isLink(link.next)) {
    return std::nullopt;
  }
  d_links[place] = true;
  return setOf(link, rows);
}

// LMDB says whose a link is for what lies behind it only.
Denial::Link Denial::linkOf(const DNSName &owner)
{
  Link link = linkAt(owner, DNSName());

  if (link.name.empty()) {
    std::string behind = hashIn(owner);
    incrementHash(behind);
    link = linkAt(DNSName(toBase32Hex(behind)), DNSName());
  }
  return link;
}

bool Denial::giveLink(const DNSName &owner, const ServedZone::Visitor &visit)
{
  const Link link = linkOf(owner);
  ServedSet set;

  note(link);
  if (link.owner != owner) {
    d_isBroken = true;
    return true;
  }
  try {
    set = setOf(link, d_zone.rows(QType::ANY, link.name));
  } catch (const std::exception &e) {
    d_zone.noteUnreadable(link.name, e.what());
    return true;
  }
  return visit(set);
}

bool Denial::eachOther(const ServedZone::Visitor &visit)
{
  bool isMore = true;

  while (isMore) { // a link may be found before the one that leads to it
    isMore = false;
    for (auto &[owner, isGiven] : d_links) {
      if (!isGiven) {
        isMore = isGiven = true;
        if (!giveLink(owner, visit)) {
          return false;
        }
      }
    }
  }
  return true;
}
} // namespace pkcs11signer

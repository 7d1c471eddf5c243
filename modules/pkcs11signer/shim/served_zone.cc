// SPDX-License-Identifier: GPL-2.0-or-later
#include "shim/served_zone.hh"

#include "shim/current.hh"
#include "shim/denial.hh"
#include "shim/keysets.hh"
#include "shim/transfer.hh"

#include <algorithm>
#include <map>

namespace pkcs11signer {
namespace {
constexpr size_t ReasonsMost = 10, ReasonLength = 200;

// pdnsutil runs one command: nothing is asked for twice, and a large zone would fill memory.
std::unique_ptr<UeberBackend> openDatabase()
{
  ::arg().set("query-cache-ttl") = "0";
  ::arg().set("negquery-cache-ttl") = "0";
  return std::make_unique<UeberBackend>();
}

// PowerDNS puts addresses in, or takes the hint out, when it is asked.
bool hasAutomaticHint(const DNSZoneRecord &row)
{
  const auto service =
      std::dynamic_pointer_cast<const SVCBBaseRecordContent>(compat::contentOf(row.dr));
  return service &&
         (service->autoHint(SvcParam::ipv4hint) || service->autoHint(SvcParam::ipv6hint));
}
} // namespace

RRSIGRecordContent rrsigOf(const ServedSet &set, const SOAData &soa)
{
  RRSIGRecordContent sig;

  sig.d_type = set.type;
  sig.d_labels = static_cast<uint8_t>(set.name.countLabels() - (set.name.isWildcard() ? 1 : 0));
  sig.d_originalttl = set.ttl;
  sig.d_algorithm = 0;
  sig.d_sigexpire = sig.d_siginception = 0;
  sig.d_tag = 0;
  sig.d_signer = compat::nameOf(soa);
  return sig;
}

ServedZone::ServedZone(const compat::Zone &zone)
    : d_db(openDatabase()), d_keeper(compat::makeKeeper(*d_db)),
      d_expandAlias(::arg().mustDo("expand-alias")),
      d_directDnskey(::arg().mustDo("direct-dnskey")),
      d_transferExpandsAlias(::arg()["outgoing-axfr-expand-alias"] != "no")
{
  bool narrow = false;

  if (!d_db->getSOAUncached(zone, d_soa)) {
    throw DBException("no such zone in the database, or it has no SOA record");
  }
  d_isNarrow = d_keeper->getNSEC3PARAM(compat::zoneOf(d_soa), nullptr, &narrow) && narrow;
}

ServedZone::~ServedZone() = default;

ServedZone::Rows ServedZone::rows(uint16_t type, const DNSName &name)
{
  Rows found;
  DNSZoneRecord row;

  d_db->lookup(QType(type), name, d_soa.domain_id, nullptr);
  while (d_db->get(row)) {
    found.push_back(row);
  }
  return found;
}

bool ServedZone::doesLua()
{
  std::string value;
  if (!::arg().mustDo("enable-lua-records")) {
    d_keeper->getFromMeta(compat::zoneOf(d_soa), "ENABLE-LUA-RECORDS", value);
  }
  return ::arg().mustDo("enable-lua-records") || value == "1";
}

// -- what is made from keys

PublishedKeys ServedZone::publishedKeys()
{
  PublishedKeys found;

  for (const auto &[key, meta] : keys()) {
    if (!meta.published) {
      continue;
    }
    found.all.push_back(key.getDNSKEY());
    if (meta.keyType != DNSSECKeeper::ZSK) {
      found.entryPoints.push_back(found.all.back());
    }
  }
  return found;
}

// Empty where the keys give none: then what the database has is served.
ServedSet ServedZone::madeFromKeys(uint16_t type, const PublishedKeys &keys)
{
  ServedSet set{compat::nameOf(d_soa).makeLowerCase(), type, d_soa.minimum, {}};
  std::string wanted;

  if (type == QType::CDS) {
    d_keeper->getPublishCDS(compat::zoneOf(d_soa), wanted);
  } else if (type == QType::CDNSKEY) {
    d_keeper->getPublishCDNSKEY(compat::zoneOf(d_soa), wanted);
  }
  if (addFromKeys(set, d_soa, keys, wanted) && d_directDnskey) {
    for (const auto &row : rows(type, compat::nameOf(d_soa))) {
      if (row.auth) {
        set.records.insert(compat::contentOf(row.dr));
      }
    }
  }
  return set;
}

bool ServedZone::eachOfKeys(const Visitor &visit)
{
  const PublishedKeys published = publishedKeys();

  for (const uint16_t type : {QType::DNSKEY, QType::CDS, QType::CDNSKEY}) {
    const ServedSet set = madeFromKeys(type, published);
    if (set.records.empty()) {
      continue;
    }
    d_made.emplace(type, set);
    if (!visit(set)) {
      return false;
    }
  }
  return true;
}

// -- what stands in the database

ServedSet ServedZone::soaSet(uint32_t serial) const
{
  SOAData edited = d_soa;
  edited.serial = serial;
  return {compat::nameOf(d_soa).makeLowerCase(), QType::SOA, d_soa.ttl, {makeSOAContent(edited)}};
}

p11s_soa_edit ServedZone::soaEdit(std::string &word)
{
  d_keeper->getSoaEdit(compat::zoneOf(d_soa), word);
  return pkcs11signer::soaEdit(d_soa, word);
}

// Empty without NSEC3.
ServedSet ServedZone::nsec3Param()
{
  ServedSet set{compat::nameOf(d_soa).makeLowerCase(), QType::NSEC3PARAM, d_soa.minimum, {}};
  NSEC3PARAMRecordContent param;

  if (d_keeper->getNSEC3PARAM(compat::zoneOf(d_soa), &param)) {
    param.d_flags = 0; // RFC 5155, 4.1.2: opt-out is not said here
    set.records.insert(std::make_shared<NSEC3PARAMRecordContent>(param));
  }
  return set;
}

std::set<uint16_t> ServedZone::madeTypes() const
{
  std::set<uint16_t> types;
  for (const auto &entry : d_made) {
    types.insert(entry.first);
  }
  return types;
}

void ServedZone::noteUnreadable(const DNSName &name, const std::string &reason)
{
  std::set<DNSName> &names = d_leftOut.unreadable;

  if (names.insert(name).second && names.size() <= ReasonsMost) {
    d_leftOut.reasons += name.toString() + ": PowerDNS cannot read a record there, and answers " +
                         "SERVFAIL with the token or without (" + reason.substr(0, ReasonLength) +
                         ")" + '\0';
  }
}

bool ServedZone::isAnswered(const DNSZoneRecord &row)
{
  const uint16_t type = row.dr.d_type;

  if (type == QType::ALIAS && d_expandAlias) {
    ++d_leftOut.aliases;
    return false;
  }
  if (type == QType::LUA) {
    d_leftOut.luas += doesLua() ? 1 : 0;
    return false;
  }
  return row.auth || type == QType::DS;
}

bool ServedZone::isTransferred(const DNSName &name, const DNSZoneRecord &row)
{
  const uint16_t type = row.dr.d_type;

  if (type == QType::ALIAS && d_transferExpandsAlias) {
    ++d_leftOut.expanded;
    return false;
  }
  return d_listing->isTransferred(type) &&
         (type == QType::DS || d_listing->isAuthoritative(name, type));
}

void ServedZone::findAt(const DNSName &name, const DNSZoneRecord &row, Found &found)
{
  const auto &content = compat::contentOf(row.dr);

  found.ttls.insert(row.dr.d_ttl);
  found.isHinted = found.isHinted || hasAutomaticHint(row);
  if (isAnswered(row)) {
    found.answered.insert(content);
  }
  if (!d_isNarrow && isTransferred(name, row)) {
    found.transferred.insert(content);
  }
}

// Should TTLs differ, the last record's is signed. Which that is depends on the query.
void ServedZone::addSets(const DNSName &name, uint16_t type, Found &found, Sets &sets)
{
  const auto made = d_listing->isApex(name) ? d_made.find(type) : d_made.end();
  const size_t known = made == d_made.end() ? 0 : made->second.records.size();

  if (known > 0) { // an answer to ANY has both, and so has a transfer
    for (auto *records : {&found.answered, &found.transferred}) {
      if (!records->empty()) {
        records->insert(made->second.records.begin(), made->second.records.end());
      }
    }
    found.ttls.insert(made->second.ttl);
  }
  for (const uint32_t ttl : found.ttls) {
    for (const auto *records : {&found.answered, &found.transferred}) {
      const bool isKnown = known > 0 && ttl == made->second.ttl && records->size() == known;
      const bool isTwice =
          records == &found.transferred && records->size() == found.answered.size();
      if (!records->empty() && !isKnown && !isTwice) {
        sets.push_back({name, type, ttl, *records});
      }
    }
  }
}

ServedZone::Sets ServedZone::setsAt(const DNSName &name)
{
  const Rows all = rows(QType::ANY, name);
  std::map<uint16_t, Found> types;
  Sets sets;

  for (const auto &row : all) {
    const uint16_t type = row.dr.d_type;
    if (type != QType::SOA && type != QType::ENT && type != QType::RRSIG) {
      findAt(name, row, types[type]);
    }
  }
  if (types.empty() && !d_isNarrow && !d_listing->isApex(name) &&
      d_listing->names().at(name).has() && d_leftOut.unfound++ == 0) {
    d_leftOut.firstUnfound = name.toString();
  }
  for (auto &[type, found] : types) {
    if (found.isHinted) {
      ++d_leftOut.hinted;
    } else {
      addSets(name, type, found, sets);
    }
  }
  const auto own = d_denial->at(name, all);
  const auto transferred = d_transfer->at(name, all);
  if (own) {
    sets.push_back(*own);
    const sortedRecords_t &stored = types[own->type].answered;
    if (own->name == name && !stored.empty()) { // NSEC: an answer to ANY has both
      sets.push_back(*own);
      sets.back().records.insert(stored.begin(), stored.end());
    }
  }
  if (transferred && !(own && **own->records.begin() == **transferred->records.begin())) {
    sets.push_back(*transferred);
  }
  return sets;
}

bool ServedZone::eachOther(const Visitor &visit)
{
  const ServedSet param = nsec3Param();
  Sets sets;

  if (!param.records.empty()) {
    d_made.emplace(QType::NSEC3PARAM, param);
    if (!visit(param)) {
      return false;
    }
  }
  d_listing = std::make_unique<Listing>(d_soa);
  d_denial = std::make_unique<Denial>(*this, *d_listing);
  d_transfer = std::make_unique<TransferChain>(*this, *d_listing);
  for (const auto &entry : d_listing->names()) {
    try {
      sets = setsAt(entry.first);
    } catch (const std::exception &e) {
      noteUnreadable(entry.first, e.what());
      continue;
    }
    if (!std::all_of(sets.begin(), sets.end(), visit)) {
      return false;
    }
  }
  const bool isAll = d_denial->eachOther(visit);
  d_leftOut.isBroken = d_denial->isBroken();
  return isAll;
}
} // namespace pkcs11signer

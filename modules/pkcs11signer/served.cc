// SPDX-License-Identifier: GPL-2.0-or-later
#include "served.hh"

#include "denial.hh"

#include <algorithm>
#include <map>

namespace pkcs11signer {
namespace {
// pdnsutil runs one command: nothing is asked for twice, and a large zone would fill memory.
std::unique_ptr<UeberBackend> openDatabase()
{
  ::arg().set("query-cache-ttl") = "0";
  ::arg().set("negquery-cache-ttl") = "0";
  return std::make_unique<UeberBackend>();
}

void declare(const std::string &name, const std::string &value)
{
  if (!::arg().parmIsset(name)) {
    ::arg().set(name, "as in pdns_server") = value;
  }
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

void declareAnswerSettings()
{
  for (const char *name : {"expand-alias", "enable-lua-records", "direct-dnskey"}) {
    declare(name, "no");
  }
  for (const char *name : {"default-publish-cds", "default-publish-cdnskey"}) {
    declare(name, "");
  }
  compat::declareWeekSettings();
}

ServedZone::ServedZone(const compat::Zone &zone)
    : d_db(openDatabase()), d_keeper(compat::makeKeeper(*d_db)),
      d_expandAlias(::arg().mustDo("expand-alias")), d_directDnskey(::arg().mustDo("direct-dnskey"))
{
  if (!d_db->getSOAUncached(zone, d_soa)) {
    throw DBException("no such zone in the database, or it has no SOA record");
  }
  d_denial = std::make_unique<Denial>(*this);
}

ServedZone::~ServedZone() = default;

bool ServedZone::isNarrow() const
{
  return d_denial->isNarrow();
}

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

// -- what is made from keys. true: records of the database are added when direct-dnskey is set

bool ServedZone::addDnskeys(ServedSet &set)
{
  for (const auto &key : keys()) {
    if (key.second.published) {
      set.records.insert(std::make_shared<DNSKEYRecordContent>(key.first.getDNSKEY()));
    }
  }
  return true;
}

bool ServedZone::addCdnskeys(ServedSet &set)
{
  std::string wanted;

  d_keeper->getPublishCDNSKEY(compat::zoneOf(d_soa), wanted);
  if (wanted == "0") { // RFC 8078, 4: the parent's DS records are to go
    set.records.insert(compat::parseContent(QType::CDNSKEY, "0 3 0 AA=="));
  }
  if (wanted.empty() || wanted == "0") {
    return false;
  }
  for (const auto &key : d_keeper->getEntryPoints(compat::zoneOf(d_soa))) {
    if (key.second.published) {
      set.records.insert(std::make_shared<DNSKEYRecordContent>(key.first.getDNSKEY()));
    }
  }
  return true;
}

bool ServedZone::addCds(ServedSet &set)
{
  std::vector<std::string> digests;
  std::string wanted;

  d_keeper->getPublishCDS(compat::zoneOf(d_soa), wanted);
  stringtok(digests, wanted, ", ");
  const bool deletes = std::find(digests.begin(), digests.end(), "0") != digests.end();
  if (deletes) {
    set.records.insert(compat::parseContent(QType::CDS, "0 0 0 00"));
  }
  if (wanted.empty() || deletes) {
    return false;
  }
  for (const auto &key : d_keeper->getEntryPoints(compat::zoneOf(d_soa))) {
    for (const auto &digest : digests) {
      if (key.second.published) {
        set.records.insert(std::make_shared<DSRecordContent>(compat::makeDs(
            d_soa, key.first.getDNSKEY(), static_cast<uint8_t>(std::stoul(digest)))));
      }
    }
  }
  return true;
}

// Empty where the keys give none: then what the database has is served.
ServedSet ServedZone::madeFromKeys(uint16_t type)
{
  ServedSet set{compat::nameOf(d_soa).makeLowerCase(), type, d_soa.minimum, {}};
  const bool more = type == QType::DNSKEY ? addDnskeys(set)
                    : type == QType::CDS  ? addCds(set)
                                          : addCdnskeys(set);

  if (more && d_directDnskey) {
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
  for (const uint16_t type : {QType::DNSKEY, QType::CDS, QType::CDNSKEY}) {
    const ServedSet set = madeFromKeys(type);
    if (set.records.empty()) {
      continue;
    }
    d_made.insert(type);
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

// All names at which there is something, and those between them and the zone's own.
std::set<DNSName> ServedZone::names()
{
  std::set<DNSName> found;
  DNSZoneRecord row;

  if (!d_soa.db->list(compat::zoneOf(d_soa), d_soa.domain_id, false)) {
    throw DBException("the database behind this zone does not list its records");
  }
  while (d_soa.db->get(row)) {
    DNSName name = row.dr.d_name.makeLowerCase();
    while (name.isPartOf(compat::nameOf(d_soa)) && found.insert(name).second && name.chopOff()) {
    }
  }
  return found;
}

bool ServedZone::isServedAsItIs(const DNSName &name, const DNSZoneRecord &row)
{
  const uint16_t type = row.dr.d_type;

  if (type == QType::ALIAS && d_expandAlias) {
    ++d_aliases;
    return false;
  }
  if (type == QType::LUA) {
    d_luas += doesLua() ? 1 : 0;
    return false;
  }
  const bool isMade =
      type == QType::SOA || (name == compat::nameOf(d_soa) && d_made.count(type) > 0);
  return type != QType::ENT && type != QType::RRSIG && !isMade;
}

bool ServedZone::setsAt(const DNSName &name, const Rows &rows, const Visitor &visit)
{
  std::map<uint16_t, ServedSet> sets;
  std::set<uint16_t> hinted;

  for (const auto &row : rows) {
    if (!isServedAsItIs(name, row)) {
      continue;
    }
    if (hasAutomaticHint(row)) {
      hinted.insert(row.dr.d_type);
    }
    ServedSet &set = sets[row.dr.d_type];
    set.name = name;
    set.type = row.dr.d_type;
    set.ttl = row.dr.d_ttl; // the last one's, should they differ
    if (row.auth || set.type == QType::DS) {
      set.records.insert(compat::contentOf(row.dr));
    }
  }
  d_hinted += hinted.size();
  for (const uint16_t type : hinted) {
    sets.erase(type);
  }
  return std::all_of(sets.begin(), sets.end(), [&](const auto &entry) {
    return entry.second.records.empty() || visit(entry.second);
  });
}

bool ServedZone::eachOther(const Visitor &visit)
{
  const ServedSet param = nsec3Param();

  if (!param.records.empty()) {
    d_made.insert(QType::NSEC3PARAM);
    if (!visit(param)) {
      return false;
    }
  }
  for (const auto &name : names()) {
    const Rows found = rows(QType::ANY, name);
    if (!setsAt(name, found, visit)) {
      return false;
    }
    const auto denial = d_denial->at(name, found);
    if (denial && !visit(*denial)) {
      return false;
    }
  }
  return true;
}
} // namespace pkcs11signer

// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include "pdns-compat.hh"

#include <functional>
#include <memory>
#include <set>
#include <vector>

namespace pkcs11signer {
class Denial;

// An RRset as PowerDNS puts it into its answers, with the TTL that it signs.
struct ServedSet { // NOLINT(bugprone-exception-escape): of moving it, says clang-tidy 14
  DNSName name;    // lower case
  uint16_t type = 0;
  uint32_t ttl = 0;
  sortedRecords_t records;
};

// A zone as PowerDNS answers from it: every RRset that it would sign for some query, and the
// records that deny others. Asks the database just as the server does for each name, on connections
// of its own and past all caches, so what comes out is what the server makes its signatures from:
// the order of records, TTLs, type bitmaps and neighbours in the chain are the database's.
//
// What is made when it is asked for (LUA, ALIAS, automatic hints, NSEC3 narrow) is left out and
// counted. Throws PDNSException and std::exception. For a thread that may wait for the database.
class ServedZone {
public:
  using Visitor = std::function<bool(const ServedSet &set)>; // false: enough

  // Throws DBException when there is no such zone.
  explicit ServedZone(const compat::Zone &zone);
  ~ServedZone();
  ServedZone(const ServedZone &) = delete;
  ServedZone &operator=(const ServedZone &) = delete;

  const SOAData &soa() const { return d_soa; }
  DNSSECKeeper &keeper() { return *d_keeper; }
  DNSSECKeeper::keyset_t keys() { return d_keeper->getKeys(compat::zoneOf(d_soa)); }
  bool isPresigned() { return d_keeper->isPresigned(compat::zoneOf(d_soa)); }

  // DNSKEY, CDS and CDNSKEY as PowerDNS makes them from the keys.
  bool eachOfKeys(const Visitor &visit);
  // The SOA, with that serial.
  ServedSet soaSet(uint32_t serial) const;
  // All others, name by name.
  bool eachOther(const Visitor &visit);

  // Known after eachOther().
  size_t aliases() const { return d_aliases; }
  size_t luas() const { return d_luas; }
  size_t hinted() const { return d_hinted; } // SVCB and HTTPS with automatic address hints
  bool isNarrow() const;

  // For Denial.
  using Rows = std::vector<DNSZoneRecord>;
  Rows rows(uint16_t type, const DNSName &name);
  bool doesLua();

private:
  std::set<DNSName> names();
  bool isServedAsItIs(const DNSName &name, const DNSZoneRecord &row);
  bool setsAt(const DNSName &name, const Rows &rows, const Visitor &visit);
  ServedSet madeFromKeys(uint16_t type);
  bool addDnskeys(ServedSet &set);
  bool addCds(ServedSet &set);
  bool addCdnskeys(ServedSet &set);
  ServedSet nsec3Param();

  std::unique_ptr<UeberBackend> d_db;
  std::unique_ptr<DNSSECKeeper> d_keeper;
  SOAData d_soa;
  std::unique_ptr<Denial> d_denial;
  std::set<uint16_t> d_made; // types that keys give records of
  bool d_expandAlias, d_directDnskey;
  size_t d_aliases = 0, d_luas = 0, d_hinted = 0;
};

// Declares PowerDNS's settings that say how answers are made, where (pdnsutil) it has none of them.
void declareAnswerSettings();
} // namespace pkcs11signer

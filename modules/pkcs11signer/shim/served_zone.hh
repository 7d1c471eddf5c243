// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include "shim/listing.hh"

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

extern "C" {
#include "format/soaedit.h"
}

namespace pkcs11signer {
class Denial;
class TransferChain;
struct PublishedKeys;

// An RRset as PowerDNS puts it into its answers and transfers, with the TTL that it signs.
struct ServedSet { // NOLINT(bugprone-exception-escape): of moving it, says clang-tidy 14
  DNSName name;    // lower case
  uint16_t type = 0;
  uint32_t ttl = 0;
  sortedRecords_t records;
};
// What its signature says but for key and time.
RRSIGRecordContent rrsigOf(const ServedSet &set, const SOAData &soa);

// A zone as PowerDNS answers from it and transfers it: every RRset that it would sign for some
// query, and the records that deny others. For each name the database is asked just as the server
// asks it, on connections of its own and past all caches. So the order of records, TTLs, type
// bitmaps and neighbours in the chain are those that the server signs.
//
// Records that are made when they are asked for (LUA, ALIAS, automatic hints, NSEC3 narrow) are
// left out and counted; so is a name with a record that PowerDNS cannot read. Throws PDNSException
// and std::exception. May wait for the database.
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
  // How PowerDNS makes the serial that it serves (shim/current.hh), and the word of SOA-EDIT.
  p11s_soa_edit soaEdit(std::string &word);
  bool isPresigned() { return d_keeper->isPresigned(compat::zoneOf(d_soa)); }

  // DNSKEY, CDS and CDNSKEY as PowerDNS makes them from the keys.
  bool eachOfKeys(const Visitor &visit);
  // The SOA, with that serial.
  ServedSet soaSet(uint32_t serial) const;
  // All others, name by name.
  bool eachOther(const Visitor &visit);

  // What eachOther() has left out.
  struct LeftOut {
    size_t aliases = 0, luas = 0;
    size_t hinted = 0;     // SVCB and HTTPS with automatic address hints
    size_t expanded = 0;   // ALIAS, in transfers
    bool isBroken = false; // the chain (Denial)
    std::set<DNSName> unreadable;
    std::string reasons; // of the first few unreadable: a clause for each, with a NUL behind it
    size_t unfound = 0;  // names that no query finds: only a transfer has them
    std::string firstUnfound; // one of these names
  };
  const LeftOut &leftOut() const { return d_leftOut; }
  bool isNarrow() const { return d_isNarrow; }

  // For Denial and TransferChain.
  using Rows = std::vector<DNSZoneRecord>;
  Rows rows(uint16_t type, const DNSName &name);
  bool doesLua();
  std::set<uint16_t> madeTypes() const; // at the zone's own name
  void noteUnreadable(const DNSName &name, const std::string &reason);

private:
  struct Found { // rows of one type at a name
    sortedRecords_t answered, transferred;
    std::set<uint32_t> ttls;
    bool isHinted = false;
  };
  using Sets = std::vector<ServedSet>;

  Sets setsAt(const DNSName &name);
  void findAt(const DNSName &name, const DNSZoneRecord &row, Found &found);
  bool isAnswered(const DNSZoneRecord &row);
  bool isTransferred(const DNSName &name, const DNSZoneRecord &row);
  void addSets(const DNSName &name, uint16_t type, Found &found, Sets &sets);
  PublishedKeys publishedKeys();
  ServedSet madeFromKeys(uint16_t type, const PublishedKeys &keys);
  ServedSet nsec3Param();

  std::unique_ptr<UeberBackend> d_db;
  std::unique_ptr<DNSSECKeeper> d_keeper;
  SOAData d_soa;
  std::unique_ptr<Listing> d_listing;
  std::unique_ptr<Denial> d_denial;
  std::unique_ptr<TransferChain> d_transfer;
  std::map<uint16_t, ServedSet> d_made; // at the zone's own name, not out of the database
  bool d_isNarrow = false;              // then there are no transfers
  bool d_expandAlias, d_directDnskey, d_transferExpandsAlias;
  LeftOut d_leftOut;
};
} // namespace pkcs11signer

// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

// Every difference between PowerDNS versions, and the only place where its headers come in.
// 4.7 to 5.1; P11S_PDNS_NUMBER is 40703 for 4.7.3 (m4/p11s_pdns.m4).

#include "pkcs11signer-config.h"

#include <dnsbackend.hh>
#include <dnssecinfra.hh>

#include <arguments.hh>
#include <base32.hh>
#include <dnsrecords.hh>
#include <dnsseckeeper.hh>
#include <logger.hh>
#include <ueberbackend.hh>

#include <limits>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

// Exported by pdns_server, not by pdnsutil: null there.
extern std::string getPDNSVersion() __attribute__((weak));

namespace pkcs11signer {
namespace compat {
inline bool isServer()
{
  return getPDNSVersion != nullptr;
}

// --- configuration

using GatherIncludes47 = void (ArgvMap::*)(std::vector<std::string> &);
using GatherIncludes49 = void (ArgvMap::*)(const std::string &, const std::string &,
                                           std::vector<std::string> &);

inline void gather(GatherIncludes47 function, std::vector<std::string> &files)
{
  (::arg().*function)(files);
}

inline void gather(GatherIncludes49 function, std::vector<std::string> &files)
{
  (::arg().*function)(::arg()["include-dir"], ".conf", files);
}

// The files of include-dir, in PowerDNS's order.
inline std::vector<std::string> includedFiles()
{
  std::vector<std::string> files;
  gather(&ArgvMap::gatherIncludes, files);
  return files;
}

// --- zones

#if P11S_PDNS_NUMBER >= 50000
using Zone = ZoneName;
using DomainId = domainid_t;

// A zone with a variant may only be shown to backends that know of them.
inline bool takes(DNSBackend &backend, const Zone &zone)
{
  return !zone.hasVariant() || (backend.getCapabilities() & DNSBackend::CAP_VIEWS) != 0;
}
#else
using Zone = DNSName;
using DomainId = int;

inline bool takes(DNSBackend & /* backend */, const Zone & /* zone */)
{
  return true;
}
#endif

inline Zone zoneNamed(const std::string &text)
{
  return Zone(text);
}

inline std::string zoneText(const Zone &zone)
{
  return zone.makeLowerCase().toString();
}

// --- a backend that holds no data

class Dataless : public DNSBackend {
public:
  void lookup(const QType & /* qtype */, const DNSName & /* qdomain */, DomainId /* id */,
              DNSPacket * /* packet */) override
  {
  }
  bool get(DNSResourceRecord & /* record */) override { return false; }
  bool list(const Zone & /* zone */, DomainId /* id */, bool /* disabled */) override
  {
    return false;
  }
  void getAllDomains(vector<DomainInfo> * /* domains */, bool /* getSerial */,
                     bool /* disabled */) override
  {
  }
  // `pdnsutil test-schema` takes the first backend for the database.
#if P11S_PDNS_NUMBER >= 40900
  bool createSecondaryDomain(const string &address, const Zone &zone, const string &nameserver,
                             const string &account) override
  {
    return first().createSecondaryDomain(address, zone, nameserver, account);
  }
#else
  bool createSlaveDomain(const string &address, const Zone &zone, const string &nameserver,
                         const string &account) override
  {
    return first().createSlaveDomain(address, zone, nameserver, account);
  }
#endif
#if P11S_PDNS_NUMBER >= 50000
  bool getSOA(const Zone & /* zone */, DomainId /* id */, SOAData & /* soa */) override
  {
    return false;
  }
  // Keys of zones with variants come to us too: siblings that know no variants are spared them.
  unsigned int getCapabilities() override
  {
    return CAP_DIRECT | CAP_VIEWS;
  }
#else
  bool getSOA(const Zone & /* zone */, SOAData & /* soa */) override
  {
    return false;
  }
#endif

protected:
  virtual DNSBackend &
  first() const = 0; // of those behind it; throws DBException when there is none
};

// --- factories

// What the repository holds: raw pointers that it owns, or from 4.9.1 owning ones.
#if P11S_PDNS_NUMBER >= 40901
using OwnedFactory = std::unique_ptr<BackendFactory>;
#else
using OwnedFactory = BackendFactory *;
#endif

inline void report(BackendFactory *factory)
{
  BackendMakers().report(OwnedFactory(factory));
}

// Puts a factory that owns the present one in its place.
template <typename Wrapper> void wrapFactory(OwnedFactory &place)
{
#if P11S_PDNS_NUMBER >= 40901
  place = std::make_unique<Wrapper>(place.release());
#else
  place = new Wrapper(place);
#endif
}

// One of each backend launched.
inline std::vector<std::unique_ptr<DNSBackend>> makeBackends()
{
#if P11S_PDNS_NUMBER >= 40900
  return BackendMakers().all();
#else
  std::vector<std::unique_ptr<DNSBackend>> made;
  for (DNSBackend *backend : BackendMakers().all()) {
    made.emplace_back(backend);
  }
  return made;
#endif
}

// From 4.9 on pdnsutil has deleted all other backends when it runs a backend's command, so that
// one needs a set of its own. Empty where they are still there.
inline std::vector<std::unique_ptr<DNSBackend>> backendsForCommand()
{
#if P11S_PDNS_NUMBER >= 40900
  return makeBackends();
#else
  return {};
#endif
}

inline bool findSoa(DNSBackend &backend, const Zone &zone, SOAData &soa)
{
#if P11S_PDNS_NUMBER >= 50000
  return backend.getSOA(zone, UnknownDomainID, soa);
#else
  return backend.getSOA(zone, soa);
#endif
}

// Whether other zones may be served under the name of one of the backend's.
inline bool hasViews([[maybe_unused]] DNSBackend &backend)
{
#if P11S_PDNS_NUMBER >= 50000
  std::vector<std::string> views;
  if ((backend.getCapabilities() & DNSBackend::CAP_VIEWS) != 0) {
    backend.viewList(views);
  }
  return !views.empty();
#else
  return false;
#endif
}

// --- keys

// From 5.0 on the LMDB backend makes an engine of each key that it stores, for the key's tag.
inline bool makesEngineOfNewKeys([[maybe_unused]] DNSBackend &backend)
{
#if P11S_PDNS_NUMBER >= 50000
  return backend.getPrefix().rfind("lmdb", 0) == 0;
#else
  return false;
#endif
}

// From 4.8 on PowerDNS computes the DNSKEY of each key that it reads, also when all it wants is to
// remove it.
constexpr bool ReadsAllPublicKeys = P11S_PDNS_NUMBER >= 40800;

#if P11S_PDNS_NUMBER >= 40800
using KeyMessages = std::optional<std::reference_wrapper<std::vector<std::string>>>;

inline void addMessage(const KeyMessages &messages, const std::string &text)
{
  if (messages) {
    messages->get().push_back(text);
  }
}
#else
using KeyMessages = std::vector<std::string> *;

inline void addMessage(KeyMessages messages, const std::string &text)
{
  if (messages != nullptr) {
    messages->push_back(text);
  }
}
#endif

class KeyEngine : public DNSCryptoKeyEngine {
public:
  using DNSCryptoKeyEngine::DNSCryptoKeyEngine;
#if P11S_PDNS_NUMBER < 40800
  // 4.7 finds signatures in its cache by this, later versions by the DNSKEY.
  std::string getPubKeyHash() const override
  {
    return publicKeyHash();
  }
#endif
  virtual std::string publicKeyHash() const = 0;
};

// The function that makes engines of this class, for algorithm numbers that are Offset too large.
#if P11S_PDNS_NUMBER >= 50100
template <typename Engine, unsigned int Offset>
std::unique_ptr<DNSCryptoKeyEngine> makeEngine(Logr::log_t log, unsigned int algorithm)
{
  return std::make_unique<Engine>(log, algorithm - Offset);
}
#else
template <typename Engine, unsigned int Offset>
std::unique_ptr<DNSCryptoKeyEngine> makeEngine(unsigned int algorithm)
{
  return std::make_unique<Engine>(algorithm - Offset);
}
#endif

// --- what `warm` reads of a zone and signs; exported by pdns_server and by pdnsutil

#if P11S_PDNS_NUMBER >= 40800
using Content = std::shared_ptr<const DNSRecordContent>;

inline const Content &contentOf(const DNSRecord &record)
{
  return record.getContent();
}
#else
using Content = std::shared_ptr<DNSRecordContent>;

inline const Content &contentOf(const DNSRecord &record)
{
  return record.d_content;
}
#endif

inline std::shared_ptr<DNSRecordContent> parseContent(uint16_t type, const std::string &text)
{
#if P11S_PDNS_NUMBER >= 40900
  return DNSRecordContent::make(type, QClass::IN, text);
#else
  return DNSRecordContent::mastermake(type, QClass::IN, text);
#endif
}

#if P11S_PDNS_NUMBER >= 50000
inline const DNSName &nameOf(const SOAData &soa)
{
  return soa.qname();
}
inline const ZoneName &zoneOf(const SOAData &soa)
{
  return soa.zonename;
}
#else
inline const DNSName &nameOf(const SOAData &soa)
{
  return soa.qname;
}
inline const DNSName &zoneOf(const SOAData &soa)
{
  return soa.qname;
}
#endif

#if P11S_PDNS_NUMBER >= 50100
inline std::unique_ptr<DNSSECKeeper> makeKeeper(UeberBackend &db)
{
  return std::make_unique<DNSSECKeeper>(nullptr, &db);
}
inline uint32_t editedSerial(const SOAData &soa, const std::string &kind)
{
  return calculateEditSOA(soa.serial, kind, soa.zonename, nullptr);
}
inline DSRecordContent makeDs(const SOAData &soa, const DNSKEYRecordContent &key, uint8_t digest)
{
  return makeDSFromDNSKey(nullptr, soa.qname(), key, digest);
}
#else
inline std::unique_ptr<DNSSECKeeper> makeKeeper(UeberBackend &db)
{
  return std::make_unique<DNSSECKeeper>(&db);
}
inline uint32_t editedSerial(const SOAData &soa, const std::string &kind)
{
  return calculateEditSOA(soa.serial, kind, zoneOf(soa));
}
inline DSRecordContent makeDs(const SOAData &soa, const DNSKEYRecordContent &key, uint8_t digest)
{
  return makeDSFromDNSKey(nameOf(soa), key, digest);
}
#endif

#if P11S_PDNS_NUMBER >= 50103
inline uint32_t startOfWeek()
{
  return getStartOfWeek().first;
}
inline uint32_t soaEditSpread()
{
  return static_cast<uint32_t>(::arg().asNum("soa-edit-spread", 0));
}
inline uint32_t expiryExtension()
{
  return ::arg()["rrsig-expiry-extend"] == "soa-edit-spread"
             ? soaEditSpread()
             : static_cast<uint32_t>(::arg().asNum("rrsig-expiry-extend", 0));
}
// How far into a week the zone's serial changes, as weekSpreadDelay() has it, which in pdnsutil
// does not know the setting.
inline uint32_t serialDelay(const SOAData &soa)
{
  const auto hash = static_cast<uint32_t>(soa.zonename.hash());
  return soaEditSpread() == 0 ? 0 : hash / (std::numeric_limits<uint32_t>::max() / soaEditSpread());
}
// Defaults of settings that pdnsutil does not know all.
constexpr const char *InitialSoaEditSpread = "0", *InitialRrsigExpiryExtend = "soa-edit-spread";
#else
inline uint32_t startOfWeek()
{
  return getStartOfWeek();
}
inline uint32_t expiryExtension()
{
  return 0;
}
inline uint32_t serialDelay(const SOAData & /* soa */)
{
  return 0;
}
// There are no such settings.
constexpr const char *InitialSoaEditSpread = nullptr, *InitialRrsigExpiryExtend = nullptr;
#endif
} // namespace compat
} // namespace pkcs11signer

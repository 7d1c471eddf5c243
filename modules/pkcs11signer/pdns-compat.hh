// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

// Every difference between PowerDNS versions, and the only place where its headers come in.
// So far: 4.7.

#include <dnsbackend.hh>
#include <dnssecinfra.hh>

#include <arguments.hh>
#include <logger.hh>

#include <string>

namespace pkcs11signer {
namespace compat {
using Zone = DNSName; // ZoneName from 5.0
using DomainId = int; // domainid_t from 5.0

inline std::string zoneText(const Zone &zone)
{
  return zone.makeLowerCase().toString();
}

// The repository of backend factories holds raw pointers that it deletes (unique_ptr from 4.9.1).
inline void report(BackendFactory *factory)
{
  BackendMakers().report(factory);
}
} // namespace compat
} // namespace pkcs11signer

// Exported by pdns_server, not by pdnsutil: null there.
extern std::string getPDNSVersion() __attribute__((weak));

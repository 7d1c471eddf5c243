// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include "shim/key_rows.hh"

namespace pkcs11signer {
// The DNSBackend that stands before the one with the data. It holds no zone. It passes key calls to
// its siblings, and wraps each row that refers to a key on a token, so that PowerDNS makes our
// engine of it.
class Backend : public compat::Dataless {
public:
  explicit Backend(const string &suffix);
  ~Backend() override;
  Backend(const Backend &) = delete;
  Backend &operator=(const Backend &) = delete;

  void addSibling(DNSBackend *sibling) { d_siblings.push_back(sibling); }
  // No sibling is being made in this thread. A server's first complete set starts its preparation.
  void noteSiblings();
  const Siblings &siblings() const { return d_siblings; }

  // Asked of the first backend for each name that is in none of PowerDNS's caches.
  void lookup(const QType &type, const DNSName &name, compat::DomainId id,
              DNSPacket *packet) override;

  // Keys. What is not overridden here PowerDNS asks of the siblings itself.
  bool getDomainKeys(const compat::Zone &zone, std::vector<KeyData> &keys) override;
  bool addDomainKey(const compat::Zone &zone, const KeyData &key, int64_t &id) override;

  // Siblings say yes to these whether they have the row or not: only the one that has it is asked.
  bool removeDomainKey(const compat::Zone &zone, unsigned int id) override
  {
    return changeKey(zone, id, &DNSBackend::removeDomainKey);
  }
  bool activateDomainKey(const compat::Zone &zone, unsigned int id) override
  {
    return changeKey(zone, id, &DNSBackend::activateDomainKey);
  }
  bool deactivateDomainKey(const compat::Zone &zone, unsigned int id) override
  {
    return changeKey(zone, id, &DNSBackend::deactivateDomainKey);
  }
  bool publishDomainKey(const compat::Zone &zone, unsigned int id) override
  {
    return changeKey(zone, id, &DNSBackend::publishDomainKey);
  }
  bool unpublishDomainKey(const compat::Zone &zone, unsigned int id) override
  {
    return changeKey(zone, id, &DNSBackend::unpublishDomainKey);
  }

  // DNSSECKeeper talks to the first backend about transactions: that is us.
  bool startTransaction(const compat::Zone &zone, compat::DomainId id) override
  {
    return first().startTransaction(zone, id);
  }
  bool commitTransaction() override { return first().commitTransaction(); }
  bool abortTransaction() override { return first().abortTransaction(); }
  bool inTransaction() override { return !d_siblings.empty() && first().inTransaction(); }

  string directBackendCmd(const string &query) override;

protected:
  DNSBackend &first() const override;

private:
  using KeyChange = bool (DNSBackend::*)(const compat::Zone &, unsigned int);
  bool changeKey(const compat::Zone &zone, unsigned int id, KeyChange change);
  string runCommand(const string &query); // with these siblings

  Siblings d_siblings; // made and deleted after us
};
} // namespace pkcs11signer

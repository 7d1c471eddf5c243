// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include "shim/pdns-compat.hh"

#include <string>

extern "C" {
#include "sign/key.h"
}

namespace pkcs11signer {
// A key on a token as PowerDNS sees it. PowerDNS's key cache has one for each zone and key; they
// share what costs memory or time, the interned p11s_key.
//
// A row that cannot be used makes an engine too, so that the zone can be shown and repaired. Such
// an engine throws DBException, which means SERVFAIL, only where the key itself is needed.
class Engine : public compat::KeyEngine {
public:
  using compat::KeyEngine::KeyEngine;
  ~Engine() override;
  Engine(const Engine &) = delete;
  Engine &operator=(const Engine &) = delete;

  // For 65536 and 65536 + n (format/wrap.h). Not before the first backend is made: test-algorithms
  // would try to make keys with them.
  static void registerMakers();

  string getName() const override { return "PKCS#11 (pkcs11signer)"; }
  void create(unsigned int bits) override;
  storvector_t convertToISCVector() const override;
  std::string sign(const std::string &message) const override;
  bool verify(const std::string &message, const std::string &signature) const override;
  std::string publicKeyHash() const override;
  std::string getPublicKeyString() const override;
  int getBits() const override;
  bool checkKey(compat::KeyMessages messages) const override;
  void fromISCMap(DNSKEYRecordContent &drc, stormap_t &stormap) override;
  void fromPublicKeyString(const std::string &content) override;

  p11s_key *key() const; // borrowed; throws when the row is broken

private:
  const p11s_pubkey *publicKey() const;
  [[noreturn]] void fail(const std::string &reason) const;

  p11s_key *d_key = nullptr; // a reference
  std::string d_zone;
  unsigned d_id = 0;
  std::string d_broken; // why the row cannot be used
  // The public key, when a backend makes an engine of a key that it stores (format/keyref_lmdb.h).
  std::string d_stored;
};
} // namespace pkcs11signer

// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include "shim/pdns-compat.hh"

#include <string>
#include <vector>

// The rows of the table cryptokeys, as the siblings have them. On this side a content is a plain
// key reference (format/keyref.h), in whatever form a sibling stores it (format/keyref_lmdb.h). An
// exception of a sibling passes through.
namespace pkcs11signer {
using Siblings = std::vector<DNSBackend *>; // borrowed from PowerDNS's UeberBackend

// A zone's rows, of the first sibling that has any. Their contents may hold PINs, and are wiped.
class KeyRows : public std::vector<DNSBackend::KeyData> {
public:
  KeyRows(const Siblings &siblings, const compat::Zone &zone);
  ~KeyRows();
  KeyRows(const KeyRows &) = delete;
  KeyRows &operator=(const KeyRows &) = delete;

  bool answered() const { return d_answered; } // false: no sibling did
  bool have(int64_t id) const;

private:
  KeyRows() = default;
  bool d_answered = false;
};

// Stores a row and reads it back, as a sibling that does not know the zone says yes and stores
// nothing. Returns the id, or -1 when no sibling keeps the row. A row that comes back as another
// one is removed again: DBException.
int64_t addRow(const Siblings &siblings, const compat::Zone &zone, const DNSBackend::KeyData &row);

// The sibling that has the zone's row of this id; nullptr: none has.
DNSBackend *holderOf(const Siblings &siblings, const compat::Zone &zone, unsigned int id);

// Whether a sibling stores keys: DNSSEC is enabled in it, and it does not leave them to another one
// (bind-hybrid).
bool haveKeeper(const Siblings &siblings);
constexpr const char *NoKeeper = "no database behind pkcs11signer stores keys, so no zone can be "
                                 "signed: is DNSSEC enabled there "
                                 "(gsqlite3-dnssec, gmysql-dnssec, bind-dnssec-db)?";

// Overwrites a string that held a PIN before it is freed.
void wipe(std::string &text);
} // namespace pkcs11signer

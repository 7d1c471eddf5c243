// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include "shim/pdns-compat.hh"

#include <string>
#include <vector>

// The rows of the cryptokeys table, as the siblings have them. Contents are plain key references
// (format/keyref.h) on this side, in whatever form a sibling stores them (format/keyref_lmdb.h).
namespace pkcs11signer {
// Appends a zone's rows, of the first sibling that has any; false when none answers at all. What a
// sibling throws passes through, here and below.
bool readRows(const std::vector<DNSBackend *> &siblings, const compat::Zone &zone,
              std::vector<DNSBackend::KeyData> &rows);

// Stores a row in the first sibling that has it when it is read back: one that does not know the
// zone says yes and stores nothing. Its id; -1 when no sibling keeps it. A row that comes back as
// another one is removed again: DBException.
int64_t addRow(const std::vector<DNSBackend *> &siblings, const compat::Zone &zone,
               const DNSBackend::KeyData &row);

// The sibling that has the zone's row of this id; nullptr when none has.
DNSBackend *holderOf(const std::vector<DNSBackend *> &siblings, const compat::Zone &zone,
                     unsigned int id);

// Whether one of them stores keys: DNSSEC is enabled in it, and it does not leave them to another
// one (bind-hybrid).
bool haveKeeper(const std::vector<DNSBackend *> &siblings);
constexpr const char *NoKeeper = "no database behind pkcs11signer stores keys, so no zone can be "
                                 "signed: is DNSSEC enabled there "
                                 "(gsqlite3-dnssec, gmysql-dnssec, bind-dnssec-db)?";

// Overwrites a string that held a PIN before it is freed.
void wipe(std::string &text);
} // namespace pkcs11signer

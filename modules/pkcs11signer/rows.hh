// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include "pdns-compat.hh"

#include <string>
#include <vector>

// The rows of the cryptokeys table, as the siblings have them. Contents are plain key references
// (keyref.h) on this side, in whatever form a sibling stores them (stored.h).
namespace pkcs11signer {
// Appends a zone's rows, of the first sibling that answers; false when none does. What a sibling
// throws passes through.
bool readRows(const std::vector<DNSBackend *> &siblings, const compat::Zone &zone,
              std::vector<DNSBackend::KeyData> &rows);

// Stores a row in the first sibling that takes it; false when none does.
bool addRow(const std::vector<DNSBackend *> &siblings, const compat::Zone &zone,
            const DNSBackend::KeyData &row, int64_t &id);

// Overwrites a string that held a PIN before it is freed.
void wipe(std::string &text);
} // namespace pkcs11signer

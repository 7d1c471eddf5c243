// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

namespace pkcs11signer {
// Whether this process is pdnsutil with a command that shows or changes a zone's keys, and prints
// nothing of a key without a public key (its size is 0). Such a command goes on where a row cannot
// be used, so that the operator sees the row and can repair the zone.
bool isRepairing();
} // namespace pkcs11signer

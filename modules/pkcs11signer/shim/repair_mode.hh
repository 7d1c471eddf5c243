// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

namespace pkcs11signer {
// Whether this process is pdnsutil with one of the commands that show or change a zone's keys and
// print nothing of a key that has no public key (its size is 0). These go on where a row cannot be
// used, so that the operator sees it and can repair the zone.
bool isRepairing();
} // namespace pkcs11signer

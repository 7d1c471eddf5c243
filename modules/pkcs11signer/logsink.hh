// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

namespace pkcs11signer {
// Leads the core's debug lines to PowerDNS's log.
void installLogSink();
} // namespace pkcs11signer

// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

namespace pkcs11signer {
// Leads the core's lines (base/log.h) to PowerDNS's log. Once per process, before any other call of
// the core. In pdnsutil they are for debugging only, as it shows the errors of its commands itself.
void installLogSink();
} // namespace pkcs11signer

// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

namespace pkcs11signer {
// Makes the core's counters PowerDNS statistics: pkcs11signer-NAME in pdns_control and in /metrics.
// Once per process, before PowerDNS's threads ask for statistics.
void declareMetrics();
} // namespace pkcs11signer

// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>

namespace pkcs11signer {
// Makes the core's counters PowerDNS statistics: pkcs11signer-NAME in pdns_control and in /metrics.
// Once per process, before PowerDNS's threads ask for statistics.
void declareMetrics();

// How many questions PowerDNS has dealt to threads that have not taken them up.
uint64_t questionsWaiting();
} // namespace pkcs11signer

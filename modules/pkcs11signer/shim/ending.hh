// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

// SIGTERM and SIGINT end a server as an administrator's `quit` does, and with the status that the
// stock server ends with.
namespace pkcs11signer {
// Where these signals would end the process at once (PowerDNS 4.7 handles neither): from now on a
// thread calls `stop` first. A second signal ends it at once. Once in a process, after its last
// fork().
void endInOrder(void (*stop)());
} // namespace pkcs11signer

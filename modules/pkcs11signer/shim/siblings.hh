// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

class DNSBackend;

// The other backends of the UeberBackend that a pkcs11signer backend belongs to.
//
// PowerDNS makes all backends of an UeberBackend one after the other on one thread, ours first. So
// every other factory is wrapped in one that reports each backend to the pkcs11signer backend that
// this thread made last.
namespace pkcs11signer {
class Backend;

// Wraps the factories, once per process. Call when the first of our backends is made: all the
// others are registered by then, and none of them has been used.
void observeFactories();

// This thread's siblings-to-be report to this backend from now on; nullptr: to none.
void collectSiblingsFor(Backend *backend);
// Called by a backend that goes away.
void forgetCollector(const Backend *backend);
} // namespace pkcs11signer

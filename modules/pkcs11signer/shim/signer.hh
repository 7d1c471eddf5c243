// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

extern "C" {
#include "signer/signer.h"
}

namespace pkcs11signer {
// The process's signer, which an exit handler stops. Made from the settings at the first call,
// which must come after pdns.conf was read; made anew in a child of fork(), where the threads of
// the old one are gone. Throws PDNSException when a setting makes no sense. Any thread.
p11s_signer *signer();
} // namespace pkcs11signer

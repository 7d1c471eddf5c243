// SPDX-License-Identifier: GPL-2.0-or-later
#include "logsink.hh"

#include "pdns-compat.hh"

extern "C" {
#include "log.h"
}

namespace pkcs11signer {
namespace {
void toLog(const char *line)
{
  g_log << Logger::Debug << "[pkcs11signer] " << line << endl;
}
} // namespace

void installLogSink()
{
  p11s_log_set_sink(toLog);
}
} // namespace pkcs11signer

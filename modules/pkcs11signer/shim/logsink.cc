// SPDX-License-Identifier: GPL-2.0-or-later
#include "shim/logsink.hh"

#include "shim/pdns-compat.hh"

extern "C" {
#include "base/log.h"
}

namespace pkcs11signer {
namespace {
Logger::Urgency urgency(p11s_log_level level)
{
  switch (level) {
  case P11S_LOG_NOTICE:
    return Logger::Notice;
  case P11S_LOG_WARNING:
    return Logger::Warning;
  case P11S_LOG_ERROR:
    return Logger::Error;
  case P11S_LOG_DEBUG:
    break;
  }
  return Logger::Debug;
}

// pdnsutil shows the error that its command failed with, and needs no second line about it.
void toLog(p11s_log_level level, const char *line)
{
  g_log << (compat::isServer() ? urgency(level) : Logger::Debug) << "[pkcs11signer] " << line
        << endl;
}
} // namespace

void installLogSink()
{
  p11s_log_set_sink(toLog);
}
} // namespace pkcs11signer

// SPDX-License-Identifier: GPL-2.0-or-later
#include "shim/metrics.hh"

#include "shim/pdns-compat.hh"
#include "shim/settings.hh"
#include "shim/signer.hh"

#include <mutex>
#include <statbag.hh>

extern "C" {
#include "base/counters.h"
}

extern StatBag S;

namespace pkcs11signer {
namespace {
void declareGauge(const std::string &name, const std::string &help,
                  size_t p11s_signer_stats::*member)
{
  S.declare(
      std::string(ModuleName) + "-" + name, help,
      [member](const std::string &) -> uint64_t {
        p11s_signer_stats stats{};
        p11s_signer_get_stats(signer(), &stats);
        return stats.*member;
      },
      StatType::gauge);
}
} // namespace

uint64_t questionsWaiting()
{
  return S.read("qsize-q");
}

void declareMetrics()
{
  static std::once_flag s_once;
  std::call_once(s_once, [] {
    for (int i = 0; i < P11S_STAT_COUNT; ++i) {
      const auto counter = static_cast<p11s_counter>(i);
      S.declare(
          std::string(ModuleName) + "-" + p11s_counter_name(counter), p11s_counter_explain(counter),
          [counter](const std::string &) { return p11s_counter_get(counter); }, StatType::counter);
    }
#define DECLARE(member, name, help) declareGauge(name, help, &p11s_signer_stats::member);
    P11S_GAUGES(DECLARE)
#undef DECLARE
  });
}
} // namespace pkcs11signer

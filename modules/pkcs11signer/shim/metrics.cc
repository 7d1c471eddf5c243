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
    declareGauge("queue", "signatures waiting for a session", &p11s_signer_stats::queued);
    declareGauge("under-way", "signatures being made or waiting", &p11s_signer_stats::under_way);
    declareGauge("workers", "threads that talk to tokens", &p11s_signer_stats::workers);
    declareGauge("tokens", "tokens in use", &p11s_signer_stats::tokens);
    declareGauge("tokens-away", "tokens that are not there", &p11s_signer_stats::away);
    declareGauge("tokens-stuck", "tokens that do not answer", &p11s_signer_stats::stuck);
    declareGauge("pin-tries-left",
                 "PIN tries of the token with the fewest: 0 locked, 1 the last, 2 some, 3 all",
                 &p11s_signer_stats::pin_tries_left);
    declareGauge("store-signatures", "signatures in the store",
                 &p11s_signer_stats::store_signatures);
    declareGauge("store-bytes", "bytes that the store uses", &p11s_signer_stats::store_bytes);
    declareGauge("store-queue", "records waiting to be written to the store",
                 &p11s_signer_stats::store_queued);
    declareGauge("fleet-connected", "1 when the fleet's store answers",
                 &p11s_signer_stats::fleet_connected);
    declareGauge("fleet-queue", "records waiting to be written to the fleet's store",
                 &p11s_signer_stats::fleet_queued);
    declareGauge("ahead-missing", "signatures for the weeks to come, still to be made",
                 &p11s_signer_stats::ahead_missing);
    declareGauge("ahead-until",
                 "until when what was served is stored, in seconds since 1970; 0: not known",
                 &p11s_signer_stats::ahead_until);
    declareGauge("ahead-seconds-left", "seconds until then", &p11s_signer_stats::ahead_seconds);
    declareGauge("keys", "key references in memory", &p11s_signer_stats::keys);
  });
}
} // namespace pkcs11signer

// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include "shim/served_zone.hh"

#include <string>
#include <vector>

extern "C" {
#include "ahead/host.h"
}

namespace pkcs11signer {
// The messages that PowerDNS has signed of a zone by keys on tokens (ahead/host.h, each_demand).
// Beyond RFC 4034 it is PowerDNS's way which key signs what, for how long, and in which form.
// Throws as ServedZone does.
class ZoneMessages {
public:
  ZoneMessages(const compat::Zone &zone, unsigned weeks, const p11s_demand_sink &sink);
  void demandAll();

private:
  struct Signer {
    p11s_key *key; // borrowed from d_keys
    uint16_t tag;
    uint8_t algorithm;
    bool signsKeys, signsOthers;
  };

  bool demand(const ServedSet &set, int week);
  bool demandSoa();
  void leaveOut(std::string what) const;
  void sayWhatIsLeftOut();

  ServedZone d_zone;
  unsigned d_weeks;
  const p11s_demand_sink &d_sink;
  DNSSECKeeper::keyset_t d_keys;
  std::vector<Signer> d_signers;
  bool d_signsOthers = false;
  uint32_t d_start; // of this week
};
} // namespace pkcs11signer

// SPDX-License-Identifier: GPL-2.0-or-later
#include "shim/zone_messages.hh"

#include "shim/engine.hh"

#include <ctime>

extern "C" {
#include "format/message.h"
}

namespace pkcs11signer {
namespace {
constexpr uint32_t Day = 86400;
} // namespace

ZoneMessages::ZoneMessages(const compat::Zone &zone, unsigned weeks, const p11s_demand_sink &sink)
    : d_zone(zone.makeLowerCase()), d_weeks(weeks), d_sink(sink), d_start(compat::startOfWeek())
{
  if (d_zone.isPresigned()) {
    return;
  }
  d_keys = d_zone.keys();
  for (const auto &[key, meta] : d_keys) {
    const auto *engine = dynamic_cast<const Engine *>(key.getKey().get());
    if (engine == nullptr || !meta.active) {
      continue;
    }
    const DNSKEYRecordContent record = key.getDNSKEY();
    const bool isKsk = meta.keyType == DNSSECKeeper::KSK;
    d_signers.push_back({engine->key(), DNSKEYRecordContent(record).getTag(), record.d_algorithm,
                         meta.keyType != DNSSECKeeper::ZSK, !isKsk});
    d_signsOthers = d_signsOthers || !isKsk;
  }
}

void ZoneMessages::leaveOut(std::string what) const
{
  p11s_error_clean(what.data());
  d_sink.left_out(what.c_str(), d_sink.arg);
}

// A KSK signs DNSKEY, CDS and CDNSKEY only; a ZSK all but DNSKEY; a key that is alone of its
// algorithm, everything.
bool ZoneMessages::demand(const ServedSet &set, int week)
{
  RRSIGRecordContent sig = rrsigOf(set, d_zone.soa());

  sig.d_siginception = d_start - 7 * Day;
  sig.d_sigexpire = d_start + 14 * Day + compat::expiryExtension();
  for (const auto &signer : d_signers) {
    if (!(isOfKeys(set.type) && signer.signsKeys) &&
        !(set.type != QType::DNSKEY && signer.signsOthers)) {
      continue;
    }
    sig.d_tag = signer.tag;
    sig.d_algorithm = signer.algorithm;
    const std::string message = getMessageForRRSET(set.name, sig, set.records);
    const p11s_demand one{signer.key, reinterpret_cast<const unsigned char *>(message.data()),
                          message.size(), week};
    if (!d_sink.demand(&one, d_sink.arg)) {
      return false;
    }
  }
  return true;
}

bool ZoneMessages::demandSoa()
{
  std::string word;
  const p11s_soa_edit edit = d_zone.soaEdit(word);
  const auto now = static_cast<uint32_t>(time(nullptr));

  if (edit.kind == P11S_SOA_EDIT_EPOCH) {
    leaveOut("the SOA record, which negative answers have too: with SOA-EDIT " + word +
             " its serial cannot be known in advance");
    return true;
  }
  if (edit.kind == P11S_SOA_EDIT_NONE) {
    return demand(d_zone.soaSet(edit.serial), P11S_EVERY_WEEK);
  }
  for (unsigned week = 0; week <= d_weeks; ++week) {
    uint32_t serials[P11S_SOA_EDIT_SERIALS];
    const unsigned count =
        p11s_soa_edit_serials(&edit, d_start + week * P11S_WEEK_SECONDS, now, serials);
    for (unsigned i = 0; i < count; ++i) {
      if (!demand(d_zone.soaSet(serials[i]), static_cast<int>(week))) {
        return false;
      }
    }
  }
  return true;
}

void ZoneMessages::sayWhatIsLeftOut()
{
  const ServedZone::LeftOut &what = d_zone.leftOut();
  const auto count = [this](size_t n, const std::string &clause) {
    if (n > 0) {
      leaveOut(std::to_string(n) + " " + clause);
    }
  };
  size_t named = 0;

  if (d_zone.isNarrow()) {
    leaveOut(
        "denials of names that do not exist: with NSEC3 narrow they are made from the name that "
        "was asked for");
  }
  if (what.isBroken) {
    leaveOut("denials: what the database has for them is not the zone's chain, as it is not "
             "rectified (pdnsutil rectify-zone)");
  }
  count(what.luas, "LUA records: their answers are made when they are asked for");
  count(what.aliases, "ALIAS records: their addresses come from elsewhere");
  count(what.expanded, "ALIAS records in transfers: their addresses come from elsewhere");
  count(what.hinted,
        "SVCB or HTTPS RRsets with automatic hints: made when they are asked for, also "
        "by a transfer");
  if (what.unfound > 0) {
    leaveOut("transfers: the database has " + what.firstUnfound +
             (what.unfound > 1 ? " and " + std::to_string(what.unfound - 1) + " more names" : "") +
             " in another spelling than queries look for, so only transfers have the records");
  }
  for (size_t at = 0; at < what.reasons.size(); at = what.reasons.find('\0', at) + 1, ++named) {
    leaveOut(what.reasons.c_str() + at);
  }
  count(what.unreadable.size() - named, "more names with records that PowerDNS cannot read");
}

void ZoneMessages::demandAll()
{
  const auto visit = [this](const ServedSet &set) { return demand(set, P11S_EVERY_WEEK); };

  if (d_zone.isPresigned()) {
    leaveOut("everything: the zone is presigned, its signatures are in the database");
    return;
  }
  if (d_signers.empty()) {
    leaveOut("everything: no active key of the zone is on a token");
    return;
  }
  if (!d_zone.eachOfKeys(visit)) {
    return;
  }
  if (!d_signsOthers) {
    leaveOut("everything but the keys: the zone's ZSK is not on a token");
    return;
  }
  if (demandSoa() && d_zone.eachOther(visit)) {
    sayWhatIsLeftOut();
  }
}
} // namespace pkcs11signer

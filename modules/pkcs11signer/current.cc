// SPDX-License-Identifier: GPL-2.0-or-later
#include "current.hh"

#include "rows.hh"

#include <algorithm>
#include <map>
#include <set>

namespace pkcs11signer {
namespace {
using Metadata = std::map<std::string, std::vector<std::string>>;

// A zone's, of the first sibling that keeps any.
Metadata metadataOf(const std::vector<DNSBackend *> &siblings, const compat::Zone &zone)
{
  Metadata found;
  (void)std::any_of(siblings.begin(), siblings.end(), [&](DNSBackend *sibling) {
    return compat::takes(*sibling, zone) && sibling->getAllDomainMetadata(zone, found);
  });
  return found;
}

std::string valueOf(const Metadata &metadata, const char *kind)
{
  const auto found = metadata.find(kind);
  return found == metadata.end() || found->second.empty() ? "" : found->second.front();
}

bool hasActiveKey(const std::vector<DNSBackend *> &siblings, const compat::Zone &zone)
{
  std::vector<DNSBackend::KeyData> keys;
  bool active = false;

  (void)readRows(siblings, zone, keys);
  for (auto &key : keys) {
    active = active || key.active;
    wipe(key.content);
  }
  return active;
}

// As DNSSECKeeper::getSoaEdit() has it.
std::string soaEditOf(const std::vector<DNSBackend *> &siblings, const compat::Zone &zone,
                      const Metadata &metadata)
{
  std::string own = valueOf(metadata, "SOA-EDIT");
  if (!own.empty()) {
    return own;
  }
  const std::string &ifSigned = ::arg()["default-soa-edit-signed"];
  return !ifSigned.empty() && hasActiveKey(siblings, zone) ? ifSigned : ::arg()["default-soa-edit"];
}

// Backends that hold records and give everybody the same: not those that run programs or look where
// the asker is.
bool isPlain(DNSBackend &backend)
{
  static const char *const names[] = {"gsqlite3", "gmysql", "gpgsql", "godbc", "lmdb", "bind"};
  return std::any_of(std::begin(names), std::end(names),
                     [&](const char *name) { return backend.getPrefix().rfind(name, 0) == 0; });
}

// Types of which the records at a name are not, or not all, those that stand there.
bool isMade(uint16_t type)
{
  static const std::set<uint16_t> made{QType::DNSKEY, QType::CDS,   QType::CDNSKEY,
                                       QType::NSEC,   QType::NSEC3, QType::NSEC3PARAM,
                                       QType::SVCB,   QType::HTTPS};
  return made.count(type) > 0;
}

struct StoredSet {
  bool sure = true;
  uint32_t ttl = 0;
  sortedRecords_t records;
};

void addRow(StoredSet &set, const DNSZoneRecord &row, uint16_t type)
{
  const uint16_t stands = row.dr.d_type;

  set.sure = set.sure && stands != QType::LUA && stands != QType::ALIAS;
  if (stands != type || (!row.auth && type != QType::DS)) {
    return;
  }
  set.sure = set.sure && (set.records.empty() || set.ttl == row.dr.d_ttl);
  set.ttl = row.dr.d_ttl;
  set.records.insert(compat::contentOf(row.dr));
}

StoredSet storedSet(const std::vector<DNSBackend *> &siblings, const SOAData &soa,
                    const RrsetName &name)
{
  StoredSet set;
  DNSZoneRecord row;

  for (auto *sibling : siblings) {
    sibling->lookup(QType(QType::ANY), name.owner, soa.domain_id, nullptr);
    while (sibling->get(row)) {
      set.sure = set.sure && sibling == soa.db;
      addRow(set, row, name.type);
    }
  }
  return set;
}

std::string messageOf(const SOAData &soa, const RrsetName &name, const StoredSet &set)
{
  RRSIGRecordContent sig;

  sig.d_type = name.type;
  sig.d_labels = static_cast<uint8_t>(name.owner.countLabels() - (name.owner.isWildcard() ? 1 : 0));
  sig.d_originalttl = set.ttl;
  sig.d_algorithm = 0;
  sig.d_sigexpire = sig.d_siginception = 0;
  sig.d_tag = 0;
  sig.d_signer = compat::nameOf(soa);
  return getMessageForRRSET(name.owner, sig, set.records);
}
} // namespace

p11s_soa_edit soaEdit(const SOAData &soa, const std::string &word)
{
  p11s_soa_edit edit{p11s_soa_edit_parse(word.c_str()), soa.serial, compat::serialDelay(soa)};

  if (edit.kind != P11S_SOA_EDIT_NONE) {
    // Last week's may be: the week turns just now, or (in pdnsutil) PowerDNS knows of no delay.
    const p11s_soa_edit either{edit.kind, edit.serial, 1};
    uint32_t serials[P11S_SOA_EDIT_SERIALS];
    const uint32_t served = compat::editedSerial(soa, word);
    const unsigned count = p11s_soa_edit_serials(&either, compat::startOfWeek(), 0, serials);
    if (std::find(serials, serials + count, served) == serials + count) {
      edit.kind = P11S_SOA_EDIT_EPOCH;
    }
  }
  return edit;
}

p11s_zone_state currentState(const std::vector<DNSBackend *> &siblings, const compat::Zone &zone)
{
  p11s_zone_state state{};
  DomainInfo info;
  SOAData soa;

  for (auto *sibling : siblings) {
    if (!compat::takes(*sibling, zone)) {
      continue;
    }
    state.variants = state.variants || compat::hasViews(*sibling);
    state.has_soa = state.has_soa || compat::findSoa(*sibling, zone, soa);
    state.exists = state.exists || state.has_soa || sibling->getDomainInfo(zone, info, false);
  }
  if (state.exists) {
    const Metadata metadata = metadataOf(siblings, zone);
    state.presigned = valueOf(metadata, "PRESIGNED") == "1";
    if (state.has_soa && !state.presigned) {
      state.soa_edit = soaEdit(soa, soaEditOf(siblings, zone, metadata));
      // Of several zones of that name each has a serial of its own.
      if (state.variants && state.soa_edit.kind != P11S_SOA_EDIT_NONE) {
        state.soa_edit.kind = P11S_SOA_EDIT_EPOCH;
      }
    }
  }
  return state;
}

p11s_served_kind currentSet(const std::vector<DNSBackend *> &siblings, const compat::Zone &zone,
                            const RrsetName &name, std::string &message)
{
  SOAData soa;
  StoredSet set;

  for (auto *sibling : siblings) {
    if (!isPlain(*sibling) || compat::hasViews(*sibling)) {
      return P11S_SERVED_UNSURE;
    }
  }
  if (isMade(name.type) || std::none_of(siblings.begin(), siblings.end(), [&](auto *sibling) {
        return compat::findSoa(*sibling, zone, soa);
      })) {
    return P11S_SERVED_UNSURE;
  }
  if (name.type == QType::SOA) {
    set.ttl = soa.ttl;
    set.records.insert(makeSOAContent(soa));
  } else {
    set = storedSet(siblings, soa, name);
  }
  if (!set.sure) {
    return P11S_SERVED_UNSURE;
  }
  if (set.records.empty()) {
    return P11S_SERVED_NOTHING;
  }
  message = messageOf(soa, name, set);
  return P11S_SERVED_THIS;
}
} // namespace pkcs11signer

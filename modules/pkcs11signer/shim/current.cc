// SPDX-License-Identifier: GPL-2.0-or-later
#include "shim/current.hh"

#include "shim/denial.hh"
#include "shim/keysets.hh"
#include "shim/key_rows.hh"

#include <algorithm>
#include <map>
#include <optional>
#include <set>

namespace pkcs11signer {
namespace {
using Metadata = std::map<std::string, std::vector<std::string>>;

// A zone's, of the first sibling that keeps any.
Metadata metadataOf(const Siblings &siblings, const compat::Zone &zone)
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

bool hasActiveKey(const Siblings &siblings, const compat::Zone &zone)
{
  const KeyRows keys(siblings, zone);
  return std::any_of(keys.begin(), keys.end(), [](const auto &key) { return key.active; });
}

// As DNSSECKeeper::getSoaEdit() has it.
std::string soaEditOf(const Siblings &siblings, const compat::Zone &zone, const Metadata &metadata)
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

bool isOfChain(uint16_t type)
{
  return type == QType::NSEC || type == QType::NSEC3 || type == QType::NSEC3PARAM;
}

// Whether the row leaves no doubt of what the set is.
bool addRow(ServedSet &set, const DNSZoneRecord &row)
{
  const uint16_t stands = row.dr.d_type;

  if (stands == QType::LUA || stands == QType::ALIAS) {
    return false;
  }
  if (stands != set.type || (!row.auth && stands != QType::DS)) {
    return true;
  }
  const bool sure = set.records.empty() || set.ttl == row.dr.d_ttl;
  set.ttl = row.dr.d_ttl;
  set.records.insert(compat::contentOf(row.dr));
  return sure;
}

p11s_served_kind storedSet(const Siblings &siblings, const SOAData &soa, ServedSet &set)
{
  bool sure = true;
  DNSZoneRecord row;

  for (auto *sibling : siblings) {
    sibling->lookup(QType(QType::ANY), set.name, soa.domain_id, nullptr);
    while (sibling->get(row)) {
      sure = addRow(set, row) && sure && sibling == soa.db;
    }
  }
  if (!sure) {
    return P11S_SERVED_UNSURE;
  }
  return set.records.empty() ? P11S_SERVED_NOTHING : P11S_SERVED_THIS;
}

// What is to be published of that type, as DNSSECKeeper::getPublishCDS() and getPublishCDNSKEY()
// have it; "": nothing.
std::string wantedOf(const Metadata &metadata, uint16_t type)
{
  const char *const kind = type == QType::CDS ? "PUBLISH-CDS" : "PUBLISH-CDNSKEY";
  const char *const setting =
      type == QType::CDS ? "default-publish-cds" : "default-publish-cdnskey";
  const auto found = metadata.find(kind);

  return found == metadata.end() || found->second.empty() ? ::arg()[setting]
                                                          : found->second.front();
}

// At the zone's own name. Where direct-dnskey adds records of the database, or at other names, only
// the database would know.
p11s_served_kind setOfKeys(const Siblings &siblings, const SOAData &soa, ServedSet &set)
{
  const std::string wanted = set.type == QType::DNSKEY
                                 ? ""
                                 : wantedOf(metadataOf(siblings, compat::zoneOf(soa)), set.type);

  if (set.name != compat::nameOf(soa)) {
    return P11S_SERVED_UNSURE;
  }
  if (set.type != QType::DNSKEY && wanted.empty()) {
    return P11S_SERVED_NOTHING;
  }
  const auto keys = publishedKeys(siblings, compat::zoneOf(soa));
  if (!keys || ::arg().mustDo("direct-dnskey")) {
    return P11S_SERVED_UNSURE;
  }
  set.ttl = soa.minimum;
  addFromKeys(set, soa, *keys, wanted);
  return set.records.empty() ? P11S_SERVED_UNSURE : P11S_SERVED_THIS;
}

// The records by which a zone denies what is not there, as PowerDNS makes them of the database's
// chain: the same as Denial's, for one owner, and without its caches.
class CurrentChain {
public:
  CurrentChain(const Siblings &siblings, const SOAData &soa)
      : d_siblings(siblings), d_soa(soa), d_metadata(metadataOf(siblings, compat::zoneOf(soa))),
        d_isNsec3(!valueOf(d_metadata, "NSEC3PARAM").empty()),
        d_isNarrow(valueOf(d_metadata, "NSEC3NARROW") == "1")
  {
    if (d_isNsec3) {
      d_param = NSEC3PARAMRecordContent(valueOf(d_metadata, "NSEC3PARAM"));
      d_param.d_algorithm = 1;
      d_param.d_iterations = static_cast<uint16_t>(
          std::min<int>(d_param.d_iterations, ::arg().asNum("max-nsec3-iterations")));
    }
  }

  p11s_served_kind find(const RrsetName &name, ServedSet &set) const
  {
    if ((name.type != QType::NSEC) != d_isNsec3) {
      return P11S_SERVED_NOTHING;
    }
    if (name.type == QType::NSEC3PARAM) {
      set = {name.owner, name.type, d_soa.minimum, {}};
      auto param = std::make_shared<NSEC3PARAMRecordContent>(d_param);
      param->d_flags = 0; // RFC 5155, 4.1.2
      set.records.insert(param);
      return P11S_SERVED_THIS;
    }
    if (d_isNsec3 && d_isNarrow) {
      return P11S_SERVED_UNSURE;
    }
    return d_isNsec3 ? findNsec3(name.owner, set) : findNsec(name.owner, set);
  }

private:
  p11s_served_kind findNsec(const DNSName &owner, ServedSet &set) const
  {
    DNSName before, after;

    if (!d_soa.db->getBeforeAndAfterNames(d_soa.domain_id, compat::zoneOf(d_soa), owner, before,
                                          after)) {
      return P11S_SERVED_UNSURE;
    }
    const auto types = typesAt(owner);
    if (types && types->empty()) {
      return P11S_SERVED_NOTHING;
    }
    if (!types || before != owner) {
      return P11S_SERVED_UNSURE;
    }
    set = nsecSet(d_soa, owner, after, *types);
    return P11S_SERVED_THIS;
  }

  // Whose hash it is only the database can say, if it does.
  p11s_served_kind findNsec3(const DNSName &owner, ServedSet &set) const
  {
    const DNSName place = owner.makeRelative(compat::nameOf(d_soa));
    DNSName name, before, after;

    if (!d_soa.db->getBeforeAndAfterNamesAbsolute(d_soa.domain_id, place, name, before, after)) {
      return P11S_SERVED_UNSURE;
    }
    if (before != place) { // with opt-out PowerDNS serves some that are no links (Denial::linkAt())
      return (d_param.d_flags & 1) != 0 ? P11S_SERVED_UNSURE : P11S_SERVED_NOTHING;
    }
    const auto types = name.empty() ? std::nullopt : typesAt(name);
    if (!types) {
      return P11S_SERVED_UNSURE;
    }
    set = nsec3Set(d_soa, d_param, fromBase32Hex(before.toStringNoDot()),
                   fromBase32Hex(after.toStringNoDot()), *types);
    return P11S_SERVED_THIS;
  }

  // None: something there is made when it is asked for.
  std::optional<Types> typesAt(const DNSName &name) const
  {
    const bool direct = ::arg().mustDo("direct-dnskey");
    Types types;
    DNSZoneRecord row;
    bool sure = true;

    for (auto *sibling : d_siblings) {
      sibling->lookup(QType(QType::ANY), name, d_soa.domain_id, nullptr);
      while (sibling->get(row)) {
        const uint16_t type = row.dr.d_type;
        sure = sure && sibling == d_soa.db && type != QType::LUA && type != QType::ALIAS;
        if ((row.auth || type == QType::NS) && (direct || !isOfKeys(type))) {
          types.insert(type);
        }
      }
    }
    if (name == compat::nameOf(d_soa)) {
      addApexTypes(types);
    }
    return sure ? std::optional<Types>(types) : std::nullopt;
  }

  void addApexTypes(Types &types) const
  {
    const KeyRows keys(d_siblings, compat::zoneOf(d_soa));

    types.insert(QType::SOA);
    if (d_isNsec3) {
      types.insert(QType::NSEC3PARAM);
    }
    if (std::none_of(keys.begin(), keys.end(), [](const auto &key) { return key.published; })) {
      return;
    }
    types.insert(QType::DNSKEY);
    for (const uint16_t type : {QType::CDS, QType::CDNSKEY}) {
      if (!wantedOf(d_metadata, type).empty()) {
        types.insert(type);
      }
    }
  }

  const Siblings &d_siblings;
  const SOAData &d_soa;
  Metadata d_metadata;
  bool d_isNsec3, d_isNarrow;
  NSEC3PARAMRecordContent d_param;
};
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

p11s_zone_state currentState(const Siblings &siblings, const compat::Zone &zone)
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

p11s_served_kind currentSet(const Siblings &siblings, const compat::Zone &zone,
                            const RrsetName &name, std::string &message)
{
  SOAData soa;

  for (auto *sibling : siblings) {
    if (!isPlain(*sibling) || compat::hasViews(*sibling)) {
      return P11S_SERVED_UNSURE;
    }
  }
  if (std::none_of(siblings.begin(), siblings.end(),
                   [&](auto *sibling) { return compat::findSoa(*sibling, zone, soa); })) {
    return P11S_SERVED_UNSURE;
  }
  // The records at a name are not all that is served there.
  if (name.type == QType::SVCB || name.type == QType::HTTPS) {
    return P11S_SERVED_UNSURE;
  }
  ServedSet set{name.owner, name.type, 0, {}};
  p11s_served_kind kind = P11S_SERVED_THIS;
  if (isOfKeys(name.type)) {
    kind = setOfKeys(siblings, soa, set);
  } else if (isOfChain(name.type)) {
    kind = CurrentChain(siblings, soa).find(name, set);
  } else if (name.type == QType::SOA) {
    set.ttl = soa.ttl;
    set.records.insert(makeSOAContent(soa));
  } else {
    kind = storedSet(siblings, soa, set);
  }
  if (kind == P11S_SERVED_THIS) {
    message = getMessageForRRSET(set.name, rrsigOf(set, soa), set.records);
  }
  return kind;
}
} // namespace pkcs11signer

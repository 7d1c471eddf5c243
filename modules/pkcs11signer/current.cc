// SPDX-License-Identifier: GPL-2.0-or-later
#include "current.hh"

#include "rows.hh"

#include <algorithm>
#include <map>
#include <strings.h>

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
  const std::string own = valueOf(metadata, "SOA-EDIT");
  if (!own.empty()) {
    return own;
  }
  const std::string &ifSigned = ::arg()["default-soa-edit-signed"];
  return !ifSigned.empty() && hasActiveKey(siblings, zone) ? ifSigned : ::arg()["default-soa-edit"];
}

p11s_soa_edit kindNamed(const std::string &word)
{
  static const std::pair<const char *, p11s_soa_edit> kinds[] = {
      {"", P11S_SOA_EDIT_NONE},
      {"NONE", P11S_SOA_EDIT_NONE},
      {"EPOCH", P11S_SOA_EDIT_EPOCH},
      {"INCEPTION-EPOCH", P11S_SOA_EDIT_INCEPTION_EPOCH},
      {"INCEPTION-INCREMENT", P11S_SOA_EDIT_INCEPTION_INCREMENT},
      {"INCREMENT-WEEKS", P11S_SOA_EDIT_INCREMENT_WEEKS}};
  const auto found = std::find_if(std::begin(kinds), std::end(kinds), [&](const auto &kind) {
    return strcasecmp(kind.first, word.c_str()) == 0;
  });
  return found == std::end(kinds) ? P11S_SOA_EDIT_UNKNOWN : found->second;
}
} // namespace

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
    if (!state.has_serial && compat::findSoa(*sibling, zone, soa)) {
      state.has_serial = true;
      state.serial = soa.serial;
    }
    state.exists = state.exists || state.has_serial || sibling->getDomainInfo(zone, info, false);
  }
  if (state.exists) {
    const Metadata metadata = metadataOf(siblings, zone);
    state.presigned = valueOf(metadata, "PRESIGNED") == "1";
    state.soa_edit =
        state.presigned ? P11S_SOA_EDIT_NONE : kindNamed(soaEditOf(siblings, zone, metadata));
  }
  return state;
}
} // namespace pkcs11signer

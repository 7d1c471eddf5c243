// SPDX-License-Identifier: GPL-2.0-or-later
#include "shim/keysets.hh"

#include "shim/key_rows.hh"
#include "shim/owners.hh"
#include "shim/signer.hh"

#include <algorithm>
#include <set>

namespace pkcs11signer {
namespace {
struct Reference {
  RefOwner ref;
  uint16_t flags;
  bool active, published;
};

// false: a key is not on a token, or its row cannot be read.
bool readReferences(const Siblings &siblings, const compat::Zone &zone,
                    std::vector<Reference> &references)
{
  const KeyRows rows(siblings, zone);
  bool good = rows.answered();

  for (const auto &row : rows) {
    p11s_keyref *ref = nullptr;
    good = good && p11s_keyref_is_ours(row.content.data(), row.content.size()) &&
           p11s_keyref_parse(row.content.data(), row.content.size(), &ref, nullptr) == P11S_OK;
    references.push_back({RefOwner(ref, p11s_keyref_free), static_cast<uint16_t>(row.flags),
                          row.active, row.published});
  }
  return good;
}

bool addPublished(const Reference &row, bool isEntryPoint, PublishedKeys &keys)
{
  p11s_key *found = nullptr;
  size_t len = 0;

  if (p11s_signer_key(signer(), row.ref.get(), &found, nullptr) != P11S_OK) {
    return false;
  }
  const KeyOwner key(found, p11s_key_release);
  const p11s_pubkey *publicKey = p11s_key_public(found);
  if (publicKey == nullptr) {
    return false;
  }
  const unsigned char *data = p11s_pubkey_data(publicKey, &len);
  DNSKEYRecordContent record;
  record.d_flags = row.flags;
  record.d_protocol = 3;
  record.d_algorithm = static_cast<uint8_t>(row.ref->algorithm);
  record.d_key.assign(reinterpret_cast<const char *>(data), len);
  keys.all.push_back(record);
  if (isEntryPoint) {
    keys.entryPoints.push_back(record);
  }
  return true;
}

void addCdnskeys(ServedSet &set, const PublishedKeys &keys)
{
  for (const auto &key : keys.entryPoints) {
    set.records.insert(std::make_shared<DNSKEYRecordContent>(key));
  }
}

void addCds(ServedSet &set, const SOAData &soa, const PublishedKeys &keys,
            const std::vector<std::string> &digests)
{
  for (const auto &key : keys.entryPoints) {
    for (const auto &digest : digests) {
      set.records.insert(std::make_shared<DSRecordContent>(
          compat::makeDs(soa, key, static_cast<uint8_t>(std::stoul(digest)))));
    }
  }
}
} // namespace

std::optional<PublishedKeys> publishedKeys(const Siblings &siblings, const compat::Zone &zone)
{
  constexpr uint16_t Ksk = 257;
  std::set<unsigned> ofKsks, ofOthers; // algorithms
  std::vector<Reference> rows;
  PublishedKeys keys;

  if (!readReferences(siblings, zone, rows)) {
    return std::nullopt;
  }
  for (const auto &row : rows) {
    if (row.active) {
      (row.flags == Ksk ? ofKsks : ofOthers).insert(row.ref->algorithm);
    }
  }
  for (const auto &row : rows) {
    const unsigned algorithm = row.ref->algorithm;
    const bool isSplit = ofKsks.count(algorithm) > 0 && ofOthers.count(algorithm) > 0;
    if (row.published && !addPublished(row, row.flags == Ksk || !isSplit, keys)) {
      return std::nullopt;
    }
  }
  return keys;
}

bool addFromKeys(ServedSet &set, const SOAData &soa, const PublishedKeys &keys,
                 const std::string &wanted)
{
  std::vector<std::string> words;

  if (set.type == QType::DNSKEY) {
    for (const auto &key : keys.all) {
      set.records.insert(std::make_shared<DNSKEYRecordContent>(key));
    }
    return true;
  }
  // RFC 8078, 4: "0" means that the parent's DS records are to go.
  if (set.type == QType::CDNSKEY) {
    words.push_back(wanted);
  } else {
    stringtok(words, wanted, ", ");
  }
  if (std::find(words.begin(), words.end(), "0") != words.end()) {
    set.records.insert(
        compat::parseContent(set.type, set.type == QType::CDS ? "0 0 0 00" : "0 3 0 AA=="));
    return false;
  }
  if (wanted.empty()) {
    return false;
  }
  if (set.type == QType::CDS) {
    addCds(set, soa, keys, words);
  } else {
    addCdnskeys(set, keys);
  }
  return true;
}
} // namespace pkcs11signer

// SPDX-License-Identifier: GPL-2.0-or-later
#include "shim/key_rows.hh"

#include "shim/owners.hh"

#include <algorithm>
#include <openssl/crypto.h>

extern "C" {
#include "format/keyref_lmdb.h"
}

namespace pkcs11signer {
namespace {
// Also of a database that has been moved here from LMDB.
void makePlain(std::string &content)
{
  Text plain;
  if (p11s_keyref_lmdb_to_plain(content.data(), content.size(), &plain)) {
    std::string text = plain.text();
    wipe(content);
    content = std::move(text);
  }
}

bool isSame(const DNSBackend::KeyData &a, const DNSBackend::KeyData &b)
{
  return a.flags == b.flags && a.active == b.active && a.published == b.published &&
         a.content == b.content;
}

// false: the sibling does not take it.
bool offer(DNSBackend &sibling, const compat::Zone &zone, const DNSBackend::KeyData &row,
           int64_t &id)
{
  DNSBackend::KeyData stored = row;
  if (compat::makesEngineOfNewKeys(sibling)) {
    Text text;
    p11s_keyref_lmdb_from_plain(row.content.data(), row.content.size(), &text);
    wipe(stored.content);
    stored.content = text.text();
  }
  const bool taken = sibling.addDomainKey(zone, stored, id);
  wipe(stored.content);
  return taken;
}

// The row's id, -1: the sibling does not keep it. The id that it gives may be of an earlier row, or
// none.
int64_t addTo(DNSBackend &sibling, const compat::Zone &zone, const DNSBackend::KeyData &row)
{
  const KeyRows before({&sibling}, zone);
  int64_t id = -1;

  if (!offer(sibling, zone, row, id)) {
    return -1;
  }
  const KeyRows after({&sibling}, zone);
  for (const auto &found : after) {
    if (!before.have(found.id) && isSame(found, row)) {
      return found.id;
    }
  }
  if (id < 0 || before.have(id) || !after.have(id)) {
    return -1;
  }
  sibling.removeDomainKey(zone, static_cast<unsigned int>(id));
  throw DBException("the database did not keep the key reference as it was given (the column "
                    "'content' of its table cryptokeys must hold UTF-8), so it is removed again");
}
} // namespace

// Delegates, so that what was read is wiped also when a sibling throws.
KeyRows::KeyRows(const Siblings &siblings, const compat::Zone &zone) : KeyRows()
{
  for (auto *sibling : siblings) {
    d_answered |= compat::takes(*sibling, zone) && sibling->getDomainKeys(zone, *this);
    if (!empty()) {
      break;
    }
  }
  for (auto &row : *this) {
    makePlain(row.content);
  }
}

KeyRows::~KeyRows()
{
  for (auto &row : *this) {
    wipe(row.content);
  }
}

bool KeyRows::have(int64_t id) const
{
  return std::any_of(begin(), end(), [id](const auto &row) { return row.id == id; });
}

int64_t addRow(const Siblings &siblings, const compat::Zone &zone, const DNSBackend::KeyData &row)
{
  int64_t id = -1;

  for (auto *sibling : siblings) {
    if (id < 0 && compat::takes(*sibling, zone)) {
      id = addTo(*sibling, zone, row);
    }
  }
  return id;
}

DNSBackend *holderOf(const Siblings &siblings, const compat::Zone &zone, unsigned int id)
{
  for (auto *sibling : siblings) {
    if (compat::takes(*sibling, zone) && KeyRows({sibling}, zone).have(id)) {
      return sibling;
    }
  }
  return nullptr;
}

bool haveKeeper(const Siblings &siblings)
{
  return std::any_of(siblings.begin(), siblings.end(), [](auto *sibling) {
    const std::string &prefix = sibling->getPrefix();
    return sibling->doesDNSSEC() &&
           !(prefix.rfind("bind", 0) == 0 && ::arg().mustDo(prefix + "-hybrid"));
  });
}

void wipe(std::string &text)
{
  if (!text.empty()) {
    OPENSSL_cleanse(&text[0], text.size());
  }
}
} // namespace pkcs11signer

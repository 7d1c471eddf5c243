// SPDX-License-Identifier: GPL-2.0-or-later
#include "rows.hh"

#include <openssl/crypto.h>

extern "C" {
#include "stored.h"
}

namespace pkcs11signer {
namespace {
struct Text : p11s_buf {
  Text() : p11s_buf P11S_BUF_INIT {}
  ~Text() { p11s_buf_wipe(this); }
  Text(const Text &) = delete;
  Text &operator=(const Text &) = delete;
  std::string text() const
  {
    if (failed) {
      throw DBException("out of memory");
    }
    return {p11s_buf_text(this), len};
  }
};

// Also of a database that has been moved here from LMDB.
void makePlain(std::string &content)
{
  Text plain;
  if (p11s_stored_to_plain(content.data(), content.size(), &plain)) {
    std::string text = plain.text();
    wipe(content);
    content = std::move(text);
  }
}
} // namespace

bool readRows(const std::vector<DNSBackend *> &siblings, const compat::Zone &zone,
              std::vector<DNSBackend::KeyData> &rows)
{
  const size_t before = rows.size();
  bool answered = false;

  for (auto *sibling : siblings) {
    answered = compat::takes(*sibling, zone) && sibling->getDomainKeys(zone, rows);
    if (answered) {
      break;
    }
  }
  for (size_t i = before; i < rows.size(); ++i) {
    makePlain(rows[i].content);
  }
  return answered;
}

bool addRow(const std::vector<DNSBackend *> &siblings, const compat::Zone &zone,
            const DNSBackend::KeyData &row, int64_t &id)
{
  for (auto *sibling : siblings) {
    if (!compat::takes(*sibling, zone)) {
      continue;
    }
    DNSBackend::KeyData stored = row;
    if (compat::makesEngineOfNewKeys(*sibling)) {
      Text text;
      p11s_stored_from_plain(row.content.data(), row.content.size(), &text);
      wipe(stored.content);
      stored.content = text.text();
    }
    const bool taken = sibling->addDomainKey(zone, stored, id);
    wipe(stored.content);
    if (taken) {
      return true;
    }
  }
  return false;
}

void wipe(std::string &text)
{
  if (!text.empty()) {
    OPENSSL_cleanse(&text[0], text.size());
  }
}
} // namespace pkcs11signer

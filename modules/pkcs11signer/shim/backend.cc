// SPDX-License-Identifier: GPL-2.0-or-later
#include "shim/backend.hh"

#include "shim/command_line.hh"
#include "shim/engine.hh"
#include "shim/host.hh"
#include "shim/metrics.hh"
#include "shim/patience.hh"
#include "shim/owners.hh"
#include "shim/settings.hh"
#include "shim/signer.hh"
#include "shim/siblings.hh"
#include "shim/threads.hh"

#include <iostream>
#include <memory>
#include <mutex>

extern "C" {
#include "admin/assign.h"
#include "command/command.h"
#include "format/keyref.h"
#include "base/lock.h"
#include "base/paste.h"
#include "format/wrap.h"
}

namespace pkcs11signer {
namespace {
// At the start of a server, before it answers anything.
constexpr uint64_t PrepareWaitMs = 1000;

// What PowerDNS is to see in place of the content of a row that is ours.
std::string wrapped(const std::string &zone, const DNSBackend::KeyData &row)
{
  Text out;
  p11s_error error{};
  p11s_keyref *ref = nullptr;
  p11s_key *key = nullptr;

  if (p11s_keyref_parse(row.content.data(), row.content.size(), &ref, &error) == P11S_OK &&
      p11s_signer_key(signer(), ref, &key, &error) == P11S_OK) {
    p11s_wrap_key(zone.c_str(), row.id, p11s_key_identity(key), p11s_key_reference(key), &out);
  } else {
    Text message;
    p11s_buf_addf(&message, "%s; assign the key anew, or remove the row with ", error.text);
    p11s_paste(&message, "pdnsutil", "remove-zone-key", zone.c_str(),
               std::to_string(row.id).c_str(), nullptr);
    p11s_wrap_broken(zone.c_str(), row.id, message.text().c_str(), &out);
  }
  p11s_key_release(key);
  p11s_keyref_free(ref);
  return out.text();
}
} // namespace

Backend::Backend(const string &suffix)
{
  setArgPrefix(ModuleName + suffix);
  (void)signer(); // says now if a setting makes no sense
  declareMetrics();
  Engine::registerMakers();
  observeFactories();
  collectSiblingsFor(this);
}

Backend::~Backend()
{
  forgetCollector(this);
}

void Backend::noteSiblings()
{
  if (!compat::isServer() || d_siblings.size() + 1 != launched().size()) { // no server's last
    return;
  }
  static std::once_flag s_once;
  std::call_once(s_once, [this] {
    if (!haveKeeper(d_siblings)) {
      g_log << Logger::Error << "[pkcs11signer] " << NoKeeper << endl;
    }
    for (const auto &line : {threadsChosen(), threadsAdvice()}) {
      if (!line.empty()) {
        g_log << Logger::Warning << "[pkcs11signer] " << line << endl;
      }
    }
  });
  p11s_signer_prepare(signer(), p11s_now_ms() + PrepareWaitMs);
}

DNSBackend &Backend::first() const
{
  if (d_siblings.empty()) {
    throw DBException("pkcs11signer has no backend behind it that holds the data");
  }
  return *d_siblings.front();
}

void Backend::lookup(const QType & /* type */, const DNSName & /* name */,
                     compat::DomainId /* id */, DNSPacket * /* packet */)
{
  Patience::endQuery();
}

bool Backend::getDomainKeys(const compat::Zone &zone, std::vector<KeyData> &keys)
{
  KeyRows rows(d_siblings, zone);
  const std::string text = rows.empty() ? std::string() : compat::zoneText(zone);
  for (auto &row : rows) {
    if (p11s_keyref_is_ours(row.content.data(), row.content.size())) {
      std::string content = wrapped(text, row);
      wipe(row.content);
      row.content = std::move(content);
    }
    keys.push_back(std::move(row));
  }
  return rows.answered();
}

bool Backend::addDomainKey(const compat::Zone &zone, const KeyData &key, int64_t &id)
{
  if (!p11s_keyref_is_ours(key.content.data(), key.content.size())) {
    return false; // PowerDNS offers it to the next backend
  }
  const std::string text = compat::zoneText(zone);
  const p11s_host host = hostFor(*this);
  p11s_error error{};
  p11s_keyref *parsed = nullptr;

  if (p11s_keyref_parse(key.content.data(), key.content.size(), &parsed, &error) != P11S_OK) {
    throw DBException("zone " + text + ": " + error.text);
  }
  const RefOwner ref(parsed, p11s_keyref_free);
  const p11s_assignment assignment{text.c_str(), key.flags, key.active, key.published, ref.get()};
  if (p11s_assign(signer(), &host, &assignment, &id, &error) != P11S_OK) {
    throw DBException(error.text);
  }
  return true;
}

bool Backend::changeKey(const compat::Zone &zone, unsigned int id, KeyChange change)
{
  auto *holder = holderOf(d_siblings, zone, id);
  return holder != nullptr && (holder->*change)(zone, id);
}

// pdnsutil passes its words one by one, and goes on until one fails.
static void checkQuotes()
{
  const auto words = commandLine();
  std::vector<const char *> lines;
  p11s_error error{};

  for (size_t i = 2; i < words.size() && words[0] == "backend-cmd"; ++i) {
    lines.push_back(words[i].c_str());
  }
  if (p11s_command_check_lines(lines.data(), lines.size(), &error) != P11S_OK) {
    throw DBException(error.text);
  }
}

string Backend::directBackendCmd(const string &query)
{
  checkQuotes();
  const auto fresh = compat::backendsForCommand();
  for (const auto &backend : fresh) {
    if (auto *ours = dynamic_cast<Backend *>(backend.get())) {
      return ours->runCommand(query);
    }
  }
  return runCommand(query);
}

string Backend::runCommand(const string &query)
{
  const p11s_host host = hostFor(*this);
  p11s_error error{};
  Text out;

  if (p11s_command_run(signer(), &host, query.c_str(), &out, &error) != P11S_OK) {
    // Only an exception makes pdnsutil exit with 1, and it would lose what was found out before.
    std::cout << out.text() << std::flush;
    throw DBException(error.text);
  }
  return out.text();
}
} // namespace pkcs11signer

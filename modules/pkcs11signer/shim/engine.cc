// SPDX-License-Identifier: GPL-2.0-or-later
#include "shim/engine.hh"

#include "shim/patience.hh"
#include "shim/repair_mode.hh"
#include "shim/signer.hh"

#include <memory>
#include <mutex>

extern "C" {
#include "sign/sign.h"
#include "sign/sign_store.h"
#include "format/keyref_lmdb.h"
#include "format/wrap.h"
}

namespace pkcs11signer {
namespace {
const unsigned char *bytes(const std::string &text)
{
  return reinterpret_cast<const unsigned char *>(text.data());
}

// As PowerDNS hands on the names of a key's lines.
std::string lower(std::string name)
{
  for (auto &c : name) {
    c = static_cast<char>(tolower(c));
  }
  return name;
}

std::string orEmpty(const char *text)
{
  return text != nullptr ? text : "";
}
} // namespace

void Engine::registerMakers()
{
  static std::once_flag s_once;
  std::call_once(s_once, [] {
    constexpr auto make = compat::makeEngine<Engine, P11S_WRAP_ALGORITHM>;
    report(P11S_WRAP_ALGORITHM, make);
    const p11s_algorithm *algorithm = nullptr;
    for (size_t i = 0; (algorithm = p11s_algorithm_at(i)) != nullptr; ++i) {
      report(P11S_WRAP_ALGORITHM + algorithm->number, make);
    }
  });
}

Engine::~Engine()
{
  p11s_key_release(d_key);
}

void Engine::fail(const std::string &reason) const
{
  throw DBException("zone " + d_zone + ", key id " + std::to_string(d_id) + ": " + reason);
}

p11s_key *Engine::key() const
{
  if (d_key == nullptr) {
    fail(d_broken);
  }
  return d_key;
}

const p11s_pubkey *Engine::publicKey() const
{
  const p11s_pubkey *found = p11s_key_public(key());
  p11s_error error{};
  if (found != nullptr) {
    return found;
  }
  Patience patience;
  if (p11s_key_resolve(key(), patience, &found, &error) != P11S_OK) {
    Patience::endQuery();
    fail(error.text);
  }
  return found;
}

void Engine::create(unsigned int bits)
{
  p11s_error error{};
  const unsigned size = p11s_key_algorithm(key())->family == P11S_RSA ? bits : 0;
  if (p11s_key_generate(key(), size, p11s_signer_admin_deadline(signer()), &error) != P11S_OK) {
    fail(error.text);
  }
}

DNSCryptoKeyEngine::storvector_t Engine::convertToISCVector() const
{
  const p11s_keyref *ref = p11s_key_reference(key());
  storvector_t result{{"Algorithm", std::to_string(d_algorithm)},
                      {"Engine", ref->engine},
                      {"Slot", ref->slot},
                      {"PIN", ""}, // never leaves the table
                      {"Label", ref->label}};
  if (ref->pub_label != nullptr) {
    result.emplace_back("PubLabel", orEmpty(ref->pub_label));
  }
  result.emplace_back("PublicKey", getPublicKeyString());
  return result;
}

std::string Engine::sign(const std::string &message) const
{
  p11s_question question;
  p11s_signature signature;
  p11s_error error{};
  Patience patience;
  if (p11s_sign_question(key(), bytes(message), message.size(), &question, &error) != P11S_OK ||
      p11s_sign(p11s_signer_flights(signer()), key(), &question, patience, &signature, &error) !=
          P11S_OK) {
    Patience::endQuery();
    fail(error.text);
  }
  return {reinterpret_cast<const char *>(signature.data), signature.len};
}

bool Engine::verify(const std::string &message, const std::string &signature) const
{
  return p11s_pubkey_verify(publicKey(), bytes(message), message.size(), bytes(signature),
                            signature.size());
}

std::string Engine::publicKeyHash() const
{
  return {reinterpret_cast<const char *>(p11s_pubkey_hash(publicKey())), 32};
}

std::string Engine::getPublicKeyString() const
{
  if (!d_stored.empty()) {
    return d_stored;
  }
  try {
    size_t len = 0;
    const unsigned char *data = p11s_pubkey_data(publicKey(), &len);
    return {reinterpret_cast<const char *>(data), len};
  } catch (const PDNSException &) {
    // Empty: getBits() says why, and pdnsutil prints no DNSKEY and no DS of such a key.
    if (compat::ReadsAllPublicKeys && isRepairing()) {
      return {};
    }
    throw;
  }
}

// 0 makes show-zone say that the key is missing or defunct, and go on.
int Engine::getBits() const
{
  try {
    return static_cast<int>(p11s_pubkey_bits(publicKey()));
  } catch (const PDNSException &e) {
    g_log << Logger::Error << "[pkcs11signer] " << e.reason << endl;
    return 0;
  }
}

bool Engine::checkKey(compat::KeyMessages messages) const
{
  try {
    (void)publicKey();
    return true;
  } catch (const PDNSException &e) {
    compat::addMessage(messages, e.reason);
    return false;
  }
}

void Engine::fromISCMap(DNSKEYRecordContent &drc, stormap_t &stormap)
{
  const std::string &value = stormap[lower(P11S_WRAP_NAME)];
  p11s_wrapped wrapped{};
  p11s_error error{};

  drc.d_algorithm = static_cast<uint8_t>(d_algorithm);
  if (stormap.count(lower(P11S_KEYREF_LMDB_ENGINE)) != 0) {
    d_stored = stormap["publickey"];
    d_broken = "a key that is being stored cannot be used yet";
    return;
  }
  if (p11s_wrap_parse(value.data(), value.size(), &wrapped, &error) != P11S_OK) {
    d_broken = error.text;
    return;
  }
  d_zone = orEmpty(wrapped.zone);
  d_id = wrapped.id;
  if (wrapped.message != nullptr) {
    d_broken = wrapped.message;
  } else {
    d_key = p11s_signer_find_key(signer(), wrapped.identity);
    if (d_key == nullptr) {
      d_broken = "the key reference is no longer in memory; ask again";
    }
  }
  p11s_wrapped_clear(&wrapped);
}

void Engine::fromPublicKeyString(const std::string & /* content */)
{
  fail("a key on a token cannot be made from a public key alone");
}
} // namespace pkcs11signer

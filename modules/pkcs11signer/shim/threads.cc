// SPDX-License-Identifier: GPL-2.0-or-later
#include "shim/threads.hh"

#include "shim/command_line.hh"
#include "shim/pdns-compat.hh"

#include <algorithm>
#include <cstdlib>
#include <vector>

namespace pkcs11signer {
namespace {
// Receiver threads. Three quarters may wait for signatures (token/admission.h). Each has a
// connection to the database, of which MySQL takes 151, PostgreSQL 100 and LMDB 126 by default.
constexpr unsigned PerSession = 4, Least = 8, Most = 64;

constexpr const char *Receivers = "receiver-threads", *Distributors = "distributor-threads";
constexpr const char *Choice = "pkcs11signer-threads", *Sessions = "pkcs11signer-sessions";
constexpr const char *QueueLimit = "queue-limit", *ReusePort = "reuseport";

// PowerDNS's defaults, for pdnsutil.
constexpr struct {
  const char *name, *initial;
} Settings[] = {{Receivers, "1"}, {Distributors, "3"}, {QueueLimit, "1500"}, {ReusePort, "no"}};

bool s_chosen = false;

unsigned number(const char *name)
{
  return static_cast<unsigned>(std::max(0L, strtol(::arg()[name].c_str(), nullptr, 0)));
}

bool isOn(const char *name)
{
  return ::arg().parmIsset(name) && ::arg().mustDo(name);
}

std::string configurationFile()
{
  const std::string &name = ::arg()["config-name"];
  return ::arg()["config-dir"] + "/pdns" + (name.empty() ? "" : "-") + name + ".conf";
}

// Reads one setting as PowerDNS has read all: the file, those it includes, then the command line.
void readAgain(const std::string &name)
{
  if (!isOn("no-config")) {
    (void)::arg().parseFile(configurationFile().c_str(), name, true);
    for (const auto &included : compat::includedFiles()) {
      (void)::arg().parseFile(included.c_str(), name, true);
    }
  }
  if (compat::isServer()) {
    auto words = allWords();
    std::vector<char *> argv;
    argv.reserve(words.size());
    for (auto &word : words) {
      argv.push_back(word.data());
    }
    int argc = static_cast<int>(argv.size());
    ::arg().preParse(argc, argv.data(), name);
  }
}

// PowerDNS does not remember whether a setting was given, so the setting gets a value that nobody
// can give, and is read again.
bool isGiven(const char *name)
{
  const std::string ungiven = "\n";
  std::string value = ungiven;

  std::swap(::arg().set(name), value);
  readAgain(name);
  if (::arg()[name] != ungiven) {
    return true;
  }
  std::swap(::arg().set(name), value);
  return false;
}

// Of receiver threads.
std::string recommended()
{
  return std::to_string(std::clamp(PerSession * number(Sessions), Least, Most));
}

std::string setting(const char *name)
{
  return std::string(name) + "=" + ::arg()[name];
}

std::string both()
{
  return setting(Receivers) + " " + setting(Distributors);
}
} // namespace

void chooseThreads()
{
  for (const auto &it : Settings) {
    if (!::arg().parmIsset(it.name)) {
      ::arg().set(it.name, "as in pdns_server") = it.initial;
      readAgain(it.name);
    }
  }
  const bool receivers = isGiven(Receivers), distributors = isGiven(Distributors);
  readAgain(Choice);
  readAgain(Sessions);
  s_chosen = !receivers && !distributors && ::arg()[Choice] == "auto" && !isOn(ReusePort);
  if (s_chosen) {
    ::arg().set(Receivers) = recommended();
    ::arg().set(Distributors) = "1";
  }
}

Threads threads()
{
  const unsigned receivers = std::max(1U, number(Receivers));
  const unsigned distributors = std::max(1U, number(Distributors));
  // Each receiver thread has distributor threads of its own, or one answers for itself.
  return {receivers * distributors, distributors > 1 || (receivers > 1 && isOn(ReusePort))};
}

namespace {
std::string advice()
{
  const auto [answering, dealt] = threads();
  const std::string better =
      "; set " + std::string(Receivers) + "=" + recommended() + " " + Distributors + "=1";

  if (dealt && number(Distributors) <= 1) {
    return setting(ReusePort) + ": an answer that needs no signature waits behind those that do; "
                                "set reuseport=no";
  }
  if (dealt) {
    return both() + ": an answer that needs no signature waits behind those that do" +
           (number(QueueLimit) > 0 ? ", and is dropped after " + setting(QueueLimit) + " ms" : "") +
           better;
  }
  if (answering < Least) {
    return both() + ": all of these threads may wait for signatures, and every answer with them" +
           better;
  }
  if (answering < number(Sessions)) {
    return both() + ": of " + setting(Sessions) + " no more than " + std::to_string(answering) +
           " make signatures for queries" + better;
  }
  return "";
}
} // namespace

std::string threadsChosen()
{
  return s_chosen ? "runs with " + both() +
                        ", as neither is set, so that no answer waits behind a signature in the "
                        "making; each thread has a connection to the database; " +
                        Choice + "=keep leaves PowerDNS's own threads"
                  : "";
}

const std::string &threadsAdvice()
{
  static const std::string s_advice = advice();
  return s_advice;
}
} // namespace pkcs11signer

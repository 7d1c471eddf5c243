// SPDX-License-Identifier: GPL-2.0-or-later
#include "shim/settings.hh"

#include "shim/host.hh"
#include "shim/pdns-compat.hh"
#include "shim/threads.hh"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <functional>

namespace pkcs11signer {
namespace {
// Which values a setting may have.
struct Kind {
  std::string range;                              // behind the sentence
  std::string objection;                          // to any other value
  std::function<bool(const std::string &)> store; // false: it is another one
};

struct Setting {
  const char *name, *initial, *help;
  Kind kind;
};

Kind text(const char *&place)
{
  return {"", "", [&place](const std::string &value) {
            place = value.c_str();
            return true;
          }};
}

Kind flag(bool &place)
{
  return {"", " is neither yes nor no", [&place](const std::string &value) {
            place = value == "yes";
            return place || value == "no";
          }};
}

Kind number(unsigned &place, int least, int most)
{
  const std::string range = std::to_string(least) + " to " + std::to_string(most);
  return {"; " + range, " is not a number from " + range,
          [&place, least, most](const std::string &value) {
            char *end = nullptr;
            const long read = strtol(value.c_str(), &end, 10);
            place = static_cast<unsigned>(read);
            return !value.empty() && *end == '\0' && read >= least && read <= most;
          }};
}

// Read by shim/threads.cc.
Kind threadChoice()
{
  return {"", " is neither auto nor keep",
          [](const std::string &value) { return value == "auto" || value == "keep"; }};
}

Kind store(bool &any, bool &shared)
{
  return {"", " is none of lmdb, mysql and none", [&](const std::string &value) {
            shared = value == "mysql";
            any = shared || value == "lmdb";
            return any || value == "none";
          }};
}

std::vector<Setting> settingsOf(p11s_config &config, bool &shared)
{
  return {
      {"ahead-rate", "0",
       "signatures a second that are made in advance, on each token (0: as the token allows)",
       number(config.ahead_rate, 0, 100000)},
      {"pin-source", "",
       "PIN for references that hold none: file:/PATH, env:NAME or credential:NAME; %t is the "
       "token's label",
       text(config.pin_source)},
      {"prepare", "yes",
       "whether a server that starts logs in and finds its keys before a query needs them",
       flag(config.prepare)},
      {"sessions", "8", "most sessions, and threads, per token", number(config.sessions, 1, 64)},
      {"sign-ahead", "1", "weeks for which signatures are made in advance",
       number(config.ahead_weeks, 0, 8)},
      {"state-dir", P11S_STATE_DIR,
       "directory for what must outlive the process; writable for the server's user",
       text(config.state_dir)},
      {"store", "lmdb",
       "where signatures are kept beyond a restart: lmdb (a file in the state directory), mysql "
       "(that file and a database that several servers share) or none",
       store(config.store, shared)},
      {"store-pins", "yes",
       "whether 'assign' may store a literal PIN in the database (no: it is used once)",
       flag(config.store_pins)},
      {"store-size", "256", "most MiB that the file of signatures may take",
       number(config.store_mib, 4, 65536)},
      {"threads", "auto",
       "of a server that sets neither receiver-threads nor distributor-threads: as many as the "
       "sessions need (auto) or PowerDNS's own (keep)",
       threadChoice()},
      {"timeout", "2000",
       "longest wait of a UDP query for signatures, all of them together, in milliseconds",
       number(config.timeout_ms, 10, 60000)},
      {"transfer-timeout", "30000",
       "longest wait for a signature of TCP queries, transfers and pdnsutil, in milliseconds",
       number(config.transfer_timeout_ms, 10, 3600000)},
      {"verify", "yes", "whether each fresh signature is verified in software",
       flag(config.verify)},
  };
}

std::vector<Setting> fleetSettingsOf(p11s_fleet_config &fleet, const char *&password)
{
  return {
      {"mysql-dbname", "", "name of the shared database", text(fleet.dbname)},
      {"mysql-host", "",
       "host of the shared database, of several the primary (empty: this machine, by socket)",
       text(fleet.host)},
      {"mysql-password", "",
       "password for the shared database, or its source: file:/PATH, env:NAME or credential:NAME",
       text(password)},
      {"mysql-password-file", "",
       "file with that password, closed to others as a PIN file is; instead of mysql-password",
       text(fleet.password_file)},
      {"mysql-port", "0", "port of the shared database (0: 3306)", number(fleet.port, 0, 65535)},
      {"mysql-signatures", "1000000", "about the most signatures in the shared database",
       number(fleet.most_rows, 1000, 1000000000)},
      {"mysql-socket", "",
       "socket of the shared database on this machine (empty: the client library's own)",
       text(fleet.socket)},
      {"mysql-timeout", "20",
       "longest wait of a query for an answer of the shared database, in milliseconds",
       number(fleet.timeout_ms, 1, 10000)},
      {"mysql-user", "", "user of the shared database to connect as", text(fleet.user)},
  };
}

std::string fullName(const char *name)
{
  return std::string(ModuleName) + "-" + name;
}

void read(const Setting &setting)
{
  const std::string name = fullName(setting.name);
  const std::string &value = ::arg()[name];
  if (!setting.kind.store(value)) {
    throw PDNSException("setting " + name + "=" + value + setting.kind.objection);
  }
}

void readFleet(p11s_fleet_config &fleet)
{
  const char *password = "";

  if (!p11s_fleet_is_built()) {
    throw PDNSException("setting " + fullName("store") +
                        "=mysql is not in this build, which has no MySQL client library; lmdb and "
                        "none are");
  }
  for (const auto &setting : fleetSettingsOf(fleet, password)) {
    read(setting);
  }
  if (*password != '\0' && *fleet.password_file != '\0') {
    throw PDNSException("settings " + fullName("mysql-password") + " and " +
                        fullName("mysql-password-file") + ": only one of them may be set");
  }
  if (*password != '\0') {
    fleet.password = p11s_secret_new(password, strlen(password));
  }
}

// PowerDNS's settings that decide what is signed, and the default of those that pdnsutil does not
// declare.
constexpr struct {
  const char *name, *initial;
} AnswerSettings[] = {
    {"default-soa-edit", nullptr},
    {"default-soa-edit-signed", nullptr},
    {"soa-edit-spread", compat::InitialSoaEditSpread},
    {"rrsig-expiry-extend", compat::InitialRrsigExpiryExtend},
    {"default-publish-cds", ""},
    {"default-publish-cdnskey", ""},
    {"direct-dnskey", "no"},
    {"expand-alias", "no"},
    {"outgoing-axfr-expand-alias", "no"},
    {"enable-lua-records", "no"},
};

std::string answerSettings()
{
  std::string all;

  for (const auto &setting : AnswerSettings) {
    if (::arg().parmIsset(setting.name)) {
      std::string value = ::arg()[setting.name];
      std::replace_if(
          value.begin(), value.end(), [](char c) { return c == '\t' || c == '\n'; }, ' ');
      all += std::string(all.empty() ? "" : "\t") + setting.name + "=" + value;
    }
  }
  return all;
}
} // namespace

std::vector<std::string> launched()
{
  std::vector<std::string> names;
  stringtok(names, ::arg()["launch"], ", ");
  return names;
}

std::vector<Declaration> declarations()
{
  p11s_config config{};
  p11s_fleet_config fleet{};
  bool shared = false;
  const char *password = "";
  std::vector<Declaration> all;

  for (const auto &settings : {settingsOf(config, shared), fleetSettingsOf(fleet, password)}) {
    for (const auto &setting : settings) {
      all.push_back({setting.name, setting.help + setting.kind.range, setting.initial});
    }
  }
  return all;
}

Settings::Settings() : d_answers(answerSettings())
{
  bool shared = false;

  for (const auto &setting : settingsOf(config, shared)) {
    read(setting);
  }
  if (shared) {
    readFleet(fleet);
    config.fleet = &fleet;
  }
  config.prepare = config.prepare && compat::isServer();
  config.report = config.ahead = compat::isServer();
  if (compat::isServer()) {
    const Threads own = threads();
    config.query_threads = own.answering;
    config.query_dealt = own.dealt;
  }
  config.threads_advice = threadsAdvice().c_str();
  config.expiry_extension = compat::expiryExtension();
  config.host_settings = d_answers.c_str();
  config.hosts = hostSource();
}

Settings::~Settings()
{
  p11s_secret_release(fleet.password);
}

void declareAnswerSettings()
{
  for (const auto &setting : AnswerSettings) {
    if (setting.initial != nullptr && !::arg().parmIsset(setting.name)) {
      ::arg().set(setting.name, "as in pdns_server") = setting.initial;
    }
  }
}
} // namespace pkcs11signer

// SPDX-License-Identifier: GPL-2.0-or-later
#include "shim/host.hh"

#include "shim/command_line.hh"
#include "shim/current.hh"
#include "shim/zone_messages.hh"
#include "shim/key_rows.hh"

#include <set>

// Callbacks from C: no exception may leave them.
namespace pkcs11signer {
namespace {
template <typename F> p11s_err guarded(p11s_error *error, F function)
{
  try {
    return function();
  } catch (const PDNSException &e) {
    return p11s_error_set(error, P11S_ERR_HOST, "%s", e.reason.c_str());
  } catch (const std::exception &e) {
    return p11s_error_set(error, P11S_ERR_HOST, "%s", e.what());
  } catch (...) {
    return p11s_error_set(error, P11S_ERR_HOST, "a backend failed without saying why");
  }
}

const Siblings &siblingsOf(void *ctx)
{
  return static_cast<Backend *>(ctx)->siblings();
}

p11s_err needKeeper(void *ctx, p11s_error *error)
{
  return haveKeeper(siblingsOf(ctx)) ? P11S_OK : p11s_error_set(error, P11S_ERR_HOST, NoKeeper);
}

p11s_err zoneCheck(void *ctx, const char *zone, p11s_error *error)
{
  return guarded(error, [&] {
    const compat::Zone name = compat::zoneNamed(zone);
    DomainInfo info;
    for (auto *sibling : siblingsOf(ctx)) {
      if (compat::takes(*sibling, name) && sibling->getDomainInfo(name, info, false)) {
        return needKeeper(ctx, error);
      }
    }
    return p11s_error_set(error, P11S_ERR_HOST, "no such zone in the database");
  });
}

p11s_err eachZone(void *ctx, p11s_zone_fn fn, void *arg, p11s_error *error)
{
  return guarded(error, [&] {
    vector<DomainInfo> zones;
    const p11s_err result = needKeeper(ctx, error);
    if (result != P11S_OK) {
      return result;
    }
    for (auto *sibling : siblingsOf(ctx)) {
      sibling->getAllDomains(&zones, false, true);
    }
    std::set<std::string> seen; // bind-hybrid: a zone is in two of them
    for (const auto &info : zones) {
      const auto zone = seen.insert(compat::zoneText(info.zone));
      if (zone.second && !fn(zone.first->c_str(), arg)) {
        break;
      }
    }
    return P11S_OK;
  });
}

// Reads all rows before it hands them out: no query stays open while the callback waits.
p11s_err eachRow(void *ctx, const char *zone, p11s_row_fn fn, void *arg, p11s_error *error)
{
  return guarded(error, [&] {
    const compat::Zone name = compat::zoneNamed(zone);
    const std::string text = compat::zoneText(name);
    for (const auto &key : KeyRows(siblingsOf(ctx), name)) {
      const p11s_row row{text.c_str(),      key.id,        key.flags,
                         key.active,        key.published, key.content.c_str(),
                         key.content.size()};
      if (!fn(&row, arg)) {
        break;
      }
    }
    return P11S_OK;
  });
}

p11s_err zoneState(void *ctx, const char *zone, p11s_zone_state *ret, p11s_error *error)
{
  return guarded(error, [&] {
    *ret = currentState(siblingsOf(ctx), compat::zoneNamed(zone));
    return P11S_OK;
  });
}

p11s_err findRrset(void *ctx, const char *zone, const char *owner, unsigned type, p11s_served *ret,
                   p11s_error *error)
{
  return guarded(error, [&] {
    std::string message;
    ret->kind = currentSet(siblingsOf(ctx), compat::zoneNamed(zone),
                           {DNSName(owner), static_cast<uint16_t>(type)}, message);
    p11s_buf_add(&ret->message, message.data(), message.size());
    return ret->message.failed ? p11s_error_set(error, P11S_ERR_NOMEM, "out of memory") : P11S_OK;
  });
}

p11s_err storeRow(void *ctx, const p11s_row *row, int64_t *ret_id, p11s_error *error)
{
  DNSBackend::KeyData key{};
  key.flags = row->flags;
  key.active = row->active;
  key.published = row->published;
  key.content.assign(row->content, row->content_len);
  const p11s_err result = guarded(error, [&] {
    const int64_t id = addRow(siblingsOf(ctx), compat::zoneNamed(row->zone), key);
    if (id < 0) {
      return p11s_error_set(error, P11S_ERR_HOST,
                            "no database that stores keys has this zone; is DNSSEC enabled where "
                            "it is (gsqlite3-dnssec, gmysql-dnssec, bind-dnssec-db)?");
    }
    *ret_id = id;
    return P11S_OK;
  });
  wipe(key.content);
  return result;
}

p11s_err eachDemand(void * /* ctx */, const char *zone, unsigned weeks,
                    const p11s_demand_sink *sink, p11s_error *error)
{
  return guarded(error, [&] {
    ZoneMessages(compat::zoneNamed(zone), weeks, *sink).demandAll();
    return P11S_OK;
  });
}

void runningVersion(void * /* ctx */, p11s_buf *out)
{
  p11s_buf_addstr(out, programVersion().c_str());
}

// A set of backends as PowerDNS makes one for each of its threads; ours is the first.
struct OwnBackends {
  std::vector<std::unique_ptr<DNSBackend>> all = compat::makeBackends();
  p11s_host host = hostFor(dynamic_cast<Backend &>(*all.at(0)));
};

p11s_err openOwn(p11s_host *ret, p11s_error *error)
{
  return guarded(error, [&] {
    auto own = std::make_unique<OwnBackends>();
    *ret = own->host;
    ret->own = own.release();
    return P11S_OK;
  });
}

void closeOwn(p11s_host *host)
{
  delete static_cast<OwnBackends *>(host->own);
  *host = {};
}
} // namespace

p11s_host hostFor(Backend &backend)
{
  return p11s_host{&backend,  zoneCheck, eachZone,   eachRow,        zoneState,
                   findRrset, storeRow,  eachDemand, runningVersion, nullptr};
}

const p11s_host_source *hostSource()
{
  static const p11s_host_source source{openOwn, closeOwn};
  return &source;
}
} // namespace pkcs11signer

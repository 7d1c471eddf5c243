// SPDX-License-Identifier: GPL-2.0-or-later
#include "host.hh"

#include "demand.hh"
#include "rows.hh"

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
  }
}

const std::vector<DNSBackend *> &siblingsOf(void *ctx)
{
  return static_cast<Backend *>(ctx)->siblings();
}

p11s_err zoneCheck(void *ctx, const char *zone, p11s_error *error)
{
  return guarded(error, [&] {
    const compat::Zone name = compat::zoneNamed(zone);
    DomainInfo info;
    for (auto *sibling : siblingsOf(ctx)) {
      if (compat::takes(*sibling, name) && sibling->getDomainInfo(name, info, false)) {
        return P11S_OK;
      }
    }
    return p11s_error_set(error, P11S_ERR_HOST, "no such zone in the database");
  });
}

p11s_err eachZone(void *ctx, p11s_zone_fn fn, void *arg, p11s_error *error)
{
  return guarded(error, [&] {
    vector<DomainInfo> zones;
    for (auto *sibling : siblingsOf(ctx)) {
      sibling->getAllDomains(&zones, false, true);
    }
    for (const auto &info : zones) {
      if (!fn(compat::zoneText(info.zone).c_str(), arg)) {
        break;
      }
    }
    return P11S_OK;
  });
}

// Reads the rows first and then hands them out: whatever the callback waits for, no query stays
// open.
p11s_err eachRow(void *ctx, const char *zone, p11s_row_fn fn, void *arg, p11s_error *error)
{
  return guarded(error, [&] {
    const compat::Zone name = compat::zoneNamed(zone);
    const std::string text = compat::zoneText(name);
    std::vector<DNSBackend::KeyData> keys;
    (void)readRows(siblingsOf(ctx), name, keys);
    bool more = true;
    for (auto &key : keys) {
      if (more) {
        const p11s_row row{text.c_str(),      key.id,        key.flags,
                           key.active,        key.published, key.content.c_str(),
                           key.content.size()};
        more = fn(&row, arg);
      }
      wipe(key.content);
    }
    return P11S_OK;
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
    if (addRow(siblingsOf(ctx), compat::zoneNamed(row->zone), key, *ret_id)) {
      return P11S_OK;
    }
    return p11s_error_set(error, P11S_ERR_HOST,
                          "no backend stores keys; is DNSSEC enabled there (gsqlite3-dnssec, "
                          "gmysql-dnssec, bind-dnssec-db)?");
  });
  wipe(key.content);
  return result;
}

p11s_err eachDemand(void * /* ctx */, const char *zone, unsigned weeks,
                    const p11s_demand_sink *sink, p11s_error *error)
{
  return guarded(error, [&] {
    Demands(compat::zoneNamed(zone), weeks, *sink).all();
    return P11S_OK;
  });
}
} // namespace

p11s_host hostFor(Backend &backend)
{
  return p11s_host{&backend, zoneCheck, eachZone, eachRow, storeRow, eachDemand};
}
} // namespace pkcs11signer

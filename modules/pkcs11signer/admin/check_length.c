/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "admin/check_length.h"

#include "format/rrset.h"

#include <inttypes.h>

#define AS_LONG_AS_ANY 65535 /* the RRset is in a DNS message */
#define NAMED_MOST 5

struct zone_lengths {
  struct p11s_key *key;
  size_t limit; /* messages beyond it are named */
  size_t longest;
  uint64_t beyond;
  struct p11s_buf names;
};

static bool see(const struct p11s_demand *demand, void *arg)
{
  struct zone_lengths *z = arg;

  if (demand->key != z->key)
    return true;
  if (demand->len > z->longest)
    z->longest = demand->len;
  if (demand->len > z->limit && z->beyond++ < NAMED_MOST) {
    p11s_buf_addstr(&z->names, z->beyond > 1 ? ", " : "");
    if (!p11s_rrset_format(demand->message, demand->len, &z->names))
      p11s_buf_addstr(&z->names, "one");
    p11s_buf_addf(&z->names, " (%zu bytes)", demand->len);
  }
  return true;
}

static void pass_over(const char *what, void *arg)
{
  (void)what;
  (void)arg;
}

static enum p11s_err read_zone(const struct p11s_host *host, const char *zone,
                               struct zone_lengths *z, struct p11s_error *e)
{
  const struct p11s_demand_sink sink = {see, pass_over, z};

  return host->each_demand(host->ctx, zone, 0, &sink, e);
}

static enum p11s_err try_length(struct p11s_signer *signer, struct p11s_key *key, size_t len,
                                struct p11s_error *e)
{
  return p11s_key_try(key, len, p11s_signer_admin_deadline(signer), e);
}

/* The longest message that is signed, of less than `refused` bytes. */
static enum p11s_err find_limit(struct p11s_signer *signer, struct p11s_key *key, size_t refused,
                                size_t *ret_limit, struct p11s_error *e)
{
  size_t good = 0;

  while (refused - good > 1) {
    size_t len = good + (refused - good) / 2;
    enum p11s_err result = try_length(signer, key, len, e);

    if (result == P11S_OK)
      good = len;
    else if (result == P11S_ERR_TOO_LONG)
      refused = len;
    else
      return result;
  }
  *ret_limit = good;
  return P11S_OK;
}

static enum p11s_err name_those_beyond(const struct p11s_host *host, const char *zone,
                                       struct p11s_key *key, size_t limit, struct p11s_error *e)
{
  struct zone_lengths z = {key, limit, 0, 0, P11S_BUF_INIT};
  enum p11s_err result = read_zone(host, zone, &z, e);

  if (z.beyond > NAMED_MOST)
    p11s_buf_addf(&z.names, " and %" PRIu64 " more", z.beyond - NAMED_MOST);
  if (result == P11S_OK && z.beyond > 0)
    result = p11s_error_set(
        e, P11S_ERR_TOO_LONG,
        "the token signs messages of up to %zu bytes with this key (CKR_DATA_LEN_RANGE), and these "
        "are longer, so they are not signed: %s. Smaller RRsets help",
        limit, p11s_buf_text(&z.names));
  p11s_buf_clear(&z.names);
  return result;
}

enum p11s_err p11s_check_lengths(struct p11s_signer *signer, const struct p11s_host *host,
                                 const char *zone, struct p11s_key *key, struct p11s_error *e)
{
  struct zone_lengths z = {key, SIZE_MAX, 0, 0, P11S_BUF_INIT};
  size_t limit;
  enum p11s_err result;

  if (!p11s_key_signs_whole(key) || try_length(signer, key, AS_LONG_AS_ANY, NULL) == P11S_OK)
    return P11S_OK;
  result = read_zone(host, zone, &z, e);
  if (result != P11S_OK || z.longest == 0)
    return result;
  result = try_length(signer, key, z.longest, e);
  if (result != P11S_ERR_TOO_LONG)
    return result;
  result = find_limit(signer, key, z.longest, &limit, e);
  return result == P11S_OK ? name_those_beyond(host, zone, key, limit, e) : result;
}

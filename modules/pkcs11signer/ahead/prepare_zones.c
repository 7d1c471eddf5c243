/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which zones there are, the ones that are in use first (ahead/prepare_internal.h). */
#include "base/array.h"
#include "base/buf.h"
#include "format/dnsname.h"
#include "ahead/prepare.h"
#include "ahead/prepare_internal.h"
#include "store/store.h"
#include "format/message.h"

#include <stdlib.h>
#include <string.h>

struct listing {
  const atomic_bool *stop;
  struct p11s_prepare_zones used;  /* of which something is stored, by name */
  struct p11s_prepare_zones found; /* in the database */
  size_t others;                   /* of these, of which nothing is */
};

/* false: no memory. */
static bool add_zone(struct p11s_prepare_zones *z, const char *name, uint32_t last_used)
{
  struct p11s_prepare_zone *zone = P11S_ARRAY_ADD(z->zones, z->count);

  if (zone == NULL)
    return false;
  *zone = (struct p11s_prepare_zone){strdup(name), last_used, z->count};
  if (zone->name == NULL)
    z->count--; /* without a name it would be all zones (ahead/host.h) */
  return zone->name != NULL;
}

void p11s_prepare_zones_clear(struct p11s_prepare_zones *z)
{
  for (size_t i = 0; i < z->count; i++)
    free(z->zones[i].name);
  free(z->zones);
}

static int by_name(const void *a, const void *b)
{
  return strcmp(((const struct p11s_prepare_zone *)a)->name,
                ((const struct p11s_prepare_zone *)b)->name);
}

static int by_use(const void *a, const void *b)
{
  const struct p11s_prepare_zone *x = a, *y = b;

  if (x->last_used != y->last_used)
    return x->last_used > y->last_used ? -1 : 1;
  return x->place < y->place ? -1 : 1;
}

static bool note_use(const struct p11s_store_record *record, void *arg)
{
  struct listing *listing = arg;
  struct p11s_buf name = P11S_BUF_INIT;
  struct p11s_message m;
  bool good = true;

  if (p11s_message_parse(record->message, record->message_len, &m)) {
    p11s_dnsname_format(m.signer, &name);
    good = !name.failed && add_zone(&listing->used, p11s_buf_text(&name), record->last_used);
    p11s_buf_clear(&name);
  }
  return good && !atomic_load(listing->stop);
}

/* One entry for each zone, with its last use. */
static void fold(struct p11s_prepare_zones *z)
{
  size_t kept = 0;

  if (z->count > 0)
    qsort(z->zones, z->count, sizeof *z->zones, by_name);
  for (size_t i = 0; i < z->count; i++) {
    struct p11s_prepare_zone *last = kept > 0 ? &z->zones[kept - 1] : NULL;

    if (last == NULL || by_name(last, &z->zones[i]) != 0) {
      z->zones[kept++] = z->zones[i];
      continue;
    }
    if (last->last_used < z->zones[i].last_used)
      last->last_used = z->zones[i].last_used;
    free(z->zones[i].name);
  }
  z->count = kept;
}

static bool note_zone(const char *name, void *arg)
{
  struct listing *listing = arg;
  const struct p11s_prepare_zones *used = &listing->used;
  const struct p11s_prepare_zone key = {.name = (char *)name};
  const struct p11s_prepare_zone *stored =
      used->count > 0 ? bsearch(&key, used->zones, used->count, sizeof key, by_name) : NULL;

  if (stored == NULL && listing->others++ >= P11S_PREPARE_ZONES)
    return true;
  return add_zone(&listing->found, name, stored != NULL ? stored->last_used : 0);
}

enum p11s_err p11s_prepare_zones_list(struct p11s_store *store, const struct p11s_host *host,
                                      const atomic_bool *stop, struct p11s_prepare_zones *ret,
                                      struct p11s_error *e)
{
  struct listing listing = {.stop = stop};
  enum p11s_err result;

  (void)p11s_store_each_key(store, note_use, &listing);
  fold(&listing.used);
  result = host->each_zone(host->ctx, note_zone, &listing, e);
  p11s_prepare_zones_clear(&listing.used);
  if (listing.found.count > 0)
    qsort(listing.found.zones, listing.found.count, sizeof *listing.found.zones, by_use);
  if (result == P11S_OK)
    *ret = listing.found;
  else
    p11s_prepare_zones_clear(&listing.found);
  return result;
}

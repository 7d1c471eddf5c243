/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ahead/zones.h"

#include "base/array.h"
#include "format/dnsname.h"
#include "sign/key.h"
#include "format/keyref.h"
#include "base/lock.h"
#include "base/log.h"
#include "format/pubkey.h"
#include "ahead/zones_internal.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

#define PAUSE_FIRST_MS 1000
#define GONE_MS 300000 /* an older answer is no reason to delete something */

struct p11s_zones *p11s_zones_new(struct p11s_key_table *keys, const struct p11s_host *host,
                                  const struct p11s_host_source *source)
{
  struct p11s_zones *zones = calloc(1, sizeof *zones);

  if (zones == NULL)
    return NULL;
  zones->keys = keys;
  zones->host = host;
  zones->source = source;
  TAILQ_INIT(&zones->entries);
  return zones;
}

static void close_own(struct p11s_zones *zones)
{
  if (zones->host == &zones->own) {
    zones->source->close(&zones->own);
    zones->host = NULL;
  }
}

static int compare(const void *a, const void *b)
{
  size_t x = p11s_dnsname_length(a, P11S_DNSNAME_MAX), y = p11s_dnsname_length(b, P11S_DNSNAME_MAX);

  return x != y ? (x < y ? -1 : 1) : memcmp(a, b, x);
}

/* NULL: no memory. */
static struct p11s_zones_entry *find(struct p11s_zones *zones, const unsigned char *name)
{
  struct p11s_zones_entry **known = tfind(name, &zones->by_name, compare), *entry;

  if (known != NULL)
    return *known;
  entry = calloc(1, sizeof *entry);
  if (entry == NULL)
    return NULL;
  memcpy(entry->name, name, p11s_dnsname_length(name, P11S_DNSNAME_MAX));
  if (tsearch(entry, &zones->by_name, compare) == NULL) {
    free(entry);
    return NULL;
  }
  TAILQ_INSERT_HEAD(&zones->entries, entry, next);
  return entry;
}

static void want_none(struct p11s_zones *zones)
{
  struct p11s_zones_entry *entry;

  TAILQ_FOREACH(entry, &zones->entries, next)
  entry->wanted = false;
}

static void drop_unwanted(struct p11s_zones *zones)
{
  struct p11s_zones_entry *next;

  for (struct p11s_zones_entry *entry = TAILQ_FIRST(&zones->entries); entry != NULL; entry = next) {
    next = TAILQ_NEXT(entry, next);
    if (entry->wanted)
      continue;
    TAILQ_REMOVE(&zones->entries, entry, next);
    (void)tdelete(entry, &zones->by_name, compare);
    free(entry->zone.keys);
    free(entry);
  }
}

void p11s_zones_free(struct p11s_zones *zones)
{
  if (zones == NULL)
    return;
  close_own(zones);
  want_none(zones);
  drop_unwanted(zones);
  p11s_zones_free_doubts(zones);
  free(zones);
}

/* -- asking */

#define SEP 1
#define NO_SEP 2

struct reading {
  struct p11s_key_table *table;
  struct p11s_zone *zone;
  unsigned char roles[256]; /* by algorithm: which flags its active keys have */
  bool failed;              /* no memory */
};

/* A software key's; 0: it says none. */
static unsigned algorithm_of(const char *content)
{
  const char *line = strcasestr(content, "Algorithm:");
  unsigned long number = line != NULL ? strtoul(line + sizeof "Algorithm:" - 1, NULL, 10) : 0;

  return number < 256 ? (unsigned)number : 0;
}

static void note_key(struct reading *r, const struct p11s_key *key, const struct p11s_row *row)
{
  const struct p11s_pubkey *public_key = p11s_key_public(key);
  struct p11s_zone_key *place;

  if (public_key == NULL) {
    r->zone->more_keys = true;
    return;
  }
  place = P11S_ARRAY_ADD(r->zone->keys, r->zone->key_count);
  r->failed = place == NULL;
  if (place == NULL)
    return;
  memcpy(place->id, p11s_pubkey_hash(public_key), sizeof place->id);
  place->algorithm = p11s_key_algorithm(key)->number;
  place->active = row->active;
  place->sep = row->flags == 257;
}

static bool read_row(const struct p11s_row *row, void *arg)
{
  struct reading *r = arg;
  struct p11s_keyref *ref = p11s_row_ref(row);
  struct p11s_key *key = NULL;
  unsigned algorithm = 0;

  if (ref != NULL) {
    algorithm = ref->algorithm;
    if (p11s_key_table_get(r->table, ref, &key, NULL) == P11S_OK)
      note_key(r, key, row);
  } else if (!p11s_keyref_is_ours(row->content, row->content_len)) {
    algorithm = algorithm_of(row->content);
  }
  if (row->active)
    r->roles[algorithm] |= row->flags == 257 ? SEP : NO_SEP;
  p11s_key_release(key);
  p11s_keyref_free(ref);
  return !r->failed;
}

/* PowerDNS has KSK and ZSK where an algorithm has active keys of both kinds; else each is both. */
static void find_purposes(const struct reading *r)
{
  for (size_t i = 0; i < r->zone->key_count; i++) {
    struct p11s_zone_key *key = &r->zone->keys[i];
    bool parted = r->roles[key->algorithm] == (SEP | NO_SEP);

    key->signs[P11S_FOR_DNSKEY] = key->active && (!parted || key->sep);
    key->signs[P11S_FOR_CDS] = key->active;
    key->signs[P11S_FOR_ALL_ELSE] = key->active && (!parted || !key->sep);
  }
}

static enum p11s_err read_zone(const struct p11s_zones *zones, const unsigned char *name,
                               struct p11s_zone *ret, struct p11s_error *e)
{
  const struct p11s_host *host = zones->host;
  struct reading r = {.table = zones->keys, .zone = ret};
  struct p11s_buf text = P11S_BUF_INIT;
  enum p11s_err err;

  p11s_dnsname_format(name, &text);
  err = host->zone_state(host->ctx, p11s_buf_text(&text), &ret->state, e);
  if (err == P11S_OK && ret->state.exists)
    err = host->each_row(host->ctx, p11s_buf_text(&text), read_row, &r, e);
  if (err == P11S_OK && (r.failed || text.failed))
    err = p11s_error_no_memory(e);
  find_purposes(&r);
  p11s_buf_clear(&text);
  return err;
}

void p11s_zones_note_failure(struct p11s_zones *zones, const struct p11s_error *e)
{
  close_own(zones);
  zones->pause_ms = zones->pause_ms > 0 ? zones->pause_ms * 2 : PAUSE_FIRST_MS;
  if (zones->pause_ms > P11S_ZONES_PAUSE_MOST_MS)
    zones->pause_ms = P11S_ZONES_PAUSE_MOST_MS;
  zones->not_before_ms = p11s_now_ms() + zones->pause_ms;
  p11s_log_limited(P11S_LOG_WARNING, "zones: no answer",
                   "PowerDNS's database does not say which zones and keys there are: %s; what it "
                   "said last counts, and it is asked again",
                   e->text);
}

const struct p11s_host *p11s_zones_host(struct p11s_zones *zones)
{
  struct p11s_error error;

  if (p11s_now_ms() < zones->not_before_ms || (zones->host == NULL && zones->source == NULL))
    return NULL;
  if (zones->host == NULL && zones->source->open(&zones->own, &error) == P11S_OK)
    zones->host = &zones->own;
  if (zones->host == NULL)
    p11s_zones_note_failure(zones, &error);
  return zones->host;
}

static bool is_same(const struct p11s_zone *a, const struct p11s_zone *b)
{
  return a->state.exists == b->state.exists && a->state.presigned == b->state.presigned &&
         a->state.variants == b->state.variants && a->state.has_soa == b->state.has_soa &&
         memcmp(&a->state.soa_edit, &b->state.soa_edit, sizeof a->state.soa_edit) == 0 &&
         a->more_keys == b->more_keys && a->key_count == b->key_count &&
         (a->key_count == 0 || memcmp(a->keys, b->keys, a->key_count * sizeof *a->keys) == 0);
}

static bool ask(struct p11s_zones *zones, struct p11s_zones_entry *entry)
{
  struct p11s_zone fresh = {.more_keys = false};
  struct p11s_error error;

  if (p11s_zones_host(zones) == NULL)
    return false;
  if (read_zone(zones, entry->name, &fresh, &error) != P11S_OK) {
    free(fresh.keys);
    p11s_zones_note_failure(zones, &error);
    return false;
  }
  zones->changed |= !entry->known || !is_same(&entry->zone, &fresh);
  free(entry->zone.keys);
  entry->zone = fresh;
  entry->known = true;
  entry->asked_ms = p11s_now_ms();
  zones->pause_ms = zones->not_before_ms = 0;
  return true;
}

static bool is_old(const struct p11s_zones_entry *entry, uint64_t max_age_ms)
{
  return !entry->known || p11s_now_ms() - entry->asked_ms > max_age_ms;
}

/* -- answers */

const struct p11s_zone *p11s_zones_get(struct p11s_zones *zones, const unsigned char *name,
                                       uint64_t max_age_ms)
{
  struct p11s_zones_entry *entry = find(zones, name);

  if (entry != NULL && is_old(entry, max_age_ms))
    (void)ask(zones, entry);
  return entry != NULL && entry->known ? &entry->zone : NULL;
}

const struct p11s_zone *p11s_zones_get_since(struct p11s_zones *zones, const unsigned char *name,
                                             uint64_t since_ms)
{
  struct p11s_zones_entry *entry = find(zones, name);

  if (entry == NULL || ((!entry->known || entry->asked_ms <= since_ms) && !ask(zones, entry)))
    return NULL;
  return &entry->zone;
}

enum p11s_use_state p11s_zone_use(const struct p11s_zone *zone, const unsigned char *key_id,
                                  enum p11s_purpose purpose)
{
  bool named = false, signs = false;

  if (zone->state.variants)
    return P11S_USE_UNKNOWN;
  for (size_t i = 0; i < zone->key_count; i++)
    if (memcmp(zone->keys[i].id, key_id, P11S_STORE_ID_LEN) == 0) {
      named = true;
      signs = signs || zone->keys[i].signs[purpose];
    }
  if (!named && !zone->more_keys)
    return P11S_USE_UNNAMED;
  if (zone->state.presigned || (named && !signs))
    return P11S_USE_ENDED;
  return named ? P11S_USE_SIGNS : P11S_USE_UNKNOWN;
}

static void tell_uses(struct p11s_zones *zones, struct p11s_plan *plan)
{
  for (size_t i = 0; i < p11s_plan_uses(plan); i++) {
    struct p11s_plan_use *use = p11s_plan_use(plan, i);
    const struct p11s_zones_entry *entry = find(zones, p11s_plan_zone_name(plan, use->zone));

    if (entry == NULL || !entry->known)
      continue;
    use->state = p11s_zone_use(&entry->zone, p11s_plan_key_id(plan, use->key), use->purpose);
    if (use->state == P11S_USE_UNNAMED && is_old(entry, GONE_MS))
      use->state = P11S_USE_ENDED;
  }
}

void p11s_zones_tell(struct p11s_zones *zones, struct p11s_plan *plan, struct p11s_store *store,
                     uint64_t max_age_ms, uint64_t most_us)
{
  uint64_t begun_us = p11s_now_us();

  want_none(zones);
  for (size_t i = 0; i < p11s_plan_zones(plan); i++) {
    struct p11s_zones_entry *entry = find(zones, p11s_plan_zone_name(plan, i));

    if (entry == NULL)
      continue;
    entry->wanted = true;
    if (is_old(entry, max_age_ms) && p11s_now_us() - begun_us < most_us)
      (void)ask(zones, entry);
    if (entry->known)
      p11s_plan_set_zone(plan, i, &entry->zone.state);
  }
  drop_unwanted(zones);
  tell_uses(zones, plan);
  p11s_zones_settle(zones, plan, store, begun_us + most_us);
  zones->changed = false;
}

void p11s_zones_refresh(struct p11s_zones *zones, uint64_t max_age_ms, uint64_t most_us)
{
  const struct p11s_zones_entry *last = TAILQ_LAST(&zones->entries, p11s_zones_list);
  struct p11s_zones_entry *entry = NULL;
  uint64_t begun_us = p11s_now_us();

  while (entry != last && p11s_now_us() - begun_us < most_us) {
    entry = TAILQ_FIRST(&zones->entries);
    TAILQ_REMOVE(&zones->entries, entry, next);
    TAILQ_INSERT_TAIL(&zones->entries, entry, next);
    if (is_old(entry, max_age_ms) && !ask(zones, entry))
      return;
  }
}

bool p11s_zones_take_change(struct p11s_zones *zones)
{
  bool changed = zones->changed;

  zones->changed = false;
  return changed;
}

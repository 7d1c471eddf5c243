/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "store/share.h"

#include "base/id_table.h"
#include "store/bar.h"

#include <stdlib.h>
#include <string.h>

#define SHARED P11S_WORTH_ONCE /* classes below this are of zones */

struct zone {
  uint64_t bytes[SHARED]; /* there; from p11s_share_decide() on: that are to go */
  uint64_t all;           /* of these */
  uint64_t lost;
  unsigned best; /* class of these */
  size_t len;
  unsigned char name[P11S_DNSNAME_MAX];
};

struct p11s_share {
  const struct p11s_worth *worth;
  struct p11s_id_table zone_of;
  struct zone *zones;
  size_t count, size;
  size_t last;                 /* zone looked for: records of a key stand together */
  uint64_t bytes[P11S_WORTHS]; /* as with a zone, of the classes that are nobody's */
  uint64_t all;
  uint64_t to_go;
};

struct p11s_share *p11s_share_new(const struct p11s_worth *worth)
{
  struct p11s_share *share = calloc(1, sizeof *share);

  if (share != NULL)
    share->worth = worth;
  return share;
}

void p11s_share_free(struct p11s_share *share)
{
  if (share == NULL)
    return;
  p11s_id_table_clear(&share->zone_of);
  free(share->zones);
  free(share);
}

/* -- zones */

static bool has_space_for_one(struct p11s_share *share)
{
  size_t size = share->size > 0 ? share->size * 2 : 16;
  struct zone *zones;

  if (share->count < share->size)
    return true;
  zones = reallocarray(share->zones, size, sizeof *zones);
  if (zones == NULL)
    return false;
  share->zones = zones;
  share->size = size;
  return true;
}

static bool is_of(const struct zone *zone, const struct p11s_message *m)
{
  return zone->len == m->signer_len &&
         (zone->len == 0 || memcmp(zone->name, m->signer, zone->len) == 0);
}

/* What cannot be parsed is of a zone without a name. NULL: not there; with `add`, no memory. */
static struct zone *find_zone(struct p11s_share *share, const struct p11s_message *m, bool add)
{
  const void *name = m->signer_len > 0 ? m->signer : (const unsigned char *)"";
  uint32_t *at, number;
  uint64_t id;

  if (share->last < share->count && is_of(&share->zones[share->last], m))
    return &share->zones[share->last];
  if (!p11s_bar_zone_id(name, m->signer_len, &id))
    return NULL;
  number = p11s_id_table_find(&share->zone_of, id);
  if (number == P11S_ID_TABLE_NONE) {
    if (!add || !has_space_for_one(share) || (at = p11s_id_table_at(&share->zone_of, id)) == NULL)
      return NULL;
    *at = number = (uint32_t)share->count++;
    share->zones[number] = (struct zone){.best = SHARED, .len = m->signer_len};
    memcpy(share->zones[number].name, name, m->signer_len);
  }
  share->last = number;
  return &share->zones[number];
}

bool p11s_share_add(struct p11s_share *share, const struct p11s_store_record *record, size_t bytes)
{
  struct p11s_message m;
  unsigned worth = p11s_worth_of(share->worth, record, &m);
  struct zone *zone;

  share->all += bytes;
  if (worth >= SHARED) {
    share->bytes[worth] += bytes;
    return true;
  }
  zone = find_zone(share, &m, true);
  if (zone == NULL)
    return false;
  zone->bytes[worth] += bytes;
  zone->all += bytes;
  return true;
}

uint64_t p11s_share_all(const struct p11s_share *share)
{
  return share->all;
}

/* -- deciding */

/* What goes of a zone when none may have more than so much. */
static uint64_t surplus(const struct zone *zone, uint64_t most)
{
  uint64_t over = zone->all > most ? zone->all - most : 0;
  uint64_t may_go = zone->all - zone->bytes[P11S_WORTH_KEYS];

  return over < may_go ? over : may_go;
}

static uint64_t surplus_of_all(const struct p11s_share *share, uint64_t most)
{
  uint64_t sum = 0;

  for (size_t i = 0; i < share->count; i++)
    sum += surplus(&share->zones[i], most);
  return sum;
}

/* The most that a zone may have for that many bytes to go. */
static uint64_t find_share(const struct p11s_share *share, uint64_t bytes)
{
  uint64_t enough = 0, too_much = share->all + 1;

  while (too_much - enough > 1) {
    uint64_t middle = enough + (too_much - enough) / 2;

    if (surplus_of_all(share, middle) >= bytes)
      enough = middle;
    else
      too_much = middle;
  }
  return enough;
}

/* Turns what is there into what is to go: so much, from the highest class down. Returns what is
   still missing. */
static uint64_t take(uint64_t *bytes, unsigned highest, unsigned lowest, uint64_t much)
{
  for (unsigned worth = highest + 1; worth-- > lowest;) {
    if (bytes[worth] > much)
      bytes[worth] = much;
    much -= bytes[worth];
  }
  return much;
}

bool p11s_share_decide(struct p11s_share *share, uint64_t bytes)
{
  uint64_t gone = share->bytes[P11S_WORTH_GONE], most, missing, shared = 0;

  /* All that have expired go: nobody misses them. */
  share->to_go = bytes > gone ? bytes : gone;
  missing = take(share->bytes, P11S_WORTH_GONE, SHARED, share->to_go);
  if (missing > 0 && missing <= bytes - bytes / 4) {
    share->to_go -= missing;
    missing = 0;
  }
  if (missing > 0)
    shared = surplus_of_all(share, 0);
  most = find_share(share, missing);
  for (size_t i = 0; i < share->count; i++) {
    struct zone *zone = &share->zones[i];
    uint64_t much = missing > 0 ? surplus(zone, most) : 0;

    zone->bytes[P11S_WORTH_KEYS] = 0;
    (void)take(zone->bytes, SHARED - 1, P11S_WORTH_KEYS_LAST, much);
  }
  if (missing > shared)
    share->to_go -= missing - shared;
  return missing <= shared;
}

/* -- asked for each */

bool p11s_share_takes(struct p11s_share *share, const struct p11s_store_record *record,
                      size_t bytes, unsigned *ret_worth)
{
  struct p11s_message m;
  struct zone *zone = NULL;
  uint64_t *left;

  *ret_worth = p11s_worth_of(share->worth, record, &m);
  left = &share->bytes[*ret_worth];
  if (*ret_worth < SHARED) {
    zone = find_zone(share, &m, false);
    if (zone == NULL)
      return false;
    left = &zone->bytes[*ret_worth];
  }
  if (*left == 0)
    return false;
  *left -= bytes < *left ? bytes : *left;
  share->to_go -= bytes < share->to_go ? bytes : share->to_go;
  if (zone != NULL && *ret_worth < P11S_WORTH_LAST) {
    zone->lost++;
    zone->best = *ret_worth < zone->best ? *ret_worth : zone->best;
  }
  return true;
}

bool p11s_share_is_done(const struct p11s_share *share)
{
  return share->to_go == 0;
}

bool p11s_share_next_loser(const struct p11s_share *share, size_t *at, struct p11s_share_loser *ret)
{
  while (*at < share->count) {
    const struct zone *zone = &share->zones[(*at)++];

    if (zone->lost == 0 || zone->len == 0)
      continue;
    *ret = (struct p11s_share_loser){zone->name, zone->len, zone->lost, zone->best};
    return true;
  }
  return false;
}

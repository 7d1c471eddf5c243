/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is stored, and what of it was used: one line for each message, whatever its week. */
#include "ahead/plan.h"

#include "base/array.h"
#include "base/crypto.h"
#include "format/lie.h"
#include "ahead/plan_internal.h"

#include <stdlib.h>
#include <string.h>

#define DAYS_MOST 1000

struct p11s_plan *p11s_plan_new(uint32_t now, unsigned weeks, const unsigned char *zone,
                                size_t zone_len)
{
  struct p11s_plan *plan = calloc(1, sizeof *plan);

  if (plan == NULL)
    return NULL;
  plan->now = now;
  plan->week = p11s_week_start(now);
  plan->weeks = weeks < P11S_PLAN_WEEKS_MOST ? weeks : P11S_PLAN_WEEKS_MOST;
  if (zone != NULL && zone_len <= sizeof plan->only) {
    memcpy(plan->only, zone, zone_len);
    plan->only_len = zone_len;
  }
  plan->ctx = EVP_MD_CTX_new();
  if (plan->ctx != NULL)
    return plan;
  p11s_plan_free(plan);
  return NULL;
}

static void clear(struct p11s_plan_table *table)
{
  p11s_id_table_clear(&table->number_of);
  free(table->items);
}

void p11s_plan_free(struct p11s_plan *plan)
{
  if (plan == NULL)
    return;
  EVP_MD_CTX_free(plan->ctx);
  clear(&plan->lines);
  clear(&plan->sets);
  clear(&plan->uses);
  clear(&plan->keys);
  clear(&plan->zones);
  free(plan->soas);
  free(plan->order);
  free(plan);
}

void p11s_plan_set_extension(struct p11s_plan *plan, uint32_t extension)
{
  plan->extension = extension;
}

/* -- ids */

struct part {
  const void *data;
  size_t len;
};

static bool hash(const struct p11s_plan *plan, const struct part *part, size_t count,
                 unsigned char *ret_hash)
{
  bool good = EVP_DigestInit_ex(plan->ctx, p11s_crypto_digest("SHA256"), NULL) == 1;

  for (size_t i = 0; good && i < count; i++)
    good = EVP_DigestUpdate(plan->ctx, part[i].data, part[i].len) == 1;
  return good && EVP_DigestFinal_ex(plan->ctx, ret_hash, NULL) == 1;
}

static bool make_id(const struct p11s_plan *plan, const struct part *part, size_t count,
                    uint64_t *ret)
{
  unsigned char digest[32];

  if (!hash(plan, part, count, digest))
    return false;
  memcpy(ret, digest, sizeof *ret);
  return true;
}

/* -- items */

/* The item of that id, all zeros when it is new, and its number. NULL: no memory. */
static void *item_of(struct p11s_plan_table *table, size_t size, uint64_t id, uint32_t *ret_number)
{
  uint32_t *number = p11s_id_table_at(&table->number_of, id);

  if (number == NULL)
    return NULL;
  if (*number == P11S_ID_TABLE_NONE) {
    if (p11s_array_add(&table->items, &table->count, size) == NULL)
      return NULL;
    *number = (uint32_t)table->count - 1;
  }
  *ret_number = *number;
  return (unsigned char *)table->items + *number * size;
}

static bool find_key(struct p11s_plan *plan, const unsigned char *key_id, uint32_t *ret)
{
  struct p11s_plan_key *key;
  uint64_t id;

  memcpy(&id, key_id, sizeof id);
  key = item_of(&plan->keys, sizeof *key, id, ret);
  if (key != NULL)
    memcpy(key->id, key_id, sizeof key->id);
  return key != NULL;
}

bool p11s_plan_find_key(const struct p11s_plan *plan, const unsigned char *key_id, size_t *ret_key)
{
  uint64_t id;

  memcpy(&id, key_id, sizeof id);
  *ret_key = p11s_id_table_find(&plan->keys.number_of, id);
  return *ret_key != P11S_ID_TABLE_NONE;
}

static bool find_zone(struct p11s_plan *plan, const struct p11s_message *m, uint32_t *ret)
{
  const struct part part = {m->signer, m->signer_len};
  struct p11s_plan_zone *zone = NULL;
  uint64_t id;

  if (make_id(plan, &part, 1, &id))
    zone = item_of(&plan->zones, sizeof *zone, id, ret);
  if (zone != NULL)
    memcpy(zone->name, m->signer, m->signer_len);
  return zone != NULL;
}

static bool find_set(struct p11s_plan *plan, const struct p11s_message *m, uint32_t *ret)
{
  const unsigned char type[2] = {(unsigned char)(m->type >> 8), (unsigned char)m->type};
  const struct part parts[] = {
      {m->signer, m->signer_len}, {type, sizeof type}, {m->owner, m->owner_len}};
  struct p11s_plan_set *set = NULL;
  uint64_t id;

  if (make_id(plan, parts, 3, &id))
    set = item_of(&plan->sets, sizeof *set, id, ret);
  if (set != NULL)
    set->id = id;
  return set != NULL;
}

/* A message in two parts: up to an SOA record's serial, and what is behind it. */
static void leave_out_serial(const unsigned char *message, size_t len, const struct p11s_message *m,
                             size_t from, struct part ret_part[2])
{
  const unsigned char *serial = p11s_message_serial_at(m);
  size_t end = serial != NULL ? (size_t)(serial - message) : len;
  size_t behind = serial != NULL ? end + 4 : len;

  ret_part[0] = (struct part){message + from, end - from};
  ret_part[1] = (struct part){message + behind, len - behind};
}

bool p11s_plan_content_id(const struct p11s_plan *plan, const unsigned char *message, size_t len,
                          const struct p11s_message *m, uint64_t *ret_id)
{
  /* Type, labels and TTL, then the records. */
  struct part part[4] = {{message, 2}, {message + 3, 5}};

  leave_out_serial(message, len, m, (size_t)(m->signer - message) + m->signer_len, part + 2);
  return make_id(plan, part, 4, ret_id);
}

static enum p11s_purpose purpose_of(unsigned type)
{
  if (type == P11S_TYPE_CDS || type == P11S_TYPE_CDNSKEY)
    return P11S_FOR_CDS;
  return type == P11S_TYPE_DNSKEY ? P11S_FOR_DNSKEY : P11S_FOR_ALL_ELSE;
}

static bool make_use_id(const struct p11s_plan *plan, uint32_t key, uint32_t zone,
                        enum p11s_purpose purpose, uint64_t *ret)
{
  const uint32_t numbers[] = {key, zone, purpose};
  const struct part part = {numbers, sizeof numbers};

  return make_id(plan, &part, 1, ret);
}

uint32_t p11s_plan_find_use(const struct p11s_plan *plan, uint32_t key, uint32_t zone,
                            enum p11s_purpose purpose)
{
  uint64_t id;

  return make_use_id(plan, key, zone, purpose, &id) ? p11s_id_table_find(&plan->uses.number_of, id)
                                                    : P11S_ID_TABLE_NONE;
}

static bool find_use(struct p11s_plan *plan, const unsigned char *key_id,
                     const struct p11s_message *m, struct p11s_line *line)
{
  enum p11s_purpose purpose = purpose_of(m->type);
  struct p11s_plan_use *use = NULL;
  uint32_t key;
  uint64_t id;

  if (find_key(plan, key_id, &key) && find_zone(plan, m, &line->zone) &&
      make_use_id(plan, key, line->zone, purpose, &id))
    use = item_of(&plan->uses, sizeof *use, id, &line->use);
  if (use == NULL)
    return false;
  use->key = key;
  use->zone = line->zone;
  use->purpose = purpose;
  return true;
}

/* -- adding */

/* A record, and what of it makes a line. */
struct found {
  const struct p11s_store_record *record;
  struct p11s_message m;
  unsigned at;
  bool as_now;          /* with the extension that PowerDNS writes now */
  unsigned char choice; /* of an SOA record */
};

/* All but expiration, inception and an SOA record's serial. Its length, for what else there is in
   it, tells them apart. */
static bool make_line_id(struct p11s_plan *plan, const struct found *f, uint64_t *ret)
{
  struct part part[5] = {{f->record->key_id, P11S_STORE_ID_LEN},
                         {f->record->message, 8},
                         {&f->choice, p11s_message_serial_at(&f->m) != NULL ? 1 : 0}};

  leave_out_serial(f->record->message, f->record->message_len, &f->m, 16, part + 3);
  return make_id(plan, part, 5, ret);
}

static struct p11s_line *find_line(struct p11s_plan *plan, const struct found *f,
                                   uint32_t *ret_number)
{
  const struct p11s_message *m = &f->m;
  struct p11s_line *line = NULL;
  uint64_t id;

  if (make_line_id(plan, f, &id))
    line = item_of(&plan->lines, sizeof *line, id, ret_number);
  if (line == NULL || line->content != 0)
    return line;
  line->dnskey = m->type == P11S_TYPE_DNSKEY;
  line->soa = p11s_message_serial_at(m) != NULL;
  line->choice = f->choice;
  line->lie = p11s_message_is_lie(m);
  if (!p11s_plan_content_id(plan, f->record->message, f->record->message_len, m, &line->content) ||
      !find_set(plan, m, &line->set) || !find_use(plan, f->record->key_id, m, line))
    return NULL;
  return line;
}

static bool note_use(struct p11s_plan *plan, struct p11s_line *line, const struct found *f)
{
  const struct p11s_store_record *record = f->record;
  const struct part message = {record->message, record->message_len};
  struct p11s_plan_use *use = p11s_plan_use(plan, line->use);
  struct p11s_plan_zone *zone = p11s_plan_zone(plan, line->zone);
  struct p11s_plan_set *set = p11s_plan_set(plan, line->set);
  struct p11s_line now = {.last_used = record->last_used, .soa = line->soa};
  uint32_t days = line->days + (record->days_used < DAYS_MOST ? record->days_used : DAYS_MOST);

  if (!set->used)
    set->line = (uint32_t)(line - p11s_plan_line(plan, 0));
  set->used = true;
  set->several |= p11s_plan_line(plan, set->line)->content != line->content;
  (void)p11s_message_serial(&f->m, &now.serial);
  line->days = (uint16_t)(days < DAYS_MOST ? days : DAYS_MOST);
  if (line->used == 0 || p11s_plan_is_newer(&now, line)) {
    line->last_used = now.last_used;
    line->serial = now.serial;
  }
  if (record->last_used > use->last_used)
    use->last_used = record->last_used;
  if (record->last_used > zone->last_used[use->purpose])
    zone->last_used[use->purpose] = record->last_used;
  line->used |= (uint16_t)P11S_BIT(f->at);
  if (line->used > P11S_BIT(f->at) && f->at == P11S_AT_LAST)
    return true; /* this week's is the better one to begin with */
  return hash(plan, &message, 1, line->message_id);
}

static bool note_stored(struct p11s_plan *plan, struct p11s_line *line, uint32_t number,
                        const struct found *f)
{
  struct p11s_plan_soa *soa;

  if (!f->as_now)
    return true;
  if (!line->soa) {
    line->stored |= (uint16_t)P11S_BIT(f->at);
    return true;
  }
  soa = P11S_ARRAY_ADD(plan->soas, plan->soa_count);
  if (soa == NULL)
    return false;
  soa->line = number;
  soa->at = (unsigned char)f->at;
  return p11s_message_serial(&f->m, &soa->serial);
}

static bool add_to_line(struct p11s_plan *plan, const struct found *f)
{
  uint32_t number;
  struct p11s_line *line = find_line(plan, f, &number);

  if (line == NULL || !note_stored(plan, line, number, f))
    return false;
  return f->record->days_used == 0 || f->at > P11S_AT_THIS || note_use(plan, line, f);
}

/* Something that was asked for, this week or last week, with times that nobody can explain. */
static bool note_unclear(struct p11s_plan *plan, const struct found *f)
{
  uint32_t zone;

  if (f->record->days_used == 0 || p11s_time_diff(f->m.expiration, plan->now) <= 0 ||
      p11s_time_diff(f->record->last_used, plan->week - P11S_WEEK_SECONDS) < 0)
    return true;
  if (!find_zone(plan, &f->m, &zone))
    return false;
  p11s_plan_zone(plan, zone)->unclear++;
  return true;
}

static bool is_of_zone(const struct p11s_plan *plan, const struct p11s_message *m)
{
  return plan->only_len == 0 ||
         (m->signer_len == plan->only_len && memcmp(m->signer, plan->only, plan->only_len) == 0);
}

static bool add(struct p11s_plan *plan, const struct p11s_store_record *record)
{
  struct found f = {.record = record};
  uint32_t start, extension;
  int32_t weeks;

  if (!p11s_message_parse(record->message, record->message_len, &f.m) || f.m.owner == NULL ||
      !is_of_zone(plan, &f.m))
    return true;
  if (!p11s_message_week(&f.m, &start, &extension))
    return note_unclear(plan, &f);
  weeks = p11s_time_diff(start, plan->week) / (int32_t)P11S_WEEK_SECONDS;
  if (weeks < -1 || weeks > P11S_PLAN_WEEKS_MOST)
    return true;
  f.at = (unsigned)(weeks + (int)P11S_AT_THIS);
  f.as_now = extension == plan->extension;
  if (!add_to_line(plan, &f))
    return false;
  /* An SOA record is of one line for each of the serials that a week may have. */
  f.choice = 1;
  return p11s_message_serial_at(&f.m) == NULL || add_to_line(plan, &f);
}

bool p11s_plan_add(const struct p11s_store_record *record, void *arg)
{
  struct p11s_plan *plan = arg;

  plan->failed = plan->failed || !add(plan, record);
  return !plan->failed;
}

bool p11s_plan_has_failed(const struct p11s_plan *plan)
{
  return plan->failed;
}

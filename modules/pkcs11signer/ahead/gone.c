/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ahead/gone.h"

#include "base/array.h"
#include "format/dnsname.h"

#include <stdlib.h>
#include <string.h>

struct p11s_gone_item {
  unsigned char key_id[P11S_STORE_ID_LEN];
  unsigned char zone[P11S_DNSNAME_MAX]; /* zeros behind it */
  uint32_t since;
  bool confirmed;
};

static int compare(const void *a, const void *b)
{
  const struct p11s_gone_item *x = a, *y = b;
  int order = memcmp(x->key_id, y->key_id, sizeof x->key_id);

  return order != 0 ? order : memcmp(x->zone, y->zone, sizeof x->zone);
}

static struct p11s_gone_item *find(const struct p11s_gone *gone, const struct p11s_gone_item *item)
{
  return gone->count == 0 ? NULL : bsearch(item, gone->items, gone->count, sizeof *item, compare);
}

static bool is_due(const struct p11s_gone_item *item, uint32_t now)
{
  return p11s_time_diff(now, item->since) >= (int32_t)P11S_GONE_KEEP;
}

bool p11s_gone_note(struct p11s_gone *gone, const struct p11s_plan *plan, uint32_t now)
{
  struct p11s_gone fresh = {NULL, 0};

  for (size_t i = 0; i < p11s_plan_uses(plan); i++) {
    const struct p11s_plan_use *use = p11s_plan_use(plan, i);
    const unsigned char *zone = p11s_plan_zone_name(plan, use->zone);
    const struct p11s_gone_item *before;
    struct p11s_gone_item *item;

    if (use->state != P11S_USE_UNNAMED)
      continue;
    item = P11S_ARRAY_ADD(fresh.items, fresh.count);
    if (item == NULL) {
      p11s_gone_clear(&fresh);
      p11s_gone_clear(gone);
      return false;
    }
    memcpy(item->key_id, p11s_plan_key_id(plan, use->key), sizeof item->key_id);
    memcpy(item->zone, zone, p11s_dnsname_length(zone, P11S_DNSNAME_MAX));
    before = find(gone, item);
    item->since = before != NULL ? before->since : now;
  }
  if (fresh.count > 0)
    qsort(fresh.items, fresh.count, sizeof *fresh.items, compare);
  free(gone->items);
  *gone = fresh;
  return true;
}

bool p11s_gone_is_due(const struct p11s_gone *gone, uint32_t now)
{
  for (size_t i = 0; i < gone->count; i++)
    if (is_due(&gone->items[i], now))
      return true;
  return false;
}

void p11s_gone_confirm(struct p11s_gone *gone, uint32_t now, p11s_gone_fn ask, void *arg)
{
  size_t kept = 0;

  for (size_t i = 0; i < gone->count; i++) {
    struct p11s_gone_item *item = &gone->items[i];

    if (is_due(item, now)) {
      enum p11s_gone_answer answer = ask(item->zone, item->key_id, arg);

      if (answer == P11S_GONE_NOT)
        continue;
      item->confirmed = answer == P11S_GONE_STILL;
    }
    gone->items[kept++] = *item;
  }
  gone->count = kept;
}

bool p11s_gone_has(const struct p11s_gone *gone, const struct p11s_store_record *record)
{
  const struct p11s_gone_item *found;
  struct p11s_gone_item item;
  struct p11s_message m;

  if (!p11s_message_parse(record->message, record->message_len, &m))
    return false;
  memset(&item, 0, sizeof item);
  memcpy(item.key_id, record->key_id, sizeof item.key_id);
  memcpy(item.zone, m.signer, m.signer_len);
  found = find(gone, &item);
  return found != NULL && found->confirmed;
}

void p11s_gone_drop_confirmed(struct p11s_gone *gone)
{
  size_t kept = 0;

  for (size_t i = 0; i < gone->count; i++)
    if (!gone->items[i].confirmed)
      gone->items[kept++] = gone->items[i];
  gone->count = kept;
}

void p11s_gone_clear(struct p11s_gone *gone)
{
  free(gone->items);
  *gone = (struct p11s_gone){NULL, 0};
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which keys of this process a plan is about (ahead/work.h). */
#include "ahead/work.h"
#include "sign/key.h"
#include "format/pubkey.h"

#include <stdlib.h>
#include <string.h>

static const unsigned char *id_of(const struct p11s_key_use *use)
{
  return p11s_pubkey_hash(p11s_key_public(use->key));
}

/* By id; among those of one id the better one first. */
static int compare(const void *a, const void *b)
{
  const struct p11s_key_use *x = a, *y = b;
  int order = memcmp(id_of(x), id_of(y), P11S_STORE_ID_LEN);

  if (order != 0)
    return order;
  if (x->held != y->held)
    return x->held ? -1 : 1;
  if (x->idle_since_ms != y->idle_since_ms)
    return x->idle_since_ms > y->idle_since_ms ? -1 : 1;
  return 0;
}

static struct p11s_key *find(const struct p11s_key_use *uses, size_t count, const unsigned char *id)
{
  size_t low = 0, high = count;

  while (low < high) {
    size_t middle = (low + high) / 2;

    if (memcmp(id_of(&uses[middle]), id, P11S_STORE_ID_LEN) < 0)
      low = middle + 1;
    else
      high = middle;
  }
  if (low < count && memcmp(id_of(&uses[low]), id, P11S_STORE_ID_LEN) == 0)
    return p11s_key_acquire(uses[low].key);
  return NULL;
}

bool p11s_ahead_keys_find(struct p11s_ahead_keys *keys, const struct p11s_plan *plan,
                          struct p11s_key_table *table)
{
  struct p11s_key_use *uses = NULL;
  size_t count = 0;

  keys->count = p11s_plan_keys(plan);
  keys->key = calloc(keys->count + 1, sizeof(struct p11s_key *));
  if (keys->key == NULL || !p11s_key_table_list(table, &uses, &count)) {
    free(keys->key);
    memset(keys, 0, sizeof *keys);
    return false;
  }
  qsort(uses, count, sizeof *uses, compare);
  for (size_t i = 0; i < keys->count; i++)
    keys->key[i] = find(uses, count, p11s_plan_key_id(plan, i));
  for (size_t i = 0; i < count; i++)
    p11s_key_release(uses[i].key);
  free(uses);
  return true;
}

void p11s_ahead_keys_release(struct p11s_ahead_keys *keys)
{
  for (size_t i = 0; i < keys->count; i++)
    p11s_key_release(keys->key[i]);
  free(keys->key);
  memset(keys, 0, sizeof *keys);
}

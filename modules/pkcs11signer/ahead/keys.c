/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which keys of this process a plan is about (ahead/work.h). */
#include "ahead/work.h"
#include "sign/key.h"
#include "format/pubkey.h"

#include <stdlib.h>
#include <string.h>

/* The better one last. */
static int compare(const void *a, const void *b)
{
  const struct p11s_key_use *x = a, *y = b;

  if (x->held != y->held)
    return x->held ? 1 : -1;
  return (x->idle_since_ms > y->idle_since_ms) - (x->idle_since_ms < y->idle_since_ms);
}

bool p11s_ahead_keys_find(struct p11s_ahead_keys *keys, const struct p11s_plan *plan,
                          struct p11s_key_table *table)
{
  struct p11s_key_use *uses = NULL;
  size_t count = 0, key;

  keys->count = p11s_plan_keys(plan);
  keys->key = calloc(keys->count + 1, sizeof(struct p11s_key *));
  if (keys->key == NULL || !p11s_key_table_list(table, &uses, &count)) {
    free(keys->key);
    memset(keys, 0, sizeof *keys);
    return false;
  }
  qsort(uses, count, sizeof *uses, compare);
  for (size_t i = 0; i < count; i++) {
    struct p11s_key *worse = uses[i].key;

    if (p11s_plan_find_key(plan, p11s_pubkey_hash(p11s_key_public(worse)), &key)) {
      worse = keys->key[key];
      keys->key[key] = uses[i].key;
    }
    p11s_key_release(worse);
  }
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

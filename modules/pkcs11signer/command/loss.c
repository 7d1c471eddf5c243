/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "command/loss.h"

#include "format/dnsname.h"

#include <stdlib.h>
#include <string.h>

struct entry {
  uint64_t lost;
  bool taken;
  unsigned char name[P11S_DNSNAME_MAX];
};

struct p11s_losses {
  struct entry *entry; /* in the order of their names */
  size_t count, capacity, next;
  const unsigned char *only; /* the caller's */
  size_t only_len;
  bool failed;
};

static void add(const unsigned char *name, size_t len, const struct p11s_store_loss *loss,
                void *arg)
{
  struct p11s_losses *l = arg;
  struct entry *entry = l->entry;

  if (l->only != NULL && (len != l->only_len || memcmp(name, l->only, len) != 0))
    return;
  if (l->count == l->capacity) {
    l->capacity = l->capacity > 0 ? l->capacity * 2 : 16;
    entry = reallocarray(l->entry, l->capacity, sizeof *entry);
    l->failed = l->failed || entry == NULL;
  }
  if (l->failed || len > P11S_DNSNAME_MAX)
    return;
  l->entry = entry;
  entry = &l->entry[l->count++];
  memset(entry, 0, sizeof *entry);
  entry->lost = loss->lost;
  memcpy(entry->name, name, len);
}

static int by_name(const void *a, const void *b)
{
  const struct entry *x = a, *y = b;

  return memcmp(x->name, y->name, sizeof x->name);
}

struct p11s_losses *p11s_losses_new(struct p11s_store *store, const unsigned char *zone,
                                    size_t zone_len)
{
  struct p11s_losses *losses = calloc(1, sizeof *losses);

  if (losses == NULL)
    return NULL;
  losses->only = zone;
  losses->only_len = zone_len;
  (void)p11s_store_each_loss(store, add, losses);
  if (losses->failed) {
    p11s_losses_free(losses);
    return NULL;
  }
  if (losses->count > 0)
    qsort(losses->entry, losses->count, sizeof *losses->entry, by_name);
  return losses;
}

void p11s_losses_free(struct p11s_losses *losses)
{
  if (losses == NULL)
    return;
  free(losses->entry);
  free(losses);
}

size_t p11s_losses_count(const struct p11s_losses *losses)
{
  return losses != NULL ? losses->count : 0;
}

uint64_t p11s_losses_take(struct p11s_losses *losses, const unsigned char *name)
{
  struct entry wanted = {0}, *found;
  size_t len = p11s_dnsname_length(name, P11S_DNSNAME_MAX);

  if (losses == NULL || losses->count == 0 || len == 0)
    return 0;
  memcpy(wanted.name, name, len);
  found = bsearch(&wanted, losses->entry, losses->count, sizeof wanted, by_name);
  if (found == NULL)
    return 0;
  found->taken = true;
  return found->lost;
}

const unsigned char *p11s_losses_next(struct p11s_losses *losses, uint64_t *ret_lost)
{
  while (losses != NULL && losses->next < losses->count) {
    const struct entry *entry = &losses->entry[losses->next++];

    if (entry->taken)
      continue;
    *ret_lost = entry->lost;
    return entry->name;
  }
  return NULL;
}

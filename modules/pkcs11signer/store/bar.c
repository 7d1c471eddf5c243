/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "store/bar.h"

#include "base/crypto.h"
#include "store/worth.h"

#include <string.h>

bool p11s_bar_zone_id(const unsigned char *zone, size_t len, uint64_t *ret)
{
  unsigned char hash[P11S_SHA256_LEN];

  if (!p11s_sha256(zone, len, hash))
    return false;
  memcpy(ret, hash, sizeof *ret);
  return true;
}

void p11s_bar_raise(struct p11s_bar *bar, const unsigned char *zone, size_t len, unsigned worth)
{
  uint32_t *best;
  uint64_t id;

  bar->raised = true;
  if (!p11s_bar_zone_id(zone, len, &id) || (best = p11s_id_table_at(&bar->of_zone, id)) == NULL)
    return;
  if (*best == P11S_ID_TABLE_NONE || worth < *best)
    *best = worth;
}

bool p11s_bar_keeps_out(const struct p11s_bar *bar, const struct p11s_message *m, unsigned worth)
{
  uint64_t id;

  if (!bar->raised || worth < P11S_WORTH_AHEAD)
    return false;
  if (worth >= P11S_WORTH_ONCE)
    return true;
  /* None is the largest number. */
  return m->signer_len > 0 && p11s_bar_zone_id(m->signer, m->signer_len, &id) &&
         worth >= p11s_id_table_find(&bar->of_zone, id);
}

void p11s_bar_clear(struct p11s_bar *bar)
{
  p11s_id_table_clear(&bar->of_zone);
  bar->raised = false;
}

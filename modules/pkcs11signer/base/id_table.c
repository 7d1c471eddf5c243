/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/id_table.h"

#include <stdlib.h>
#include <string.h>

#define SIZE_FIRST 1024

/* The id's place, or the free one where it belongs. The table has free ones. */
static size_t place(const struct p11s_id_table *map, uint64_t id)
{
  size_t at = (size_t)id & (map->size - 1);

  while (map->value[at] != P11S_ID_TABLE_NONE && map->id[at] != id)
    at = (at + 1) & (map->size - 1);
  return at;
}

static bool grow(struct p11s_id_table *map)
{
  struct p11s_id_table bigger = {NULL, NULL, map->size > 0 ? map->size * 2 : SIZE_FIRST,
                                 map->count};

  bigger.id = calloc(bigger.size, sizeof *bigger.id);
  bigger.value = malloc(bigger.size * sizeof *bigger.value);
  if (bigger.id == NULL || bigger.value == NULL) {
    p11s_id_table_clear(&bigger);
    return false;
  }
  memset(bigger.value, 0xff, bigger.size * sizeof *bigger.value);
  for (size_t i = 0; i < map->size; i++)
    if (map->value[i] != P11S_ID_TABLE_NONE) {
      size_t at = place(&bigger, map->id[i]);

      bigger.id[at] = map->id[i];
      bigger.value[at] = map->value[i];
    }
  p11s_id_table_clear(map);
  *map = bigger;
  return true;
}

uint32_t p11s_id_table_find(const struct p11s_id_table *map, uint64_t id)
{
  return map->size > 0 ? map->value[place(map, id)] : P11S_ID_TABLE_NONE;
}

uint32_t *p11s_id_table_at(struct p11s_id_table *map, uint64_t id)
{
  size_t at;

  if ((map->count + 1) * 4 > map->size * 3 && !grow(map))
    return NULL;
  at = place(map, id);
  if (map->value[at] == P11S_ID_TABLE_NONE) {
    map->id[at] = id;
    map->count++;
  }
  return &map->value[at];
}

void p11s_id_table_clear(struct p11s_id_table *map)
{
  free(map->id);
  free(map->value);
  memset(map, 0, sizeof *map);
}

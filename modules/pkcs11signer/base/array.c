/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/array.h"

#include <stdlib.h>
#include <string.h>

#define ROOM_FIRST 16 /* a power of two, as all that follow it are */

void *p11s_array_add(void *array, size_t *count, size_t item_size)
{
  size_t at = *count;
  unsigned char *items;

  memcpy(&items, array, sizeof items);
  if (at == 0 || (at >= ROOM_FIRST && (at & (at - 1)) == 0)) {
    items = reallocarray(items, at == 0 ? ROOM_FIRST : at * 2, item_size);
    if (items == NULL)
      return NULL;
    memcpy(array, &items, sizeof items);
  }
  *count = at + 1;
  return memset(items + at * item_size, 0, item_size);
}

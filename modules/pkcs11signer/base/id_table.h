/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A table from 64-bit ids, taken from a cryptographic hash, to numbers. Twelve bytes
 * an entry, three quarters full at most. No locks.
 */
struct p11s_id_table {
  uint64_t *id;
  uint32_t *value; /* P11S_ID_TABLE_NONE: free */
  size_t size;     /* a power of two, or 0 */
  size_t count;
};

#define P11S_ID_TABLE_NONE UINT32_MAX
#define P11S_ID_TABLE_INIT                                                                         \
  {                                                                                                \
    NULL, NULL, 0, 0                                                                               \
  }

/* The number stored for the id, or P11S_ID_TABLE_NONE. */
uint32_t p11s_id_table_find(const struct p11s_id_table *map, uint64_t id);
/* Where the id's number is: P11S_ID_TABLE_NONE when the id is new, then the caller sets it before
   the next call. NULL when there is no memory. */
uint32_t *p11s_id_table_at(struct p11s_id_table *map, uint64_t id);
void p11s_id_table_clear(struct p11s_id_table *map);

/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stddef.h>

/*
 * A growing array: a pointer, NULL at first, and a count that may become smaller, too. Only this
 * makes the array longer; free() frees it. No locks.
 */

/* Appends an item of zeros and returns it. NULL: no memory, and nothing has changed. */
#define P11S_ARRAY_ADD(array, count)                                                               \
  ((__typeof__(array))p11s_array_add(&(array), &(count), sizeof(__typeof__(*(array)))))

/* array: the address of the pointer to the items. */
void *p11s_array_add(void *array, size_t *count, size_t item_size);

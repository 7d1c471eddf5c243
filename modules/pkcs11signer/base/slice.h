/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef P11S_BASE_SLICE_H
#define P11S_BASE_SLICE_H

#include <stddef.h>

/* Bytes that somebody else owns; without a NUL behind them. at: NULL only when there are none. */
struct p11s_slice {
  const unsigned char *at;
  size_t len;
};

#endif

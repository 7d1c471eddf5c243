/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stddef.h>

/* Bytes that somebody else owns; without a NUL behind them. at: NULL only when there are none. */
struct p11s_slice {
  const unsigned char *at;
  size_t len;
};

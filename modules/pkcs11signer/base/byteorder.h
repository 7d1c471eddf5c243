/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdint.h>

/* Numbers in network order, as DNS and the store have them. Any alignment. No locks. */

static inline uint16_t p11s_get16(const unsigned char *at)
{
  return (uint16_t)(at[0] << 8 | at[1]);
}

static inline uint32_t p11s_get32(const unsigned char *at)
{
  return (uint32_t)p11s_get16(at) << 16 | p11s_get16(at + 2);
}

static inline void p11s_put16(unsigned char *at, uint16_t value)
{
  at[0] = (unsigned char)(value >> 8);
  at[1] = (unsigned char)value;
}

static inline void p11s_put32(unsigned char *at, uint32_t value)
{
  p11s_put16(at, (uint16_t)(value >> 16));
  p11s_put16(at + 2, (uint16_t)value);
}

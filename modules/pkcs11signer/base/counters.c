/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/counters.h"

#include <stdatomic.h>

static _Atomic uint64_t value[P11S_STAT_COUNT];

#define NAME(name, text, explanation) (text),
#define EXPLANATION(name, text, explanation) (explanation),
static const char *const names[] = {P11S_COUNTERS(NAME)};
static const char *const explanations[] = {P11S_COUNTERS(EXPLANATION)};

void p11s_counter_count(enum p11s_counter counter)
{
  p11s_counter_add(counter, 1);
}

void p11s_counter_add(enum p11s_counter counter, uint64_t number)
{
  atomic_fetch_add_explicit(&value[counter], number, memory_order_relaxed);
}

void p11s_counter_latency(uint64_t ms)
{
  static const unsigned limit[] = {1, 5, 20, 100, 500, 2000};
  unsigned i = 0;

  while (i < sizeof limit / sizeof limit[0] && ms > limit[i])
    i++;
  p11s_counter_count((enum p11s_counter)(P11S_STAT_LATENCY_1 + i));
}

uint64_t p11s_counter_get(enum p11s_counter counter)
{
  return atomic_load_explicit(&value[counter], memory_order_relaxed);
}

const char *p11s_counter_name(enum p11s_counter counter)
{
  return names[counter];
}

const char *p11s_counter_explain(enum p11s_counter counter)
{
  return explanations[counter];
}

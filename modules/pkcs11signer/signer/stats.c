/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What there is to be said of a signer's tokens and keys (signer/signer.h). */
#include "ahead/ahead.h"
#include "base/array.h"
#include "sign/sign.h"
#include "signer/internal.h"
#include "store/lazy.h"
#include "store/record.h"
#include "token/tokens.h"

#include <p11-kit/pkcs11.h>
#include <stdlib.h>
#include <string.h>

/* PKCS#11 knows no number, only these. */
static size_t pin_state(unsigned long flags)
{
  if ((flags & CKF_USER_PIN_LOCKED) != 0)
    return 0;
  if ((flags & CKF_USER_PIN_FINAL_TRY) != 0)
    return 1;
  return (flags & CKF_USER_PIN_COUNT_LOW) != 0 ? 2 : 3;
}

/* A name of a token, as far as it counts. */
struct name {
  const char *engine;
  enum p11s_token_state state;
  uint64_t seen_ms;
  struct p11s_slot_info found;
};

static int compare_tokens(const struct name *a, const struct name *b)
{
  int order = strcmp(a->engine, b->engine);

  return order != 0 ? order : p11s_slot_compare(&a->found, &b->found);
}

/* Those of one token together, the one that has seen it last before the others. */
static int compare_names(const void *one, const void *other)
{
  const struct name *a = one, *b = other;
  int order = compare_tokens(a, b);

  return order != 0 ? order : (a->seen_ms < b->seen_ms) - (a->seen_ms > b->seen_ms);
}

/* A name that has not found its token yet stands for one of its own. */
static void count_tokens(struct name *names, size_t count, struct p11s_signer_stats *ret)
{
  bool away = false, stuck = false;

  qsort(names, count, sizeof *names, compare_names);
  for (size_t i = 0; i < count; i++) {
    const struct name *n = &names[i];

    if (i == 0 || !p11s_slot_is_known(&n->found) || compare_tokens(n - 1, n) != 0) {
      size_t pin = pin_state(n->found.flags);

      ret->tokens++;
      ret->pin_state = pin < ret->pin_state ? pin : ret->pin_state;
      away = stuck = false;
    }
    ret->away += n->state == P11S_TOKEN_AWAY && !away;
    ret->stuck += n->state == P11S_TOKEN_STUCK && !stuck;
    away = away || n->state == P11S_TOKEN_AWAY;
    stuck = stuck || n->state == P11S_TOKEN_STUCK;
  }
}

struct names {
  struct name *name;
  size_t count;
  struct p11s_signer_stats *sum;
};

static void add_token(const struct p11s_token *token, const struct p11s_token_stats *stats,
                      void *arg)
{
  struct names *names = arg;
  struct name *name;

  names->sum->queued += stats->queued;
  names->sum->workers += stats->workers;
  if (stats->retired)
    return;
  name = P11S_ARRAY_ADD(names->name, names->count);
  if (name != NULL)
    *name = (struct name){p11s_token_engine(token), stats->state, stats->seen_ms, stats->found};
}

void p11s_signer_get_stats(struct p11s_signer *s, struct p11s_signer_stats *ret)
{
  struct p11s_flights_stats flights;
  struct p11s_ahead_stats ahead;
  struct p11s_store_stats store;
  struct names names = {NULL, 0, ret};

  memset(ret, 0, sizeof *ret);
  ret->pin_state = 3;
  p11s_flights_get_stats(s->flights, &flights);
  ret->under_way = flights.under_way;
  p11s_store_get_stats(p11s_lazy_store_peek(s->store), &store);
  ret->store_signatures = store.records;
  ret->store_bytes = store.used_bytes;
  ret->store_queued = store.queued;
  ret->fleet_connected = store.connected;
  ret->fleet_queued = store.fleet_queued;
  p11s_ahead_get_stats(atomic_load(&s->ahead), &ahead);
  ret->ahead_missing = ahead.missing;
  ret->ahead_until = ahead.until;
  if (ahead.until > p11s_record_now())
    ret->ahead_seconds = ahead.until - p11s_record_now();
  ret->keys = p11s_key_table_count(s->keys);
  p11s_tokens_each(s->tokens, add_token, &names);
  if (names.count > 0)
    count_tokens(names.name, names.count, ret); /* engines live as long as the signer */
  free(names.name);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What there is to be said of a signer's tokens and keys (signer/signer.h). */
#include "ahead/ahead.h"
#include "sign/key_internal.h"
#include "sign/sign.h"
#include "signer/internal.h"
#include "store/lazy.h"
#include "store/record.h"
#include "token/token.h"

#include <p11-kit/pkcs11.h>
#include <stdlib.h>
#include <string.h>

void p11s_signer_each_token(struct p11s_signer *s,
                            void (*fn)(const struct p11s_token *token,
                                       const struct p11s_token_stats *stats, void *arg),
                            void *arg)
{
  struct p11s_token_stats stats;

  pthread_mutex_lock(&s->lock);
  for (const struct token_entry *t = s->tokens; t != NULL; t = t->next) {
    p11s_token_get_stats(t->token, &stats);
    if (!stats.retired)
      fn(t->token, &stats, arg);
  }
  pthread_mutex_unlock(&s->lock);
}

bool p11s_signer_get_tokens(struct p11s_signer *s, struct p11s_token ***ret_tokens,
                            size_t *ret_count)
{
  struct p11s_token_stats stats;
  struct p11s_token **tokens;
  size_t count = 0;

  pthread_mutex_lock(&s->lock);
  tokens = calloc(s->token_count + 1, sizeof(struct p11s_token *));
  for (const struct token_entry *t = s->tokens; tokens != NULL && t != NULL; t = t->next) {
    p11s_token_get_stats(t->token, &stats);
    if (!stats.retired)
      tokens[count++] = t->token;
  }
  pthread_mutex_unlock(&s->lock);
  *ret_tokens = tokens;
  *ret_count = count;
  return tokens != NULL;
}

bool p11s_signer_get_keys(struct p11s_signer *s, struct p11s_key_use **ret_uses, size_t *ret_count)
{
  struct p11s_key_use *uses;
  size_t room, count = 0;

  pthread_mutex_lock(&s->lock);
  room = s->key_count + 64; /* some may come meanwhile; what comes later is for the next time */
  pthread_mutex_unlock(&s->lock);
  uses = calloc(room, sizeof *uses);
  if (uses == NULL)
    return false;
  pthread_mutex_lock(&s->lock);
  for (unsigned i = 0; i < P11S_SIGNER_BUCKETS; i++)
    for (struct p11s_key *key = s->bucket[i]; key != NULL && count < room; key = key->next)
      if (p11s_key_public(key) != NULL)
        uses[count++] = (struct p11s_key_use){key, key->refs++ > 0, key->idle_since_ms};
  pthread_mutex_unlock(&s->lock);
  *ret_uses = uses;
  *ret_count = count;
  return true;
}

/* PKCS#11 knows no number, only these. */
static size_t pin_tries_left(unsigned long flags)
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
      size_t left = pin_tries_left(n->found.flags);

      ret->tokens++;
      ret->pin_tries_left = left < ret->pin_tries_left ? left : ret->pin_tries_left;
      away = stuck = false;
    }
    ret->away += n->state == P11S_TOKEN_AWAY && !away;
    ret->stuck += n->state == P11S_TOKEN_STUCK && !stuck;
    away = away || n->state == P11S_TOKEN_AWAY;
    stuck = stuck || n->state == P11S_TOKEN_STUCK;
  }
}

void p11s_signer_get_stats(struct p11s_signer *s, struct p11s_signer_stats *ret)
{
  struct p11s_flights_stats flights;
  struct p11s_ahead_stats ahead;
  struct p11s_store_stats store;
  struct p11s_token_stats stats;
  struct name *names;
  size_t count = 0;

  memset(ret, 0, sizeof *ret);
  ret->pin_tries_left = 3;
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
  pthread_mutex_lock(&s->lock);
  ret->keys = s->key_count;
  names = calloc(s->token_count + 1, sizeof *names);
  for (const struct token_entry *t = s->tokens; t != NULL; t = t->next) {
    p11s_token_get_stats(t->token, &stats);
    ret->queued += stats.queued;
    ret->workers += stats.workers;
    if (names != NULL && !stats.retired)
      names[count++] =
          (struct name){p11s_token_engine(t->token), stats.state, stats.seen_ms, stats.found};
  }
  pthread_mutex_unlock(&s->lock);
  if (names != NULL)
    count_tokens(names, count, ret); /* engines live as long as the signer */
  free(names);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What there is to be said of a signer's tokens and keys (signer.h). */
#include "sign.h"
#include "signer_internal.h"
#include "token.h"

#include <p11-kit/pkcs11.h>
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
    fn(t->token, &stats, arg);
  }
  pthread_mutex_unlock(&s->lock);
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

static size_t least(size_t a, size_t b)
{
  return a < b ? a : b;
}

void p11s_signer_get_stats(struct p11s_signer *s, struct p11s_signer_stats *ret)
{
  struct p11s_flights_stats flights;
  struct p11s_token_stats stats;
  struct token_entry *t;

  memset(ret, 0, sizeof *ret);
  ret->pin_tries_left = 3;
  p11s_flights_get_stats(s->flights, &flights);
  ret->under_way = flights.under_way;
  pthread_mutex_lock(&s->lock);
  ret->keys = s->key_count;
  ret->tokens = s->token_count;
  for (t = s->tokens; t != NULL; t = t->next) {
    p11s_token_get_stats(t->token, &stats);
    ret->queued += stats.queued;
    ret->workers += stats.workers;
    ret->away += stats.state == P11S_TOKEN_AWAY;
    ret->stuck += stats.state == P11S_TOKEN_STUCK;
    ret->pin_tries_left = least(ret->pin_tries_left, pin_tries_left(stats.flags));
  }
  pthread_mutex_unlock(&s->lock);
}

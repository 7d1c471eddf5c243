/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the process remembers of PINs in memory: hashes, verdicts, what was logged (pin/guard.h). */
#include "base/crypto.h"
#include "base/lock.h"
#include "pin/guard_internal.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RING_MAX 8192

void p11s_pin_guard_memory_init(struct p11s_pin_guard *g)
{
  TAILQ_INIT(&g->accepted.list);
  TAILQ_INIT(&g->news.list);
  TAILQ_INIT(&g->slow.list);
}

static bool digest_fast(const struct p11s_pin_guard *g, const struct p11s_pin_token *token,
                        const struct p11s_secret *pin, struct fast *ret)
{
  char both[sizeof *token];
  int len = snprintf(both, sizeof both, "%s%c%s", token->label, '\0', token->serial);

  memset(ret, 0, sizeof *ret);
  return len > 0 && p11s_hmac_sha256(g->key, sizeof g->key, both, (size_t)len, ret->token) &&
         p11s_hmac_sha256(ret->token, sizeof ret->token, p11s_secret_data(pin),
                          p11s_secret_len(pin), ret->pin);
}

/* By the first len bytes. */
static struct known *find(const struct ring *ring, const struct fast *fast, size_t len)
{
  struct known *k = TAILQ_FIRST(&ring->list);

  while (k != NULL && memcmp(&k->fast, fast, len) != 0)
    k = TAILQ_NEXT(k, link);
  return k;
}

static void drop(struct ring *ring, struct known *k)
{
  TAILQ_REMOVE(&ring->list, k, link);
  ring->count--;
  free(k);
}

static void clear(struct ring *ring)
{
  struct known *next;

  for (struct known *k = TAILQ_FIRST(&ring->list); k != NULL; k = next) {
    next = TAILQ_NEXT(k, link);
    free(k);
  }
  TAILQ_INIT(&ring->list);
  ring->count = 0;
}

void p11s_pin_guard_memory_clear(struct p11s_pin_guard *g)
{
  clear(&g->accepted);
  clear(&g->news);
  clear(&g->slow);
}

/* Without memory it is not remembered. */
static void put(struct ring *ring, const struct known *known)
{
  struct known *k = malloc(sizeof *k);

  if (k == NULL)
    return;
  if (ring->count == RING_MAX)
    drop(ring, TAILQ_FIRST(&ring->list));
  *k = *known;
  TAILQ_INSERT_TAIL(&ring->list, k, link);
  ring->count++;
}

/* -- slow hashes: each made once, and one at a time */

static bool find_slow(struct p11s_pin_guard *g, const struct fast *wanted, unsigned char *ret)
{
  const struct known *slow;

  p11s_lock(&g->lock);
  slow = find(&g->slow, wanted, sizeof *wanted);
  if (slow != NULL)
    memcpy(ret, slow->hash, sizeof slow->hash);
  p11s_unlock(&g->lock);
  return slow != NULL;
}

bool p11s_pin_guard_hash(struct p11s_pin_guard *g, const unsigned char *salt,
                         const struct p11s_pin_token *token, const struct p11s_secret *pin,
                         unsigned char *ret)
{
  struct known slow = {0};
  bool known;

  if (!digest_fast(g, token, pin, &slow.fast))
    return false;
  memcpy(slow.fast.salt, salt, sizeof slow.fast.salt);
  if (find_slow(g, &slow.fast, ret))
    return true;
  p11s_lock(&g->hashing);
  known = find_slow(g, &slow.fast, ret);
  if (!known && p11s_pin_marks_hash(salt, token->serial, pin, slow.hash)) {
    p11s_lock(&g->lock);
    put(&g->slow, &slow);
    p11s_unlock(&g->lock);
    memcpy(ret, slow.hash, sizeof slow.hash);
    known = true;
  }
  p11s_unlock(&g->hashing);
  return known;
}

/* -- verdicts and news */

void p11s_pin_guard_forget_news_locked(struct p11s_pin_guard *g, const struct p11s_pin_token *token)
{
  struct known *news;
  struct fast fast;

  if (!digest_fast(g, token, NULL, &fast))
    return;
  while ((news = find(&g->news, &fast, sizeof fast.token)) != NULL)
    drop(&g->news, news);
}

static bool is_pin(const struct known *known, const struct fast *fast)
{
  return CRYPTO_memcmp(known->fast.pin, fast->pin, sizeof fast->pin) == 0;
}

void p11s_pin_guard_note_verdict(struct p11s_pin_guard *g, const struct p11s_pin_token *token,
                                 const struct p11s_secret *pin, bool accepted)
{
  struct known now = {0}, *known;

  if (!digest_fast(g, token, pin, &now.fast))
    return;
  p11s_lock(&g->lock);
  known = find(&g->accepted, &now.fast, sizeof now.fast.token);
  if (known != NULL && (accepted || is_pin(known, &now.fast)))
    drop(&g->accepted, known);
  if (accepted) {
    put(&g->accepted, &now);
    p11s_pin_guard_forget_news_locked(g, token);
  }
  p11s_unlock(&g->lock);
}

enum p11s_pin_proof p11s_pin_guard_proof(struct p11s_pin_guard *g,
                                         const struct p11s_slot_info *slot,
                                         const struct p11s_secret *pin)
{
  struct p11s_pin_token token = p11s_pin_guard_token(slot);
  enum p11s_pin_proof proof = P11S_PIN_UNKNOWN;
  const struct known *known;
  struct fast fast;

  if (!digest_fast(g, &token, pin, &fast))
    return proof;
  p11s_lock(&g->lock);
  known = find(&g->accepted, &fast, sizeof fast.token);
  if (known != NULL)
    proof = is_pin(known, &fast) ? P11S_PIN_PROVEN : P11S_PIN_OTHER;
  p11s_unlock(&g->lock);
  if (proof != P11S_PIN_OTHER || g->dir == NULL)
    return proof;
  /* It may have been changed, and another process may have logged in with the new one. */
  p11s_pin_guard_refresh(g);
  if (!p11s_pin_guard_is_marked(g, P11S_PIN_MARK_PROVEN, &token, pin))
    return proof;
  p11s_pin_guard_note_verdict(g, &token, pin, true);
  return P11S_PIN_PROVEN;
}

bool p11s_pin_guard_is_news(struct p11s_pin_guard *g, const struct p11s_slot_info *slot,
                            const struct p11s_secret *pin, enum p11s_err reason)
{
  struct p11s_pin_token token = p11s_pin_guard_token(slot);
  struct known now = {0};
  bool known;

  if (!digest_fast(g, &token, pin, &now.fast))
    return true;
  now.fast.pin[0] = (unsigned char)reason; /* the other 31 bytes still tell PINs apart */
  p11s_lock(&g->lock);
  known = find(&g->news, &now.fast, sizeof now.fast) != NULL;
  if (!known)
    put(&g->news, &now);
  p11s_unlock(&g->lock);
  return !known;
}

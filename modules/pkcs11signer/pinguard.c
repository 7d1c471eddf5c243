/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pinguard.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define TABLE_MAX 64
#define MAC_LEN 32

struct mark {
  unsigned char token[MAC_LEN]; /* HMAC(key, serial) */
  unsigned char pin[MAC_LEN];   /* HMAC(token, PIN) */
};

/* The last TABLE_MAX marks, as a ring. */
struct table {
  struct mark mark[TABLE_MAX];
  unsigned count;
  unsigned next;
};

struct p11s_pinguard {
  unsigned char key[MAC_LEN]; /* immutable */
  pthread_mutex_t lock;       /* guards the rest */
  struct table refused;
  struct table accepted; /* one mark a token */
};

struct p11s_pinguard *p11s_pinguard_new(void)
{
  struct p11s_pinguard *g = calloc(1, sizeof *g);

  if (g == NULL)
    return NULL;
  pthread_mutex_init(&g->lock, NULL);
  if (RAND_bytes(g->key, sizeof g->key) == 1)
    return g;
  p11s_pinguard_free(g);
  return NULL;
}

void p11s_pinguard_free(struct p11s_pinguard *g)
{
  if (g == NULL)
    return;
  pthread_mutex_destroy(&g->lock);
  p11s_wipe(g, sizeof *g);
  free(g);
}

static bool make_mark(const struct p11s_pinguard *g, const char *serial,
                      const struct p11s_secret *pin, struct mark *mark)
{
  return HMAC(EVP_sha256(), g->key, sizeof g->key, (const unsigned char *)serial, strlen(serial),
              mark->token, NULL) != NULL &&
         HMAC(EVP_sha256(), mark->token, sizeof mark->token, p11s_secret_data(pin),
              p11s_secret_len(pin), mark->pin, NULL) != NULL;
}

static struct mark *find_token(struct table *table, const struct mark *mark)
{
  for (unsigned i = 0; i < table->count; i++)
    if (memcmp(table->mark[i].token, mark->token, MAC_LEN) == 0)
      return &table->mark[i];
  return NULL;
}

static void put(struct table *table, const struct mark *mark)
{
  table->mark[table->next] = *mark;
  table->next = (table->next + 1) % TABLE_MAX;
  if (table->count < TABLE_MAX)
    table->count++;
}

void p11s_pinguard_add(struct p11s_pinguard *g, const char *serial, const struct p11s_secret *pin)
{
  struct mark mark;

  if (!make_mark(g, serial, pin, &mark))
    return;
  pthread_mutex_lock(&g->lock);
  put(&g->refused, &mark);
  pthread_mutex_unlock(&g->lock);
}

bool p11s_pinguard_has(struct p11s_pinguard *g, const char *serial, const struct p11s_secret *pin)
{
  struct mark mark;
  bool found = false;

  if (!make_mark(g, serial, pin, &mark))
    return false;
  pthread_mutex_lock(&g->lock);
  for (unsigned i = 0; i < g->refused.count && !found; i++)
    found = memcmp(g->refused.mark[i].pin, mark.pin, MAC_LEN) == 0;
  pthread_mutex_unlock(&g->lock);
  return found;
}

void p11s_pinguard_accept(struct p11s_pinguard *g, const char *serial,
                          const struct p11s_secret *pin)
{
  struct mark mark, *known;

  if (!make_mark(g, serial, pin, &mark))
    return;
  pthread_mutex_lock(&g->lock);
  known = find_token(&g->accepted, &mark);
  if (known != NULL)
    *known = mark;
  else
    put(&g->accepted, &mark);
  pthread_mutex_unlock(&g->lock);
}

enum p11s_pin_proof p11s_pinguard_proof(struct p11s_pinguard *g, const char *serial,
                                        const struct p11s_secret *pin)
{
  enum p11s_pin_proof proof = P11S_PIN_UNKNOWN;
  struct mark mark, *known;

  if (!make_mark(g, serial, pin, &mark))
    return proof;
  pthread_mutex_lock(&g->lock);
  known = find_token(&g->accepted, &mark);
  if (known != NULL)
    proof = CRYPTO_memcmp(known->pin, mark.pin, MAC_LEN) == 0 ? P11S_PIN_PROVEN : P11S_PIN_OTHER;
  pthread_mutex_unlock(&g->lock);
  return proof;
}

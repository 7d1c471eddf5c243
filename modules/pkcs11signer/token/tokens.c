/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "token/tokens.h"

#include "base/lock.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct entry {
  struct entry *next;
  struct p11s_token *token;
};

struct p11s_tokens {
  struct p11s_tokens_config config; /* immutable */

  struct p11s_mutex lock; /* guards the rest */
  struct entry *entries;  /* they stay until the end */
  size_t count;
  bool stopped;
};

struct p11s_tokens *p11s_tokens_new(const struct p11s_tokens_config *config)
{
  struct p11s_tokens *tokens = calloc(1, sizeof *tokens);

  if (tokens == NULL)
    return NULL;
  tokens->config = *config;
  p11s_mutex_init(&tokens->lock, P11S_RANK_TOKENS);
  return tokens;
}

bool p11s_tokens_stop(struct p11s_tokens *tokens, uint64_t deadline_ms)
{
  struct entry *t;
  bool all_back = true;

  if (tokens == NULL)
    return true;
  if (!p11s_mutex_lock_until(&tokens->lock, deadline_ms))
    return false;
  tokens->stopped = true;
  t = tokens->entries;
  p11s_unlock(&tokens->lock);
  for (; t != NULL; t = t->next)
    if (!p11s_token_stop(t->token, deadline_ms))
      all_back = false;
  return all_back;
}

void p11s_tokens_free(struct p11s_tokens *tokens)
{
  if (tokens == NULL)
    return;
  while (tokens->entries != NULL) {
    struct entry *t = tokens->entries;

    tokens->entries = t->next;
    p11s_token_free(t->token);
    free(t);
  }
  p11s_mutex_destroy(&tokens->lock);
  free(tokens);
}

static struct p11s_token *find_locked(const struct p11s_tokens *tokens, const char *engine,
                                      const char *slot)
{
  for (const struct entry *t = tokens->entries; t != NULL; t = t->next)
    if (strcmp(p11s_token_engine(t->token), engine) == 0 &&
        strcmp(p11s_token_slot(t->token), slot) == 0)
      return t->token;
  return NULL;
}

static struct p11s_token *add_locked(struct p11s_tokens *tokens, const char *engine,
                                     const char *slot)
{
  struct entry *t = calloc(1, sizeof *t);

  if (t != NULL)
    t->token = p11s_token_new(engine, slot, &tokens->config.token);
  if (t == NULL || t->token == NULL) {
    free(t);
    return NULL;
  }
  t->next = tokens->entries;
  tokens->entries = t;
  tokens->count++;
  return t->token;
}

enum p11s_err p11s_tokens_get(struct p11s_tokens *tokens, const char *engine, const char *slot,
                              struct p11s_token **ret, struct p11s_error *e)
{
  struct p11s_token *token = NULL;
  bool stopped, first;

  p11s_lock(&tokens->lock);
  stopped = tokens->stopped;
  first = tokens->count == 0;
  if (!stopped)
    token = find_locked(tokens, engine, slot);
  if (!stopped && token == NULL)
    token = add_locked(tokens, engine, slot);
  p11s_unlock(&tokens->lock);
  if (stopped)
    return p11s_error_set(e, P11S_ERR_STOPPED, "the server is going down");
  if (token == NULL)
    return p11s_error_set(e, P11S_ERR_NOMEM, "out of memory");
  if (first && tokens->config.first != NULL)
    tokens->config.first(tokens->config.arg);
  *ret = token;
  return P11S_OK;
}

void p11s_tokens_each(struct p11s_tokens *tokens,
                      void (*fn)(const struct p11s_token *token,
                                 const struct p11s_token_stats *stats, void *arg),
                      void *arg)
{
  struct p11s_token_stats stats;

  p11s_lock(&tokens->lock);
  for (const struct entry *t = tokens->entries; t != NULL; t = t->next) {
    p11s_token_get_stats(t->token, &stats);
    fn(t->token, &stats, arg);
  }
  p11s_unlock(&tokens->lock);
}

bool p11s_tokens_list(struct p11s_tokens *tokens, struct p11s_token ***ret_tokens,
                      size_t *ret_count)
{
  struct p11s_token_stats stats;
  struct p11s_token **list;
  size_t count = 0;

  p11s_lock(&tokens->lock);
  list = calloc(tokens->count + 1, sizeof(struct p11s_token *));
  for (const struct entry *t = tokens->entries; list != NULL && t != NULL; t = t->next) {
    p11s_token_get_stats(t->token, &stats);
    if (!stats.retired)
      list[count++] = t->token;
  }
  p11s_unlock(&tokens->lock);
  *ret_tokens = list;
  *ret_count = count;
  return list != NULL;
}

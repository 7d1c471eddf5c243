/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "token/tokens.h"

#include "base/lock.h"
#include "token/token_internal.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct p11s_tokens {
  struct p11s_tokens_config config; /* immutable */

  struct p11s_mutex lock;                  /* guards the rest */
  SLIST_HEAD(token_list, p11s_token) list; /* they stay until the end */
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
  struct p11s_token *token;
  bool all_back = true;

  if (tokens == NULL)
    return true;
  if (!p11s_mutex_lock_until(&tokens->lock, deadline_ms))
    return false;
  tokens->stopped = true;
  p11s_unlock(&tokens->lock);
  SLIST_FOREACH(token, &tokens->list, in_table)
  if (!p11s_token_stop(token, deadline_ms))
    all_back = false;
  return all_back;
}

void p11s_tokens_free(struct p11s_tokens *tokens)
{
  struct p11s_token *token;

  if (tokens == NULL)
    return;
  while ((token = SLIST_FIRST(&tokens->list)) != NULL) {
    SLIST_REMOVE_HEAD(&tokens->list, in_table);
    p11s_token_free(token);
  }
  p11s_mutex_destroy(&tokens->lock);
  free(tokens);
}

static struct p11s_token *find_locked(const struct p11s_tokens *tokens, const char *engine,
                                      const char *slot)
{
  struct p11s_token *token;

  SLIST_FOREACH(token, &tokens->list, in_table)
  if (strcmp(token->engine, engine) == 0 && strcmp(token->slot, slot) == 0)
    break;
  return token;
}

static struct p11s_token *add_locked(struct p11s_tokens *tokens, const char *engine,
                                     const char *slot)
{
  struct p11s_token *token = p11s_token_new(engine, slot, &tokens->config.token);

  if (token == NULL)
    return NULL;
  SLIST_INSERT_HEAD(&tokens->list, token, in_table);
  tokens->count++;
  return token;
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
    return p11s_error_no_memory(e);
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
  struct p11s_token *token;

  p11s_lock(&tokens->lock);
  SLIST_FOREACH(token, &tokens->list, in_table)
  {
    p11s_token_get_stats(token, &stats);
    fn(token, &stats, arg);
  }
  p11s_unlock(&tokens->lock);
}

bool p11s_tokens_list(struct p11s_tokens *tokens, struct p11s_token ***ret_tokens,
                      size_t *ret_count)
{
  struct p11s_token **list, *token;
  size_t count = 0;

  p11s_lock(&tokens->lock);
  list = calloc(tokens->count + 1, sizeof(struct p11s_token *));
  SLIST_FOREACH(token, &tokens->list, in_table)
  if (list != NULL && !atomic_load(&token->retired))
    list[count++] = token;
  p11s_unlock(&tokens->lock);
  *ret_tokens = list;
  *ret_count = count;
  return list != NULL;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/err.h"
#include "token/token.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The tokens of the process, each made when a reference first names it. They live as long as the
 * table.
 *
 * Any thread. tokens->lock guards the table; a token's own lock is taken under it.
 */
struct p11s_tokens;

struct p11s_tokens_config {
  struct p11s_token_config token; /* of each; what it points to is borrowed */
  void (*first)(void *arg);       /* a token is in use: once, without a lock; or NULL */
  void *arg;
};

/* NULL: no memory. */
struct p11s_tokens *p11s_tokens_new(const struct p11s_tokens_config *config);
/* Ends all workers; false when one did not come back until deadline_ms. From then on there are no
   new tokens. NULL is allowed. */
bool p11s_tokens_stop(struct p11s_tokens *tokens, uint64_t deadline_ms);
/* Behind p11s_tokens_stop(). NULL is allowed. */
void p11s_tokens_free(struct p11s_tokens *tokens);

/* Makes no PKCS#11 call. P11S_ERR_STOPPED, P11S_ERR_NOMEM. */
enum p11s_err p11s_tokens_get(struct p11s_tokens *tokens, const char *engine, const char *slot,
                              struct p11s_token **ret, struct p11s_error *e);

/* Calls fn for each token, those that are retired too, under the lock: fn must not call this table,
   nor wait. */
void p11s_tokens_each(struct p11s_tokens *tokens,
                      void (*fn)(const struct p11s_token *token,
                                 const struct p11s_token_stats *stats, void *arg),
                      void *arg);
/* All that are not retired, for who may wait. The array is to be freed by the caller. false: no
   memory. */
bool p11s_tokens_list(struct p11s_tokens *tokens, struct p11s_token ***ret_tokens,
                      size_t *ret_count);

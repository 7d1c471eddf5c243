/* SPDX-License-Identifier: GPL-2.0-or-later */
/* unlock-login: which tokens something is remembered of, and how it is forgotten (pin/guard.h). */
#include "base/crypto.h"
#include "base/lock.h"
#include "pin/guard_internal.h"

#include <stdlib.h>

enum p11s_err p11s_pin_guard_subjects(struct p11s_pin_guard *g, struct p11s_pin_subject **ret,
                                      size_t *ret_count, struct p11s_error *e)
{
  struct p11s_pin_subject *found;
  size_t count = 0;

  p11s_pin_guard_refresh(g);
  p11s_lock(&g->lock);
  found = calloc(g->shared.count + 1, sizeof *found);
  for (size_t i = 0; found != NULL && i < g->shared.count; i++) {
    const struct p11s_pin_mark *mark = &g->shared.mark[i];
    size_t j = 0;

    while (j < count && !p11s_pin_token_is(&found[j].token, &mark->token))
      j++;
    if (j == count)
      found[count++] = (struct p11s_pin_subject){.token = mark->token, .refused = 0};
    found[j].refused += mark->kind == P11S_PIN_MARK_REFUSED || mark->kind == P11S_PIN_MARK_TRYING;
  }
  p11s_unlock(&g->lock);
  if (found == NULL)
    return p11s_error_no_memory(e);
  *ret = found;
  *ret_count = count;
  return P11S_OK;
}

enum p11s_err p11s_pin_guard_unlock(struct p11s_pin_guard *g, const struct p11s_pin_token *token,
                                    size_t *ret_refused, struct p11s_error *e)
{
  unsigned char random[P11S_PIN_HASH_LEN];
  struct p11s_pin_change change = {.token = token,
                                   .of_token =
                                       P11S_PIN_MARKS_THAT_FORBID | P11S_PIN_MARKS_THAT_ALLOW,
                                   .put = P11S_PIN_MARK_UNLOCKED,
                                   .random = random};

  if (g->dir == NULL)
    return p11s_error_set(e, P11S_ERR_HOST,
                          "there is no state directory (pkcs11signer-state-dir), so what a server "
                          "refuses is known to it alone: restart it to have the PIN tried again");
  if (!p11s_random(random, sizeof random))
    return p11s_error_set(e, P11S_ERR_NOMEM, "no random numbers");
  if (!p11s_pin_guard_change(g, &change))
    return p11s_error_set(e, P11S_ERR_HOST,
                          "the state directory %s cannot be written: %m; run this as the server's "
                          "user, or as root",
                          g->dir);
  *ret_refused = change.forgotten;
  return P11S_OK;
}

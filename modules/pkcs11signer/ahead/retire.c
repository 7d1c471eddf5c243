/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ahead/retire.h"

#include "base/buf.h"
#include "base/lock.h"
#include "token/token.h"

#include <stdlib.h>
#include <string.h>

#define EVERY_MS 10000
#define PART 10 /* of the time, for reading */

struct p11s_retire_token {
  struct p11s_token *token;
  char *zone;          /* that names it; NULL: none is known */
  bool named;          /* by a row, as of this time */
  uint64_t unnamed_ms; /* since when none was found; 0: one was */
};

void p11s_retire_clear(struct p11s_retire *r)
{
  for (size_t i = 0; i < r->count; i++)
    free(r->tokens[i].zone);
  free(r->tokens);
  *r = (struct p11s_retire){NULL, 0, 0};
}

/* -- rows */

static bool note_name(const struct p11s_row *row, const struct p11s_keyref *ref, void *arg)
{
  struct p11s_retire *r = arg;

  for (size_t i = 0; i < r->count; i++) {
    struct p11s_retire_token *t = &r->tokens[i];

    if (t->named || strcmp(p11s_token_engine(t->token), ref->engine) != 0 ||
        strcmp(p11s_token_slot(t->token), ref->slot) != 0)
      continue;
    t->named = true;
    if (t->zone == NULL || strcmp(t->zone, row->zone) != 0) {
      free(t->zone);
      t->zone = strdup(row->zone);
    }
  }
  return true;
}

static bool are_all_named(const struct p11s_retire *r)
{
  for (size_t i = 0; i < r->count; i++)
    if (!r->tokens[i].named)
      return false;
  return true;
}

/* false: not all that had to be read was. */
static bool read_all(struct p11s_retire *r, const struct p11s_host *host, const atomic_bool *stop,
                     struct p11s_error *e)
{
  struct p11s_buf zones = P11S_BUF_INIT;
  bool good = true;

  for (size_t i = 0; good && i < r->count; i++) {
    char *zone = r->tokens[i].named || r->tokens[i].zone == NULL ? NULL : strdup(r->tokens[i].zone);

    if (zone != NULL) /* its own, which may be replaced meanwhile */
      good = p11s_host_each_ref(host, zone, note_name, r, e) == P11S_OK;
    free(zone);
  }
  if (!good || are_all_named(r))
    return good;
  good = p11s_host_zones(host, &zones, e) == P11S_OK;
  for (const char *zone = NULL;
       good && !are_all_named(r) && (zone = p11s_buf_next_text(&zones, zone)) != NULL;)
    good = !atomic_load(stop) && p11s_host_each_ref(host, zone, note_name, r, e) == P11S_OK;
  p11s_buf_clear(&zones);
  return good;
}

/* -- tokens */

/* Those that there are, with what is known of them. */
static bool list_tokens(struct p11s_retire *r, struct p11s_tokens *table)
{
  struct p11s_retire_token *fresh;
  struct p11s_token **tokens;
  size_t count;

  if (!p11s_tokens_list(table, &tokens, &count))
    return false;
  fresh = calloc(count + 1, sizeof *fresh);
  for (size_t i = 0; fresh != NULL && i < count; i++) {
    fresh[i].token = tokens[i];
    for (size_t j = 0; j < r->count; j++)
      if (r->tokens[j].token == tokens[i]) {
        fresh[i].zone = r->tokens[j].zone;
        fresh[i].unnamed_ms = r->tokens[j].unnamed_ms;
        r->tokens[j].zone = NULL;
      }
  }
  free(tokens);
  if (fresh == NULL)
    return false;
  p11s_retire_clear(r);
  r->tokens = fresh;
  r->count = count;
  return true;
}

static void judge(struct p11s_retire *r)
{
  uint64_t now = p11s_now_ms();

  for (size_t i = 0; i < r->count; i++) {
    struct p11s_retire_token *t = &r->tokens[i];

    if (t->named || (t->unnamed_ms != 0 && now - t->unnamed_ms >= P11S_RETIRE_MS &&
                     p11s_token_retire(t->token)))
      t->unnamed_ms = 0;
    else if (t->unnamed_ms == 0)
      t->unnamed_ms = now;
  }
}

void p11s_retire_step(struct p11s_retire *r, struct p11s_tokens *tokens, struct p11s_zones *zones,
                      const atomic_bool *stop)
{
  uint64_t begun = p11s_now_ms(), took;
  const struct p11s_host *host;
  struct p11s_error error = {0};

  if (begun < r->next_ms || !list_tokens(r, tokens))
    return;
  host = r->count > 0 ? p11s_zones_host(zones) : NULL;
  if (host != NULL && read_all(r, host, stop, &error))
    judge(r);
  else if (error.code != P11S_OK)
    p11s_zones_note_failure(zones, &error);
  took = p11s_now_ms() - begun;
  r->next_ms = p11s_now_ms() + (took * PART > EVERY_MS ? took * PART : EVERY_MS);
}

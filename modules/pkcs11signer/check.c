/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Looking at all references of the table (assign.h). */
#include "assign.h"

#include <stdlib.h>
#include <string.h>

struct walk {
  struct p11s_signer *signer;
  const struct p11s_host *host;
  void (*fn)(const struct p11s_check *check, void *arg);
  void *arg;
  enum p11s_err result;
  struct p11s_error *error;
};

static void check_ref(struct walk *w, const struct p11s_keyref *ref, struct p11s_check *check,
                      struct p11s_error *e)
{
  struct p11s_key *key = NULL;

  check->alg = p11s_algorithm_find(ref->algorithm);
  check->token = ref->slot;
  check->label = ref->label;
  if (p11s_signer_key(w->signer, ref, &key, e) == P11S_OK)
    (void)p11s_key_check(key, p11s_signer_admin_deadline(w->signer), e);
  p11s_key_release(key);
}

static bool check_row(const struct p11s_row *row, void *arg)
{
  struct walk *w = arg;
  struct p11s_check check = {row->zone, row->id, row->flags, NULL, NULL, "", ""};
  struct p11s_error e = {P11S_OK, ""};
  struct p11s_keyref *ref = NULL;

  if (!p11s_keyref_is_ours(row->content, row->content_len))
    return true;
  if (p11s_keyref_parse(row->content, row->content_len, &ref, &e) == P11S_OK)
    check_ref(w, ref, &check, &e);
  if (e.code != P11S_OK)
    check.error = &e;
  w->fn(&check, w->arg);
  p11s_keyref_free(ref);
  return true;
}

static bool check_zone(const char *zone, void *arg)
{
  struct walk *w = arg;

  w->result = w->host->each_row(w->host->ctx, zone, check_row, w, w->error);
  return w->result == P11S_OK;
}

enum p11s_err p11s_check_rows(struct p11s_signer *signer, const struct p11s_host *host,
                              const char *zone,
                              void (*fn)(const struct p11s_check *check, void *arg), void *arg,
                              struct p11s_error *e)
{
  struct walk w = {signer, host, fn, arg, P11S_OK, e};
  enum p11s_err result;

  if (zone != NULL) {
    result = host->zone_check(host->ctx, zone, e);
    if (result == P11S_OK)
      result = host->each_row(host->ctx, zone, check_row, &w, e);
    return result;
  }
  result = host->each_zone(host->ctx, check_zone, &w, e);
  return result != P11S_OK ? result : w.result;
}

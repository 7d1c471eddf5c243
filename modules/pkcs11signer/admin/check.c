/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Looking at all references of the table (admin/assign.h). */
#include "admin/assign.h"

#include "admin/check_length.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

/* A row that was looked at. */
struct seen {
  STAILQ_ENTRY(seen) next;
  struct p11s_check check; /* its strings are those below */
  char *zone;
  struct p11s_keyref *ref; /* NULL: it cannot be read */
  struct p11s_key *key;    /* NULL: there is none, or it is not well */
  struct p11s_error error;
};

struct walk {
  struct p11s_signer *signer;
  const struct p11s_host *host;
  void (*fn)(const struct p11s_check *check, void *arg);
  void *arg;
  STAILQ_HEAD(, seen) rows; /* of one zone */
  enum p11s_err result;
  struct p11s_error *error;
};

static void check_ref(struct walk *w, struct seen *seen)
{
  struct p11s_check *check = &seen->check;

  check->alg = p11s_algorithm_find(seen->ref->algorithm);
  check->token = seen->ref->slot;
  check->label = seen->ref->label;
  if (p11s_signer_key(w->signer, seen->ref, &seen->key, &seen->error) != P11S_OK ||
      p11s_key_check(seen->key, p11s_signer_admin_deadline(w->signer), &seen->error) == P11S_OK)
    return;
  p11s_key_release(seen->key);
  seen->key = NULL;
}

static bool check_row(const struct p11s_row *row, void *arg)
{
  struct walk *w = arg;
  struct seen *seen;

  if (!p11s_keyref_is_ours(row->content, row->content_len))
    return true;
  seen = calloc(1, sizeof *seen);
  if (seen == NULL || (seen->zone = strdup(row->zone)) == NULL) {
    free(seen);
    w->result = p11s_error_no_memory(w->error);
    return false;
  }
  seen->check = (struct p11s_check){seen->zone, row->id, row->flags, NULL, NULL, "", ""};
  STAILQ_INSERT_TAIL(&w->rows, seen, next);
  if (p11s_keyref_parse(row->content, row->content_len, &seen->ref, &seen->error) == P11S_OK)
    check_ref(w, seen);
  return true;
}

/* What the database is needed for, which check_row() may not ask. */
static void report(struct walk *w, struct seen *seen)
{
  if (seen->key != NULL &&
      p11s_check_lengths(w->signer, w->host, seen->zone, seen->key, &seen->error) == P11S_OK)
    seen->error.code = P11S_OK; /* what was got over on the way is no result */
  p11s_key_release(seen->key);
  if (seen->error.code != P11S_OK)
    seen->check.error = &seen->error;
  w->fn(&seen->check, w->arg);
  p11s_keyref_free(seen->ref);
  free(seen->zone);
  free(seen);
}

static bool check_zone(const char *zone, void *arg)
{
  struct walk *w = arg;
  struct seen *seen;
  enum p11s_err result;

  STAILQ_INIT(&w->rows);
  result = w->host->each_row(w->host->ctx, zone, check_row, w, w->error);
  while ((seen = STAILQ_FIRST(&w->rows)) != NULL) {
    STAILQ_REMOVE_HEAD(&w->rows, next);
    report(w, seen);
  }
  if (result != P11S_OK)
    w->result = result;
  return w->result == P11S_OK;
}

enum p11s_err p11s_check_rows(struct p11s_signer *signer, const struct p11s_host *host,
                              const char *zone,
                              void (*fn)(const struct p11s_check *check, void *arg), void *arg,
                              struct p11s_error *e)
{
  struct walk w = {.signer = signer, .host = host, .fn = fn, .arg = arg, .error = e};
  enum p11s_err result = zone != NULL ? host->zone_check(host->ctx, zone, e)
                                      : host->each_zone(host->ctx, check_zone, &w, e);

  if (zone != NULL && result == P11S_OK)
    (void)check_zone(zone, &w);
  return result != P11S_OK ? result : w.result;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* store stats, store verify, store purge. */
#include "command/internal.h"
#include "store/store.h"
#include "store/record.h"
#include "command/table.h"
#include "format/message.h"

#include <inttypes.h>
#include <string.h>

struct counts {
  uint64_t signatures, expired, bytes, bad, unknown;
};

/* What a walk through the store looks for, and what it has found. */
struct survey {
  struct p11s_store *store;      /* not owned */
  struct p11s_command_zone zone; /* empty: all zones */
  uint32_t now;
  bool has_fleet;
  struct counts here, fleet;
  struct counts *counts;         /* of the walk under way: here or fleet */
  struct p11s_command_keys keys; /* of all zones' references */
};

static bool is_of_zone(const struct p11s_store_record *record, void *arg)
{
  const struct survey *s = arg;
  struct p11s_message m;

  return s->zone.len == 0 ||
         (p11s_message_parse(record->message, record->message_len, &m) &&
          m.signer_len == s->zone.len && memcmp(m.signer, s->zone.name, s->zone.len) == 0);
}

static enum p11s_err open_survey(const struct p11s_command_ctx *ctx, struct survey *s,
                                 struct p11s_error *e)
{
  struct p11s_store_stats stats;
  enum p11s_err err = P11S_OK;

  *s = (struct survey){.now = p11s_record_now(), .counts = &s->here};
  if (ctx->count > 1)
    err = p11s_command_zone(ctx->arg[1], &s->zone, e);
  if (err == P11S_OK)
    err = p11s_command_open_store(ctx, &s->store, e);
  if (err == P11S_OK) {
    p11s_store_get_stats(s->store, &stats);
    s->has_fleet = stats.fleet;
  }
  return err;
}

/* -- stats */

static bool tally(const struct p11s_store_record *record, void *arg)
{
  struct survey *s = arg;

  if (!is_of_zone(record, s))
    return true;
  s->counts->signatures++;
  s->counts->bytes +=
      p11s_record_size(record->message_len, record->signature_len) + P11S_RECORD_KEY_LEN;
  s->counts->expired += p11s_record_is_expired(record, s->now);
  return true;
}

static void add_counts(struct p11s_table *t, size_t column, const struct counts *counts)
{
  p11s_table_number(t, column, counts->signatures);
  p11s_table_number(t, column + 1, counts->expired);
  p11s_table_number(t, column + 2, counts->bytes);
}

/* When the fleet's store cannot be reached, what is here is shown all the same. */
static enum p11s_err stats(const struct p11s_command_ctx *ctx, struct p11s_error *e)
{
  static const char *const columns[] = {
      "signatures",  "expired",          "bytes",         "public_keys", "used_bytes", "file_bytes",
      "limit_bytes", "fleet_signatures", "fleet_expired", "fleet_bytes", NULL};
  enum p11s_err err, fleet_err = P11S_OK;
  struct p11s_store_stats stats;
  struct p11s_table *t;
  struct survey s;

  err = open_survey(ctx, &s, e);
  if (err != P11S_OK)
    return err;
  if (!p11s_store_each(s.store, tally, &s))
    return p11s_error_set(e, P11S_ERR_HOST, "the signature store cannot be read to its end");
  t = p11s_table_new(columns);
  p11s_table_row(t);
  add_counts(t, 0, &s.here);
  if (s.zone.len == 0) {
    p11s_store_get_stats(s.store, &stats);
    p11s_table_number(t, 3, stats.public_keys);
    p11s_table_number(t, 4, stats.used_bytes);
    p11s_table_number(t, 5, stats.file_bytes);
    p11s_table_number(t, 6, stats.limit_bytes);
  }
  s.counts = &s.fleet;
  if (s.has_fleet)
    fleet_err = p11s_store_each_fleet(s.store, tally, &s, e);
  if (s.has_fleet && fleet_err == P11S_OK)
    add_counts(t, 7, &s.fleet);
  err = p11s_command_print(ctx, t, NULL, fleet_err == P11S_OK ? e : NULL);
  return fleet_err != P11S_OK ? fleet_err : err;
}

/* -- verify */

/* true: it goes. */
static bool is_bad(const struct p11s_store_record *record, void *arg)
{
  struct survey *s = arg;
  struct p11s_key *key;
  bool good;

  if (!is_of_zone(record, s))
    return false;
  s->counts->signatures++;
  key = p11s_command_find_key(&s->keys, record->key_id);
  if (key == NULL) {
    s->counts->unknown++;
    return false;
  }
  good = p11s_pubkey_verify(p11s_key_public(key), record->message, record->message_len,
                            record->signature, record->signature_len);
  s->counts->bad += !good;
  return !good;
}

static void add_verified(struct p11s_table *t, size_t column, const struct counts *counts)
{
  p11s_table_number(t, column, counts->signatures);
  p11s_table_number(t, column + 1, counts->signatures - counts->bad - counts->unknown);
  p11s_table_number(t, column + 2, counts->bad);
  p11s_table_number(t, column + 3, counts->unknown);
}

/* fleet: whether that one was verified too. */
static enum p11s_err print_verified(const struct p11s_command_ctx *ctx, const struct survey *s,
                                    bool fleet, struct p11s_error *e)
{
  static const char *const columns[] = {"signatures",
                                        "good",
                                        "bad",
                                        "of_unknown_keys",
                                        "fleet_signatures",
                                        "fleet_good",
                                        "fleet_bad",
                                        "fleet_of_unknown_keys",
                                        NULL};
  struct p11s_table *t = p11s_table_new(columns);
  uint64_t bad = s->here.bad + (fleet ? s->fleet.bad : 0);
  enum p11s_err err;

  p11s_table_row(t);
  add_verified(t, 0, &s->here);
  if (fleet)
    add_verified(t, 4, &s->fleet);
  err = p11s_command_print(ctx, t, NULL, e);
  if (err == P11S_OK && bad > 0)
    err = p11s_error_set(e, P11S_ERR_SIGNATURE,
                         "%" PRIu64
                         " stored signature%s did not verify and had to be deleted; find out "
                         "who writes to the %s, or whether the disk is failing",
                         bad, p11s_plural(bad), s->here.bad > 0 ? "file" : "fleet's table");
  return err;
}

static enum p11s_err verify_all(const struct p11s_command_ctx *ctx, struct survey *s,
                                struct p11s_error *e)
{
  uint64_t deleted = 0;
  enum p11s_err err = p11s_store_purge(s->store, is_bad, s, &deleted, e);

  if (err != P11S_OK || !s->has_fleet)
    return err == P11S_OK ? print_verified(ctx, s, false, e) : err;
  s->counts = &s->fleet;
  err = p11s_store_purge_fleet(s->store, is_bad, s, &deleted, e);
  if (err == P11S_OK)
    return print_verified(ctx, s, true, e);
  (void)print_verified(ctx, s, false, NULL);
  return err;
}

static enum p11s_err verify(const struct p11s_command_ctx *ctx, struct p11s_error *e)
{
  struct survey s;
  enum p11s_err err = open_survey(ctx, &s, e);

  if (err != P11S_OK)
    return err;
  err = p11s_command_collect_keys(ctx, ctx->count > 1 ? ctx->arg[1] : NULL, &s.keys, e);
  if (err == P11S_OK)
    err = verify_all(ctx, &s, e);
  p11s_command_release_keys(&s.keys);
  return err;
}

/* -- purge */

struct purged {
  uint64_t here, fleet;
  bool has_fleet; /* that one was emptied too */
};

static enum p11s_err print_purged(const struct p11s_command_ctx *ctx, const struct purged *purged,
                                  struct p11s_error *e)
{
  static const char *const columns[] = {"deleted", "fleet_deleted", NULL};
  struct p11s_table *t;

  if (ctx->json) {
    t = p11s_table_new(columns);
    p11s_table_row(t);
    p11s_table_number(t, 0, purged->here);
    if (purged->has_fleet)
      p11s_table_number(t, 1, purged->fleet);
    return p11s_command_print(ctx, t, NULL, e);
  }
  p11s_buf_addf(ctx->out, "%" PRIu64 " signature%s deleted\n", purged->here,
                p11s_plural(purged->here));
  if (purged->has_fleet)
    p11s_buf_addf(ctx->out,
                  "%" PRIu64
                  " signature%s deleted in the fleet's store; other servers still have what "
                  "they keep themselves\n",
                  purged->fleet, p11s_plural(purged->fleet));
  return P11S_OK;
}

/* The fleet's first: what is deleted here would come back from there. */
static enum p11s_err purge(const struct p11s_command_ctx *ctx, struct p11s_error *e)
{
  struct purged purged = {0, 0, false};
  enum p11s_err fleet_err = P11S_OK;
  p11s_store_fn which;
  struct survey s;
  enum p11s_err err = open_survey(ctx, &s, e);

  if (err != P11S_OK)
    return err;
  which = s.zone.len > 0 ? is_of_zone : NULL;
  if (s.has_fleet)
    fleet_err = p11s_store_purge_fleet(s.store, which, &s, &purged.fleet, e);
  purged.has_fleet = s.has_fleet && fleet_err == P11S_OK;
  if (fleet_err != P11S_OK)
    e = NULL; /* it has that one */
  err = p11s_store_purge(s.store, which, &s, &purged.here, e);
  if (err == P11S_OK)
    err = print_purged(ctx, &purged, e);
  return fleet_err != P11S_OK ? fleet_err : err;
}

enum p11s_err p11s_command_store(const struct p11s_command_ctx *ctx, struct p11s_error *e)
{
  if (strcmp(ctx->arg[0], "stats") == 0)
    return stats(ctx, e);
  if (strcmp(ctx->arg[0], "verify") == 0)
    return verify(ctx, e);
  if (strcmp(ctx->arg[0], "purge") == 0)
    return purge(ctx, e);
  return p11s_error_set(e, P11S_ERR_SYNTAX, "store does one of: stats, verify, purge");
}

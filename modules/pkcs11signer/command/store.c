/* SPDX-License-Identifier: GPL-2.0-or-later */
/* store stats, store verify, store purge. */
#include "command/internal.h"
#include "format/dnsname.h"
#include "format/keyref.h"
#include "base/lock.h"
#include "store/store.h"
#include "store/record.h"
#include "command/table.h"
#include "format/message.h"

#include <stdlib.h>
#include <string.h>

/* What a walk through the store looks for, and what it has found. */
struct survey {
  struct p11s_store *store;             /* not owned */
  unsigned char zone[P11S_DNSNAME_MAX]; /* in wire format */
  size_t zone_len;                      /* 0: of all zones */
  uint32_t now;
  uint64_t signatures, expired, bytes, bad, unknown;
  struct p11s_command_keys keys; /* of all zones' references */
};

/* -- zones */

static bool is_of_zone(const struct survey *s, const struct p11s_store_record *record)
{
  struct p11s_message m;

  return s->zone_len == 0 ||
         (p11s_message_parse(record->message, record->message_len, &m) &&
          m.signer_len == s->zone_len && memcmp(m.signer, s->zone, s->zone_len) == 0);
}

static enum p11s_err open_survey(const struct p11s_command_ctx *ctx, struct survey *s,
                                 struct p11s_error *e)
{
  memset(s, 0, sizeof *s);
  s->now = p11s_record_now();
  if (ctx->count > 1 && !p11s_dnsname_parse(ctx->arg[1], s->zone, &s->zone_len))
    return p11s_error_set(e, P11S_ERR_SYNTAX, "ZONE is not a domain name");
  s->store = p11s_signer_store(ctx->signer);
  if (s->store == NULL)
    return p11s_error_set(
        e, P11S_ERR_HOST,
        "there is no signature store: pkcs11signer-store=none, or no "
        "pkcs11signer-state-dir, or it cannot be opened (then a line above says why)");
  return P11S_OK;
}

static bool has_fleet(const struct survey *s)
{
  struct p11s_store_stats stats;

  p11s_store_get_stats(s->store, &stats);
  return stats.fleet;
}

/* For the same in another place; the keys are the other's. */
static struct survey empty_survey(const struct survey *s)
{
  struct survey other = *s;

  other.signatures = other.expired = other.bytes = other.bad = other.unknown = 0;
  return other;
}

/* -- stats */

static bool tally(const struct p11s_store_record *record, void *arg)
{
  struct survey *s = arg;

  if (!is_of_zone(s, record))
    return true;
  s->signatures++;
  s->bytes += p11s_record_size(record->message_len, record->signature_len) + P11S_RECORD_KEY_LEN;
  s->expired += p11s_record_is_expired(record, s->now);
  return true;
}

static enum p11s_err unreadable(struct p11s_error *e)
{
  return p11s_error_set(e, P11S_ERR_HOST, "the signature store cannot be read to its end");
}

/* Nothing when there is no fleet store. When it cannot be reached, what is here is shown all the
   same. */
static enum p11s_err add_fleet_stats(const struct survey *s, struct p11s_table *t,
                                     struct p11s_error *e)
{
  struct survey fleet = empty_survey(s);
  enum p11s_err err;

  if (!has_fleet(s))
    return P11S_OK;
  err = p11s_store_each_fleet(s->store, tally, &fleet, e);
  if (err != P11S_OK)
    return err;
  p11s_table_number(t, 7, fleet.signatures);
  p11s_table_number(t, 8, fleet.expired);
  p11s_table_number(t, 9, fleet.bytes);
  return P11S_OK;
}

static enum p11s_err stats(const struct p11s_command_ctx *ctx, struct p11s_error *e)
{
  static const char *const columns[] = {
      "signatures",  "expired",          "bytes",         "public_keys", "used_bytes", "file_bytes",
      "limit_bytes", "fleet_signatures", "fleet_expired", "fleet_bytes", NULL};
  enum p11s_err err, fleet_err;
  struct p11s_store_stats stats;
  struct p11s_table *t;
  struct survey s;

  err = open_survey(ctx, &s, e);
  if (err != P11S_OK)
    return err;
  if (!p11s_store_each(s.store, tally, &s))
    return unreadable(e);
  t = p11s_table_new(columns);
  p11s_table_row(t);
  p11s_table_number(t, 0, s.signatures);
  p11s_table_number(t, 1, s.expired);
  p11s_table_number(t, 2, s.bytes);
  if (s.zone_len == 0) {
    p11s_store_get_stats(s.store, &stats);
    p11s_table_number(t, 3, stats.public_keys);
    p11s_table_number(t, 4, stats.used_bytes);
    p11s_table_number(t, 5, stats.file_bytes);
    p11s_table_number(t, 6, stats.limit_bytes);
  }
  fleet_err = add_fleet_stats(&s, t, e);
  err = p11s_table_print(t, ctx->json, ctx->out, fleet_err == P11S_OK ? e : NULL);
  p11s_table_free(t);
  return fleet_err != P11S_OK ? fleet_err : err;
}

/* -- verify */

/* true: it goes. */
static bool is_bad(const struct p11s_store_record *record, void *arg)
{
  struct survey *s = arg;
  struct p11s_key *key;

  if (!is_of_zone(s, record))
    return false;
  s->signatures++;
  key = p11s_command_find_key(&s->keys, record->key_id);
  if (key == NULL) {
    s->unknown++;
    return false;
  }
  if (p11s_pubkey_verify(p11s_key_public(key), record->message, record->message_len,
                         record->signature, record->signature_len))
    return false;
  s->bad++;
  return true;
}

static void add_verified(struct p11s_table *t, size_t column, const struct survey *s)
{
  p11s_table_number(t, column, s->signatures);
  p11s_table_number(t, column + 1, s->signatures - s->bad - s->unknown);
  p11s_table_number(t, column + 2, s->bad);
  p11s_table_number(t, column + 3, s->unknown);
}

/* fleet: NULL: it was not looked at. */
static enum p11s_err print_verified(const struct p11s_command_ctx *ctx, const struct survey *s,
                                    const struct survey *fleet, struct p11s_error *e)
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
  uint64_t bad = s->bad + (fleet != NULL ? fleet->bad : 0);
  enum p11s_err err;

  p11s_table_row(t);
  add_verified(t, 0, s);
  if (fleet != NULL)
    add_verified(t, 4, fleet);
  err = p11s_table_print(t, ctx->json, ctx->out, e);
  p11s_table_free(t);
  if (err == P11S_OK && bad > 0)
    err = p11s_error_set(e, P11S_ERR_SIGNATURE,
                         "%llu stored signature%s did not verify and had to be deleted; find out "
                         "who writes to the %s, or whether the disk is failing",
                         (unsigned long long)bad, p11s_plural(bad),
                         s->bad > 0 ? "file" : "fleet's table");
  return err;
}

static enum p11s_err verify_all(const struct p11s_command_ctx *ctx, struct survey *s,
                                struct p11s_error *e)
{
  struct survey fleet = empty_survey(s);
  uint64_t deleted = 0;
  enum p11s_err fleet_err, err = p11s_store_purge(s->store, is_bad, s, &deleted, e);

  if (err != P11S_OK || !has_fleet(s))
    return err == P11S_OK ? print_verified(ctx, s, NULL, e) : err;
  fleet_err = p11s_store_purge_fleet(s->store, is_bad, &fleet, &deleted, e);
  if (fleet_err == P11S_OK)
    return print_verified(ctx, s, &fleet, e);
  (void)print_verified(ctx, s, NULL, NULL);
  return fleet_err;
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

static bool is_in_survey(const struct p11s_store_record *record, void *arg)
{
  return is_of_zone(arg, record);
}

/* fleet: whether that one was emptied too. */
static enum p11s_err print_purged(const struct p11s_command_ctx *ctx, uint64_t deleted, bool fleet,
                                  uint64_t fleet_deleted, struct p11s_error *e)
{
  static const char *const columns[] = {"deleted", "fleet_deleted", NULL};
  struct p11s_table *t;
  enum p11s_err err;

  if (!ctx->json) {
    p11s_buf_addf(ctx->out, "%llu signature%s deleted\n", (unsigned long long)deleted,
                  p11s_plural(deleted));
    if (fleet)
      p11s_buf_addf(ctx->out,
                    "%llu signature%s deleted in the fleet's store; other servers still have what "
                    "they keep themselves\n",
                    (unsigned long long)fleet_deleted, p11s_plural(fleet_deleted));
    return P11S_OK;
  }
  t = p11s_table_new(columns);
  p11s_table_row(t);
  p11s_table_number(t, 0, deleted);
  if (fleet)
    p11s_table_number(t, 1, fleet_deleted);
  err = p11s_table_print(t, true, ctx->out, e);
  p11s_table_free(t);
  return err;
}

static enum p11s_err purge(const struct p11s_command_ctx *ctx, struct p11s_error *e)
{
  uint64_t deleted = 0, fleet_deleted = 0;
  enum p11s_err err, fleet_err = P11S_OK;
  p11s_store_fn which;
  struct survey s;
  bool fleet;

  err = open_survey(ctx, &s, e);
  if (err != P11S_OK)
    return err;
  which = s.zone_len > 0 ? is_in_survey : NULL;
  fleet = has_fleet(&s);
  /* The fleet's first: what is deleted here would come back from there. */
  if (fleet)
    fleet_err = p11s_store_purge_fleet(s.store, which, &s, &fleet_deleted, e);
  err = p11s_store_purge(s.store, which, &s, &deleted, fleet_err == P11S_OK ? e : NULL);
  if (err == P11S_OK)
    err = print_purged(ctx, deleted, fleet && fleet_err == P11S_OK, fleet_deleted,
                       fleet_err == P11S_OK ? e : NULL);
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

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* budget [ZONE]; and what `status` says of it. */
#include "base/array.h"
#include "base/paste.h"
#include "command/internal.h"
#include "command/loss.h"
#include "format/dnsname.h"
#include "ahead/plan.h"
#include "store/lazy.h"
#include "store/record.h"
#include "command/table.h"
#include "base/text.h"
#include "ahead/zones.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Computed from the store, in pdnsutil, which reads all of it: right also when no server runs,
   which is when somebody may want to know. */

#define FOREVER_US (1000000 * (uint64_t)86400)

enum { ZONE, AWAY_UNTIL, SECONDS_LEFT, SERVED, LOST, WHY };

static void format_until(const struct p11s_budget *budget, char *text, size_t size)
{
  if (budget->why == P11S_BUDGET_UNCLEAR)
    (void)snprintf(text, size, "not known");
  else if (p11s_time_diff(budget->until, p11s_record_now()) <= 0)
    (void)snprintf(text, size, "now");
  else
    p11s_utc(text, size, P11S_UTC_MINUTE, budget->until);
}

/* What the database says of the plan's zones (ahead/zones.h). false: no memory. */
static bool tell_zones(const struct p11s_command_ctx *ctx, struct p11s_plan *plan)
{
  struct p11s_zones *zones = p11s_zones_new(p11s_signer_keys(ctx->signer), ctx->host, NULL);

  if (zones != NULL)
    p11s_zones_tell(zones, plan, p11s_signer_store(ctx->signer), 0, FOREVER_US);
  p11s_zones_free(zones);
  return zones != NULL;
}

struct p11s_plan *p11s_command_plan(const struct p11s_command_ctx *ctx, unsigned weeks,
                                    const struct p11s_command_zone *zone)
{
  struct p11s_store *store = p11s_signer_store(ctx->signer);
  struct p11s_plan *plan = NULL;

  if (store != NULL)
    plan = p11s_plan_new(p11s_record_now(), weeks, zone->len > 0 ? zone->name : NULL, zone->len);
  if (plan == NULL)
    return NULL;
  p11s_plan_set_extension(plan, p11s_signer_config(ctx->signer)->expiry_extension);
  if (p11s_store_each(store, p11s_plan_add, plan) && !p11s_plan_has_failed(plan) &&
      tell_zones(ctx, plan) && p11s_plan_finish(plan))
    return plan;
  p11s_plan_free(plan);
  return NULL;
}

bool p11s_command_away_until(const struct p11s_command_ctx *ctx, char *text, size_t size,
                             struct p11s_buf *why)
{
  struct p11s_plan *plan = p11s_command_plan(ctx, 0, &(struct p11s_command_zone){.len = 0});
  struct p11s_budget budget = {0, 0, P11S_BUDGET_GOOD};
  bool known;

  if (plan != NULL)
    p11s_plan_budget(plan, &budget);
  known = budget.recurring > 0 || budget.why != P11S_BUDGET_GOOD;
  if (known && p11s_command_servers_differ(ctx, why))
    budget.why = P11S_BUDGET_UNCLEAR;
  else if (plan != NULL)
    (void)p11s_plan_why(plan, budget.why, why);
  p11s_plan_free(plan);
  format_until(&budget, text, size);
  return known;
}

struct listing {
  struct p11s_table *table;
  struct p11s_losses *losses;
  struct p11s_buf difference; /* why nothing is stated of any zone; empty: something is */
};

static void name_row(struct p11s_table *t, const unsigned char *name, uint64_t lost)
{
  struct p11s_buf zone = P11S_BUF_INIT;

  p11s_dnsname_format(name, &zone);
  p11s_table_row(t);
  p11s_table_string(t, ZONE, p11s_buf_text(&zone));
  if (lost > 0)
    p11s_table_number(t, LOST, lost);
  p11s_buf_clear(&zone);
}

static void zone_row(const unsigned char *name, const struct p11s_budget *of_zone, void *arg)
{
  struct listing *listing = arg;
  struct p11s_table *t = listing->table;
  struct p11s_budget budget = *of_zone;
  int32_t left = p11s_time_diff(budget.until, p11s_record_now());
  bool differs = listing->difference.len > 0;
  char text[32];

  if (differs)
    budget.why = P11S_BUDGET_UNCLEAR;
  format_until(&budget, text, sizeof text);
  name_row(t, name, p11s_losses_take(listing->losses, name));
  p11s_table_string(t, AWAY_UNTIL, text);
  if (budget.why != P11S_BUDGET_UNCLEAR)
    p11s_table_number(t, SECONDS_LEFT, left > 0 ? (uint64_t)left : 0);
  p11s_table_number(t, SERVED, budget.recurring);
  if (budget.why != P11S_BUDGET_GOOD)
    p11s_table_string(
        t, WHY, differs ? p11s_buf_text(&listing->difference) : p11s_budget_why_text(budget.why));
}

/* -- zones of which nothing is stored */

struct signed_zone {
  char *name;
  bool listed; /* something of it is stored */
};

struct signed_zones {
  struct signed_zone *zone; /* in the order of their names, once all are there */
  size_t count;
  bool failed;
};

/* All rows of a zone come one after the other. */
static bool note_signed(const struct p11s_row *row, const struct p11s_keyref *ref, void *arg)
{
  struct signed_zones *all = arg;
  struct signed_zone *zone;

  (void)ref;
  if (!row->active || (all->count > 0 && strcmp(all->zone[all->count - 1].name, row->zone) == 0))
    return true;
  zone = P11S_ARRAY_ADD(all->zone, all->count);
  if (zone == NULL) {
    all->failed = true;
    return false;
  }
  *zone = (struct signed_zone){strdup(row->zone), false};
  if (zone->name == NULL) {
    all->count--;
    all->failed = true;
  }
  return !all->failed;
}

static int by_name(const void *a, const void *b)
{
  const struct signed_zone *x = a, *y = b;

  return strcmp(x->name, y->name);
}

static void mark_listed(const unsigned char *name, const struct p11s_budget *budget, void *arg)
{
  struct signed_zones *all = arg;
  struct p11s_buf text = P11S_BUF_INIT;
  struct signed_zone wanted, *found = NULL;

  (void)budget;
  p11s_dnsname_format(name, &text);
  wanted.name = text.data;
  if (!text.failed && all->count > 0)
    found = bsearch(&wanted, all->zone, all->count, sizeof wanted, by_name);
  if (found != NULL)
    found->listed = true;
  p11s_buf_clear(&text);
}

static void unstored_row(const struct p11s_command_ctx *ctx, const char *zone,
                         struct listing *listing)
{
  struct p11s_zone_state state = {.presigned = false};
  struct p11s_buf why = P11S_BUF_INIT;
  unsigned char name[P11S_DNSNAME_MAX];
  size_t len;

  if (ctx->host->zone_state(ctx->host->ctx, zone, &state, NULL) != P11S_OK || state.presigned ||
      !p11s_dnsname_parse(zone, name, &len))
    return;
  p11s_buf_addstr(&why, "nothing of it is stored: ");
  p11s_paste(&why, "pkcs11signer", "warm", zone, NULL);
  name_row(listing->table, name, p11s_losses_take(listing->losses, name));
  p11s_table_string(listing->table, AWAY_UNTIL, "now");
  p11s_table_number(listing->table, SECONDS_LEFT, 0);
  p11s_table_number(listing->table, SERVED, 0);
  p11s_table_string(listing->table, WHY, p11s_buf_text(&why));
  p11s_buf_clear(&why);
}

/* Zones that a key on a token signs: without the token there is no answer of theirs. */
static enum p11s_err unstored_rows(const struct p11s_command_ctx *ctx, struct p11s_plan *plan,
                                   struct listing *listing, struct p11s_error *e)
{
  struct signed_zones all = {NULL, 0, false};
  enum p11s_err err = p11s_host_each_ref(ctx->host, ctx->arg[0], note_signed, &all, e);

  if (err == P11S_OK && all.failed)
    err = p11s_error_no_memory(e);
  if (all.count > 0)
    qsort(all.zone, all.count, sizeof *all.zone, by_name);
  p11s_plan_each_zone(plan, mark_listed, &all);
  for (size_t i = 0; i < all.count; i++) {
    if (err == P11S_OK && !all.zone[i].listed)
      unstored_row(ctx, all.zone[i].name, listing);
    free(all.zone[i].name);
  }
  free(all.zone);
  return err;
}

/* Of zones of which nothing else is known any more. */
static void other_rows(struct listing *listing)
{
  const unsigned char *name;
  uint64_t lost;

  while ((name = p11s_losses_next(listing->losses, &lost)) != NULL)
    name_row(listing->table, name, lost);
}

static void say_losses(const struct p11s_losses *losses, struct p11s_buf *out)
{
  size_t zones = p11s_losses_count(losses);

  if (zones > 0)
    p11s_buf_addf(out,
                  "%zu zone%s lost signatures for want of room in the store (LOST): without the "
                  "token not all that was served can be. Raise pkcs11signer-store-size\n",
                  zones, zones == 1 ? " has" : "s have");
}

enum p11s_err p11s_command_budget(const struct p11s_command_ctx *ctx, struct p11s_error *e)
{
  static const char *const columns[] = {"zone", "away_until", "seconds_left", "served", "lost",
                                        "why",  NULL};
  struct listing listing = {.difference = P11S_BUF_INIT};
  struct p11s_command_zone zone = {.len = 0};
  struct p11s_budget budget;
  struct p11s_plan *plan;
  enum p11s_err err;

  err = ctx->count > 0 ? p11s_command_zone(ctx->arg[0], &zone, e) : P11S_OK;
  if (err != P11S_OK)
    return err;
  plan = p11s_command_plan(ctx, 0, &zone);
  if (plan == NULL)
    return p11s_lazy_store_missing(", or it cannot be read", e);
  p11s_plan_budget(plan, &budget);
  listing.table = p11s_table_new(columns);
  listing.losses =
      p11s_losses_new(p11s_signer_store(ctx->signer), zone.len > 0 ? zone.name : NULL, zone.len);
  (void)p11s_command_servers_differ(ctx, &listing.difference);
  err = unstored_rows(ctx, plan, &listing, e);
  p11s_plan_each_zone(plan, zone_row, &listing);
  other_rows(&listing);
  if (err != P11S_OK)
    p11s_table_free(listing.table);
  else
    err = p11s_command_print(ctx, listing.table, "nothing was served in the last week", e);
  if (err == P11S_OK && !ctx->json)
    say_losses(listing.losses, ctx->out);
  p11s_buf_clear(&listing.difference);
  p11s_losses_free(listing.losses);
  p11s_plan_free(plan);
  return err;
}

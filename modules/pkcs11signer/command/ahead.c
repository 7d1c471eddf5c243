/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sign-ahead ZONE|all [WEEKS]. */
#include "ahead/work.h"
#include "command/internal.h"
#include "format/dnsname.h"
#include "token/job.h"
#include "sign/key.h"
#include "base/lock.h"
#include "command/progress.h"
#include "store/record.h"
#include "command/table.h"
#include "token/token.h"

#include <inttypes.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define LANES_MOST 64
#define LOOK_EVERY_NS 1000000L
#define FLUSH_MS 10000
#define LAST_MS 10000 /* for what is under way at the end */

struct run {
  const struct p11s_command_ctx *ctx;
  unsigned char zone[P11S_DNSNAME_MAX]; /* in wire format */
  size_t zone_len;                      /* 0: all */
  unsigned weeks;
  struct p11s_command_keys keys;

  struct p11s_ahead_work work;
  struct p11s_ahead_token lane[LANES_MOST]; /* each has one signature under way */
  uint64_t total, made;
};

static void nobody_waits(void *arg)
{
  (void)arg;
}

/* Held meanwhile, so that the plan finds them in the signer's table. */
static enum p11s_err find_keys(struct run *r, struct p11s_error *e)
{
  const struct p11s_host *host = r->ctx->host;
  enum p11s_err err = P11S_OK;

  if (r->zone_len > 0)
    err = host->zone_check(host->ctx, r->ctx->arg[0], e);
  if (err != P11S_OK)
    p11s_error_prefix(e, "zone %s", r->ctx->arg[0]);
  if (err == P11S_OK)
    err = p11s_command_collect_keys(r->ctx, r->zone_len > 0 ? r->ctx->arg[0] : NULL, &r->keys, e);
  return err;
}

/* -- the plan */

static enum p11s_err make_plan(struct run *r, struct p11s_error *e)
{
  struct p11s_signer *signer = r->ctx->signer;
  struct p11s_plan *plan;

  r->work = (struct p11s_ahead_work){.flights = p11s_signer_flights(signer),
                                     .store = p11s_signer_store(signer),
                                     .ended = nobody_waits};
  if (r->work.store == NULL)
    return p11s_error_set(
        e, P11S_ERR_HOST,
        "there is no signature store: pkcs11signer-store=none, or no "
        "pkcs11signer-state-dir, or it cannot be opened (then a line above says why)");
  plan = p11s_plan_new(p11s_record_now(), r->weeks, r->zone_len > 0 ? r->zone : NULL, r->zone_len);
  r->work.plan = plan;
  if (plan != NULL)
    p11s_plan_set_extension(plan, p11s_signer_config(signer)->expiry_extension);
  if (plan == NULL || !p11s_store_each(r->work.store, p11s_plan_add, plan) ||
      !p11s_command_tell_zones(r->ctx, plan) || !p11s_plan_finish(plan) ||
      !p11s_ahead_keys_find(&r->work.keys, plan, p11s_signer_keys(signer)))
    return p11s_error_set(e, P11S_ERR_HOST,
                          "the signature store cannot be read, or there is not enough memory");
  for (size_t i = 0; i < r->work.keys.count; i++)
    if (r->work.keys.key[i] != NULL)
      p11s_plan_set_token(plan, i, 0);
  return P11S_OK;
}

/* -- signing: all tokens as one, as many signatures under way as a token has sessions */

static void pause_briefly(void)
{
  const struct timespec pause = {0, LOOK_EVERY_NS};

  (void)nanosleep(&pause, NULL);
}

static unsigned count_lanes(const struct run *r)
{
  unsigned sessions = p11s_signer_config(r->ctx->signer)->sessions;

  return sessions < LANES_MOST ? sessions : LANES_MOST;
}

/* Takes the results there are. */
static enum p11s_err take_results(struct run *r, struct p11s_error *e)
{
  struct p11s_error result;
  enum p11s_err err = P11S_OK;

  for (unsigned i = 0; i < count_lanes(r); i++) {
    if (p11s_ahead_end(&r->work, &r->lane[i], &result)) {
      if (result.code == P11S_OK)
        r->made++;
      else
        err = p11s_error_set(e, result.code, "%s", result.text);
    }
  }
  return err;
}

static bool is_busy(const struct run *r)
{
  for (unsigned i = 0; i < count_lanes(r); i++)
    if (r->lane[i].job != NULL)
      return true;
  return false;
}

/* Begins what there is a lane for. false: there is nothing left, or it failed. */
static bool begin_more(struct run *r, struct p11s_plan_cursor *cursor, struct p11s_error *e)
{
  for (unsigned i = 0; i < count_lanes(r); i++) {
    struct p11s_ahead_token *lane = &r->lane[i];

    if (lane->job != NULL)
      continue;
    lane->cursor = *cursor;
    (void)p11s_ahead_begin(&r->work, lane, e);
    *cursor = lane->cursor;
    if (lane->exhausted || (e->code != P11S_OK && e->code != P11S_ERR_BUSY))
      return false;
  }
  return true;
}

static enum p11s_err sign_all(struct run *r, struct p11s_error *e)
{
  struct p11s_plan_cursor cursor = {0};
  struct p11s_progress progress;
  struct p11s_error error = {0};
  enum p11s_err err = P11S_OK;
  uint64_t until = 0;
  bool more = true;

  r->total = p11s_plan_count(r->work.plan, 0, cursor);
  p11s_progress_begin(&progress, "signed ahead", r->total);
  while (more || is_busy(r)) {
    if (err == P11S_OK)
      err = take_results(r, e);
    else
      (void)take_results(r, &error);
    if (more && err == P11S_OK && !p11s_progress_interrupted())
      more = begin_more(r, &cursor, &error);
    else if (until == 0)
      until = p11s_now_ms() + LAST_MS;
    if (err != P11S_OK || p11s_progress_interrupted())
      more = false;
    if (until != 0 && p11s_now_ms() >= until)
      break;
    p11s_progress_show(&progress, r->made);
    pause_briefly();
  }
  p11s_progress_end(&progress);
  if (err == P11S_OK && error.code != P11S_OK && error.code != P11S_ERR_BUSY)
    err = p11s_error_set(e, error.code, "%s", error.text);
  if (err == P11S_OK && p11s_progress_interrupted())
    err = p11s_error_set(e, P11S_ERR_STOPPED, "interrupted");
  (void)p11s_store_flush(r->work.store, p11s_now_ms() + FLUSH_MS);
  return err;
}

/* -- what is said */

static enum p11s_err print(struct run *r, struct p11s_error *e)
{
  static const char *const columns[] = {"signed", "missing", "away_until", "why", NULL};
  const struct p11s_plan_cursor beginning = {0};
  uint64_t missing = p11s_plan_count(r->work.plan, 0, beginning) +
                     p11s_plan_count(r->work.plan, P11S_PLAN_NO_TOKEN, beginning);
  struct p11s_table *t = p11s_table_new(columns);
  struct p11s_buf why = P11S_BUF_INIT;
  char until[32] = "";
  enum p11s_err err;

  p11s_table_row(t);
  p11s_table_number(t, 0, r->made);
  p11s_table_number(t, 1, missing);
  if (p11s_command_away_until(r->ctx, until, sizeof until, &why))
    p11s_table_string(t, 2, until);
  if (why.len > 0)
    p11s_table_string(t, 3, p11s_buf_text(&why));
  err = p11s_table_print(t, r->ctx->json, r->ctx->out, e);
  p11s_table_free(t);
  p11s_buf_clear(&why);
  return err;
}

static enum p11s_err parse(const struct p11s_command_ctx *ctx, struct run *r, struct p11s_error *e)
{
  const char *weeks = ctx->count > 1 ? ctx->arg[1] : NULL;

  r->ctx = ctx;
  r->weeks = p11s_signer_config(ctx->signer)->ahead_weeks;
  if (r->weeks == 0)
    r->weeks = 1;
  if (weeks != NULL) {
    if (weeks[0] < '1' || weeks[0] > '0' + P11S_PLAN_WEEKS_MOST || weeks[1] != '\0')
      return p11s_error_set(e, P11S_ERR_SYNTAX, "WEEKS is a number from 1 to %d",
                            P11S_PLAN_WEEKS_MOST);
    r->weeks = (unsigned)(weeks[0] - '0');
  }
  if (strcasecmp(ctx->arg[0], "all") != 0 &&
      !p11s_dnsname_parse(ctx->arg[0], r->zone, &r->zone_len))
    return p11s_error_set(e, P11S_ERR_SYNTAX, "ZONE is not a domain name");
  return P11S_OK;
}

static void clear(struct run *r)
{
  for (unsigned i = 0; i < LANES_MOST; i++)
    p11s_job_release(r->lane[i].job);
  p11s_ahead_keys_release(&r->work.keys);
  p11s_plan_free(r->work.plan);
  p11s_command_release_keys(&r->keys);
}

enum p11s_err p11s_command_sign_ahead(const struct p11s_command_ctx *ctx, struct p11s_error *e)
{
  struct run r = {.zone_len = 0};
  enum p11s_err err = parse(ctx, &r, e);

  if (err == P11S_OK)
    err = p11s_command_check_servers(ctx, e);
  if (err == P11S_OK)
    err = find_keys(&r, e);
  if (err == P11S_OK)
    err = make_plan(&r, e);
  if (err == P11S_OK) {
    struct p11s_error ignored;

    err = sign_all(&r, e);
    if (err == P11S_OK)
      err = print(&r, e);
    else if (print(&r, &ignored) == P11S_OK)
      p11s_error_prefix(e,
                        "%" PRIu64 " of %" PRIu64 " are signed and stored; the same command goes "
                        "on from there",
                        r.made, r.total);
  }
  clear(&r);
  return err;
}

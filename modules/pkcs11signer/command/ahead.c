/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sign-ahead ZONE|all [WEEKS]. */
#include "ahead/work.h"
#include "command/internal.h"
#include "token/job.h"
#include "base/lock.h"
#include "command/progress.h"
#include "command/table.h"

#include <inttypes.h>
#include <strings.h>

#define LANES_MOST 64
#define LOOK_EVERY_MS 1
#define FLUSH_MS 10000
#define LAST_MS 10000 /* for what is under way at the end */

struct run {
  const struct p11s_command_ctx *ctx;
  struct p11s_command_zone zone; /* empty: all */
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
  const char *zone = r->zone.len > 0 ? r->ctx->arg[0] : NULL;
  enum p11s_err err = zone != NULL ? p11s_command_check_zone(r->ctx, zone, e) : P11S_OK;

  if (err == P11S_OK)
    err = p11s_command_collect_keys(r->ctx, zone, &r->keys, e);
  return err;
}

/* -- the plan */

static enum p11s_err make_plan(struct run *r, struct p11s_error *e)
{
  struct p11s_signer *signer = r->ctx->signer;
  struct p11s_store *store;
  enum p11s_err err = p11s_command_open_store(r->ctx, &store, e);

  if (err != P11S_OK)
    return err;
  r->work = (struct p11s_ahead_work){
      .flights = p11s_signer_flights(signer), .store = store, .ended = nobody_waits};
  r->work.plan = p11s_command_plan(r->ctx, r->weeks, &r->zone);
  if (r->work.plan == NULL ||
      !p11s_ahead_keys_find(&r->work.keys, r->work.plan, p11s_signer_keys(signer)))
    return p11s_error_set(e, P11S_ERR_HOST,
                          "the signature store cannot be read, or there is not enough memory");
  for (size_t i = 0; i < r->work.keys.count; i++)
    if (r->work.keys.key[i] != NULL)
      p11s_plan_set_token(r->work.plan, i, 0);
  return P11S_OK;
}

/* -- signing: all tokens as one, as many signatures under way as a token has sessions */

static unsigned count_lanes(const struct run *r)
{
  unsigned sessions = p11s_signer_config(r->ctx->signer)->sessions;

  return sessions < LANES_MOST ? sessions : LANES_MOST;
}

/* Takes the results there are; *e has the first that is none. false: none is under way. */
static bool take_results(struct run *r, struct p11s_error *e)
{
  struct p11s_error result;
  bool busy = false;

  for (unsigned i = 0; i < count_lanes(r); i++) {
    if (p11s_ahead_end(&r->work, &r->lane[i], &result)) {
      if (result.code == P11S_OK)
        r->made++;
      else if (e->code == P11S_OK)
        *e = result;
    }
    busy = busy || r->lane[i].job != NULL;
  }
  return busy;
}

/* Begins what there is a lane for. false: there is nothing left, or it failed. */
static bool begin_more(struct run *r, struct p11s_plan_cursor *cursor, struct p11s_error *e)
{
  for (unsigned i = 0; i < count_lanes(r); i++) {
    struct p11s_ahead_token *lane = &r->lane[i];
    struct p11s_error error = {0};

    if (lane->job != NULL)
      continue;
    lane->cursor = *cursor;
    (void)p11s_ahead_begin(&r->work, lane, &error);
    *cursor = lane->cursor;
    if (error.code != P11S_OK && error.code != P11S_ERR_BUSY)
      *e = error;
    if (lane->exhausted || e->code != P11S_OK)
      return false;
  }
  return true;
}
static void sign_while_there_is(struct run *r, struct p11s_progress *progress, struct p11s_error *e)
{
  struct p11s_plan_cursor cursor = {0};
  uint64_t until = UINT64_MAX;
  bool more = true;

  while ((take_results(r, e) || more) && p11s_now_ms() < until) {
    if (more && (e->code != P11S_OK || p11s_progress_interrupted() || !begin_more(r, &cursor, e))) {
      more = false;
      until = p11s_now_ms() + LAST_MS;
    }
    p11s_progress_show(progress, r->made);
    p11s_pause(LOOK_EVERY_MS);
  }
}

static enum p11s_err sign_all(struct run *r, struct p11s_error *e)
{
  const struct p11s_plan_cursor beginning = {0};
  struct p11s_error error = {0};
  struct p11s_progress progress;

  r->total = p11s_plan_count(r->work.plan, 0, beginning);
  p11s_progress_begin(&progress, "signed ahead", r->total);
  sign_while_there_is(r, &progress, &error);
  p11s_progress_end(&progress);
  (void)p11s_store_flush(r->work.store, p11s_now_ms() + FLUSH_MS);
  if (error.code != P11S_OK)
    return p11s_error_set(e, error.code, "%s", error.text);
  if (p11s_progress_interrupted())
    return p11s_error_set(e, P11S_ERR_STOPPED, "interrupted");
  return P11S_OK;
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
  err = p11s_command_print(r->ctx, t, NULL, e);
  p11s_buf_clear(&why);
  return err;
}

static enum p11s_err parse(struct run *r, struct p11s_error *e)
{
  unsigned weeks = p11s_signer_config(r->ctx->signer)->ahead_weeks;
  enum p11s_err err;

  r->weeks = weeks > 0 ? weeks : 1;
  err = p11s_command_weeks(r->ctx, 1, P11S_PLAN_WEEKS_MOST, &r->weeks, e);
  if (err == P11S_OK && strcasecmp(r->ctx->arg[0], "all") != 0)
    err = p11s_command_zone(r->ctx->arg[0], &r->zone, e);
  return err;
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
  struct run r = {.ctx = ctx};
  enum p11s_err err = parse(&r, e);

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

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* warm ZONE [WEEKS]. */
#include "command/internal.h"
#include "command/progress.h"
#include "store/store.h"
#include "store/record.h"
#include "store/evict.h"
#include "command/table.h"
#include "base/text.h"
#include "admin/warm.h"
#include "format/message.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Pages of the file are not full: 1.62 was measured. */
#define ROOM_FACTOR(bytes) ((bytes) / 4 * 7)
#define MIB ((uint64_t)1 << 20)

enum { ZONE, WEEK, MADE, THERE, LEFT_OUT };

/* Signatures that only push out each other are not worth a token's while. */
static enum p11s_err check_room(const struct p11s_command_ctx *ctx,
                                const struct p11s_warm_plan *plan, struct p11s_error *e)
{
  uint64_t needed = ROOM_FACTOR(plan->bytes + plan->kept), most;
  struct p11s_store_stats stats;

  p11s_store_get_stats(p11s_signer_store(ctx->signer), &stats);
  most = p11s_evict_most(stats.limit_bytes);
  if (needed <= most)
    return P11S_OK;
  return p11s_error_set(e, P11S_ERR_HOST,
                        "the signature store is too small: %" PRIu64
                        " signature%s would take about %" PRIu64 " MiB, and it may hold %" PRIu64
                        " MiB. Set pkcs11signer-store-size to %" PRIu64
                        " or more, here and for the servers, or ask for fewer weeks",
                        plan->messages, p11s_plural(plan->messages), needed / MIB + 1, most / MIB,
                        p11s_evict_limit_for(needed) / MIB + 1);
}

static void note_crowding(const struct p11s_command_ctx *ctx, const struct p11s_warm_plan *plan)
{
  struct p11s_store_stats stats;

  p11s_store_get_stats(p11s_signer_store(ctx->signer), &stats);
  if (!ctx->json &&
      stats.used_bytes + ROOM_FACTOR(plan->bytes) > p11s_evict_most(stats.limit_bytes))
    p11s_buf_addstr(ctx->out, "The signature store is nearly full: signatures of least use go to "
                              "make room (pkcs11signer-store-size)\n");
}

static bool show(uint64_t made, void *arg)
{
  p11s_progress_show(arg, made);
  return !p11s_progress_interrupted();
}

static void format_week(char *text, size_t size, const struct p11s_warm *warm, unsigned week)
{
  p11s_utc(text, size, P11S_UTC_DAY,
           (int64_t)p11s_warm_start(warm) + (int64_t)week * P11S_WEEK_SECONDS);
}

static enum p11s_err print_weeks(const struct p11s_command_ctx *ctx, const struct p11s_warm *warm,
                                 unsigned weeks, const struct p11s_warm_result *result,
                                 struct p11s_error *e)
{
  static const char *const columns[] = {"zone", "week", "made", "there", "left_out", NULL};
  const struct p11s_buf *left_out = p11s_warm_left_out(warm);
  struct p11s_table *t = p11s_table_new(columns);
  enum p11s_err err;
  char date[32];

  for (unsigned week = 0; week <= weeks; week++) {
    format_week(date, sizeof date, warm, week);
    p11s_table_row(t);
    if (ctx->json)
      p11s_table_string(t, ZONE, ctx->arg[0]);
    p11s_table_string(t, WEEK, date);
    p11s_table_number(t, MADE, result->made[week]);
    p11s_table_number(t, THERE, result->there[week]);
    if (ctx->json)
      p11s_table_items(t, LEFT_OUT, left_out);
  }
  err = p11s_command_print(ctx, t, NULL, e);
  p11s_command_say_each(ctx, "Not signed: ", left_out);
  return err;
}

/* After success: until when the token is not needed for this zone. */
static void print_until(const struct p11s_command_ctx *ctx, const struct p11s_warm *warm,
                        unsigned weeks)
{
  char date[32];

  if (ctx->json)
    return;
  if (p11s_week_start(p11s_record_now()) != p11s_warm_start(warm)) {
    p11s_buf_addstr(ctx->out, "The week has turned meanwhile: say it once more.\n");
    return;
  }
  format_week(date, sizeof date, warm, weeks + 1);
  p11s_buf_addf(
      ctx->out,
      "%s can be served from the store until %s 00:00 UTC, as long as it does not change\n",
      ctx->arg[0], date);
}

static enum p11s_err sign(const struct p11s_command_ctx *ctx, struct p11s_warm *warm,
                          unsigned weeks, const struct p11s_warm_plan *plan, struct p11s_error *e)
{
  struct p11s_warm_result result;
  struct p11s_progress progress;
  uint64_t made = 0;
  enum p11s_err err;

  note_crowding(ctx, plan);
  p11s_progress_begin(&progress, ctx->arg[0], plan->missing);
  err = p11s_warm_run(warm, show, &progress, &result, e);
  p11s_progress_end(&progress);
  for (unsigned week = 0; week <= weeks; week++)
    made += result.made[week];
  if (err == P11S_OK) {
    err = print_weeks(ctx, warm, weeks, &result, e);
    if (plan->messages > 0)
      print_until(ctx, warm, weeks);
    return err;
  }
  (void)print_weeks(ctx, warm, weeks, &result, NULL);
  if (err == P11S_ERR_STOPPED)
    return p11s_error_set(e, err,
                          "interrupted: %" PRIu64 " of %" PRIu64 " signature%s made, and kept; the "
                          "same command makes the others",
                          made, plan->missing, p11s_plural(plan->missing));
  p11s_error_prefix(e,
                    "%" PRIu64 " of %" PRIu64
                    " signature%s made, and kept. The same command goes on "
                    "from there; this is in its way",
                    made, plan->missing, p11s_plural(plan->missing));
  return err;
}

enum p11s_err p11s_command_warm(const struct p11s_command_ctx *ctx, struct p11s_error *e)
{
  struct p11s_warm *warm = NULL;
  struct p11s_warm_plan plan;
  unsigned weeks = p11s_signer_config(ctx->signer)->ahead_weeks;
  enum p11s_err err = p11s_command_weeks(ctx, 0, P11S_WARM_WEEKS - 1, &weeks, e);

  if (err == P11S_OK)
    err = p11s_command_check_servers(ctx, e);
  if (err == P11S_OK)
    err = p11s_warm_new(ctx->signer, ctx->host, ctx->arg[0], weeks, &warm, e);
  if (err != P11S_OK)
    return err;
  err = p11s_warm_plan(warm, &plan, e);
  if (err == P11S_OK)
    err = check_room(ctx, &plan, e);
  if (err == P11S_OK)
    err = sign(ctx, warm, weeks, &plan, e);
  p11s_warm_free(warm);
  return err;
}

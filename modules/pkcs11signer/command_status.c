/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "calendar.h"
#include "command_internal.h"
#include "report.h"
#include "signer.h"
#include "store_record.h"
#include "table.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The columns of `status`. */
enum {
  SERVER,
  MODULE,
  SLOT,
  STATE,
  SINCE,
  RECONNECTS,
  PINS_REFUSED,
  PIN,
  TROUBLE,
  AWAY_UNTIL,
  CLOCK,
  AWAY_WHY
};

struct listing {
  struct p11s_table *table;
  char until[32];      /* when the token may be away until, in JSON; "" */
  char clock[80];      /* how it is wrong, in JSON; "" */
  struct p11s_buf why; /* likewise, if something makes the time short */
};

static void status_row(const struct p11s_report_line *line, void *arg)
{
  const struct listing *listing = arg;
  struct p11s_table *t = listing->table;
  time_t since = (time_t)line->since;
  char text[32] = "";
  struct tm tm;

  if (line->since != 0 && gmtime_r(&since, &tm) != NULL)
    (void)strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &tm);
  p11s_table_row(t);
  p11s_table_number(t, SERVER, (uint64_t)line->pid);
  p11s_table_string(t, MODULE, line->module);
  p11s_table_string(t, SLOT, line->slot);
  p11s_table_string(t, STATE, line->state);
  if (text[0] != '\0')
    p11s_table_string(t, SINCE, text);
  p11s_table_number(t, RECONNECTS, line->reconnects);
  p11s_table_number(t, PINS_REFUSED, line->refused);
  p11s_table_string(t, PIN, line->pin);
  if (line->trouble[0] != '\0')
    p11s_table_string(t, TROUBLE, line->trouble);
  if (listing->until[0] != '\0')
    p11s_table_string(t, AWAY_UNTIL, listing->until);
  if (listing->clock[0] != '\0')
    p11s_table_string(t, CLOCK, listing->clock);
  if (listing->until[0] != '\0' && listing->why.len > 0)
    p11s_table_string(t, AWAY_WHY, p11s_buf_text(&listing->why));
}

static void say_until(const char *until, const struct p11s_buf *why, struct p11s_buf *out)
{
  if (why->len > 0)
    p11s_buf_addf(out, "%s: %s; budget shows all zones\n",
                  strcmp(until, "now") == 0 ? "the token may not be away"
                                            : "how long the token may be away is not known",
                  p11s_buf_text(why));
  else if (strcmp(until, "now") == 0)
    p11s_buf_addstr(out, "not all that was served in the last week is stored: without the token, "
                         "there is SERVFAIL; budget shows the zones\n");
  else
    p11s_buf_addf(out, "token may be away until %s; budget shows the zones\n", until);
}

static bool is_clock_off(struct p11s_signer *signer, char *text, size_t size)
{
  struct p11s_census *census = calloc(1, sizeof *census);
  int days = 0;

  if (census != NULL && p11s_store_each(p11s_signer_store(signer), p11s_census_add, census))
    (void)p11s_census_now(census, p11s_record_now(), &days);
  free(census);
  p11s_census_format(days, text, size);
  return days != 0;
}

enum p11s_err p11s_command_status(const struct p11s_command_ctx *ctx, struct p11s_error *e)
{
  static const char *const columns[] = {
      "server", "module",  "slot",       "state", "since",    "reconnects", "pins_refused",
      "pin",    "trouble", "away_until", "clock", "away_why", NULL};
  const char *directory = p11s_signer_config(ctx->signer)->state_dir;
  struct listing listing = {NULL, "", "", P11S_BUF_INIT};
  struct p11s_table *t;
  enum p11s_err err;
  unsigned servers = 0;
  char until[32], clock[80];
  bool known, is_off;

  if (directory == NULL || directory[0] == '\0')
    return p11s_error_set(e, P11S_ERR_HOST,
                          "pkcs11signer-state-dir is not set: servers leave their state there");
  known = p11s_command_away_until(ctx, until, sizeof until, &listing.why);
  if (known && ctx->json)
    memcpy(listing.until, until, sizeof until);
  is_off = is_clock_off(ctx->signer, clock, sizeof clock);
  if (is_off && ctx->json)
    memcpy(listing.clock, clock, sizeof clock);
  t = listing.table = p11s_table_new(columns);
  err = p11s_report_read(directory, status_row, &listing, &servers, e);
  if (err == P11S_OK)
    err = p11s_table_print(t, ctx->json, ctx->out, e);
  if (err == P11S_OK && !ctx->json && p11s_table_rows(t) == 0)
    p11s_buf_addf(ctx->out, "%s; state directory %s\n",
                  servers == 0 ? "no server is running that has used a token"
                               : "the server has used no token yet",
                  directory);
  if (err == P11S_OK && !ctx->json && known)
    say_until(until, &listing.why, ctx->out);
  if (err == P11S_OK && !ctx->json && is_off)
    p11s_buf_addf(ctx->out,
                  "this machine's clock is %s: set it (NTP), unless no server has used the store "
                  "in between\n",
                  clock);
  p11s_buf_clear(&listing.why);
  p11s_table_free(t);
  return err;
}

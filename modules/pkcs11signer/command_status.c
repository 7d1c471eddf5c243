/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "command_internal.h"
#include "report.h"
#include "signer.h"
#include "table.h"

#include <string.h>
#include <time.h>

/* The columns of `status`. */
enum { SERVER, MODULE, SLOT, STATE, SINCE, RECONNECTS, PINS_REFUSED, PIN, TROUBLE, AWAY_UNTIL };

struct listing {
  struct p11s_table *table;
  char until[32]; /* when the token may be away until, in JSON; "" */
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
}

static void say_until(const char *until, struct p11s_buf *out)
{
  if (strcmp(until, "now") == 0)
    p11s_buf_addstr(out, "not all that was served in the last week is stored: without the token, "
                         "there is SERVFAIL; budget shows the zones\n");
  else
    p11s_buf_addf(out, "token may be away until %s; budget shows the zones\n", until);
}

enum p11s_err p11s_command_status(const struct p11s_command_ctx *ctx, struct p11s_error *e)
{
  static const char *const columns[] = {
      "server",       "module", "slot",    "state",      "since", "reconnects",
      "pins_refused", "pin",    "trouble", "away_until", NULL};
  const char *directory = p11s_signer_config(ctx->signer)->state_dir;
  struct listing listing = {NULL, ""};
  struct p11s_table *t;
  enum p11s_err err;
  unsigned servers = 0;
  char until[32];
  bool known;

  if (directory == NULL || directory[0] == '\0')
    return p11s_error_set(e, P11S_ERR_HOST,
                          "pkcs11signer-state-dir is not set: servers leave their state there");
  known = p11s_command_away_until(ctx, until, sizeof until);
  if (known && ctx->json)
    memcpy(listing.until, until, sizeof until);
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
    say_until(until, ctx->out);
  p11s_table_free(t);
  return err;
}

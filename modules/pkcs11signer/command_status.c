/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "command_internal.h"
#include "report.h"
#include "signer.h"
#include "table.h"

#include <time.h>

/* The columns of `status`. */
enum { SERVER, MODULE, SLOT, STATE, SINCE, RECONNECTS, PINS_REFUSED, PIN, TROUBLE };

static void status_row(const struct p11s_report_line *line, void *arg)
{
  struct p11s_table *t = arg;
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
}

enum p11s_err p11s_command_status(const struct p11s_command_ctx *ctx, struct p11s_error *e)
{
  static const char *const columns[] = {"server",     "module",       "slot", "state",   "since",
                                        "reconnects", "pins_refused", "pin",  "trouble", NULL};
  const char *directory = p11s_signer_config(ctx->signer)->state_dir;
  struct p11s_table *t;
  enum p11s_err err;
  unsigned servers = 0;

  if (directory == NULL || directory[0] == '\0')
    return p11s_error_set(e, P11S_ERR_HOST,
                          "pkcs11signer-state-dir is not set: servers leave their state there");
  t = p11s_table_new(columns);
  err = p11s_report_read(directory, status_row, t, &servers, e);
  if (err == P11S_OK)
    err = p11s_table_print(t, ctx->json, ctx->out, e);
  if (err == P11S_OK && !ctx->json && p11s_table_rows(t) == 0)
    p11s_buf_addf(ctx->out, "%s; state directory %s\n",
                  servers == 0 ? "no server is running that has used a token"
                               : "the server has used no token yet",
                  directory);
  p11s_table_free(t);
  return err;
}

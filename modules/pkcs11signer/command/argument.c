/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What several commands have in common (command/internal.h). */
#include "base/secret_source.h"
#include "command/internal.h"
#include "command/table.h"
#include "format/dnsname.h"
#include "store/lazy.h"

#include <stdio.h>
#include <string.h>

enum p11s_err p11s_command_pin(const char *text, const char *name, struct p11s_secret **ret_pin,
                               struct p11s_error *e)
{
  struct p11s_secret *pin = NULL;
  enum p11s_err err = P11S_OK;
  char prompt[128];

  if (strcmp(text, "-") == 0) {
    snprintf(prompt, sizeof prompt, "PIN of token %s: ", name);
    err = p11s_pin_ask(prompt, &pin, e);
  } else if (text[0] != '\0') {
    pin = p11s_pin_new(text, strlen(text));
    if (pin == NULL)
      err = p11s_error_no_memory(e);
  }
  if (err == P11S_OK)
    err = p11s_pin_check_typed(pin, e);
  if (err == P11S_OK)
    *ret_pin = pin;
  else
    p11s_secret_release(pin);
  return err;
}

enum p11s_err p11s_command_zone(const char *text, struct p11s_command_zone *ret,
                                struct p11s_error *e)
{
  if (!p11s_dnsname_parse(text, ret->name, &ret->len))
    return p11s_error_set(e, P11S_ERR_SYNTAX, "ZONE is not a domain name");
  return P11S_OK;
}

enum p11s_err p11s_command_check_zone(const struct p11s_command_ctx *ctx, const char *zone,
                                      struct p11s_error *e)
{
  enum p11s_err err = ctx->host->zone_check(ctx->host->ctx, zone, e);

  if (err != P11S_OK)
    p11s_error_prefix(e, "zone %s", zone);
  return err;
}

enum p11s_err p11s_command_weeks(const struct p11s_command_ctx *ctx, int least, int most,
                                 unsigned *ret, struct p11s_error *e)
{
  const char *text = ctx->arg[1];

  if (text == NULL)
    return P11S_OK;
  if (text[0] < '0' + least || text[0] > '0' + most || text[1] != '\0')
    return p11s_error_set(e, P11S_ERR_SYNTAX, "WEEKS is a number from %d to %d", least, most);
  *ret = (unsigned)(text[0] - '0');
  return P11S_OK;
}

enum p11s_err p11s_command_open_store(const struct p11s_command_ctx *ctx,
                                      struct p11s_store **ret_store, struct p11s_error *e)
{
  *ret_store = p11s_signer_store(ctx->signer);
  if (*ret_store != NULL)
    return P11S_OK;
  return p11s_lazy_store_missing("", e);
}

enum p11s_err p11s_command_print(const struct p11s_command_ctx *ctx, struct p11s_table *t,
                                 const char *when_empty, struct p11s_error *e)
{
  enum p11s_err err = p11s_table_print(t, ctx->json, ctx->out, e);

  if (err == P11S_OK && !ctx->json && when_empty != NULL && p11s_table_rows(t) == 0)
    p11s_buf_addf(ctx->out, "%s\n", when_empty);
  p11s_table_free(t);
  return err;
}

void p11s_command_say_each(const struct p11s_command_ctx *ctx, const char *before,
                           const struct p11s_buf *texts)
{
  for (const char *text = NULL; !ctx->json && (text = p11s_buf_next_text(texts, text)) != NULL;)
    p11s_buf_addf(ctx->out, "%s%s\n", before, text);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "command/command.h"

#include "command/internal.h"
#include "command/manual.h"
#include "command/split.h"
#include "command/table.h"
#include "pkcs11signer-config.h"

#include <stdio.h>
#include <string.h>

static enum p11s_err help(const struct p11s_command_ctx *ctx, struct p11s_error *e);
static enum p11s_err version(const struct p11s_command_ctx *ctx, struct p11s_error *e);

/* Those of command/manual.c. */
static const struct {
  const char *name;
  p11s_command_fn run;
} commands[] = {
    {"help", help},
    {"version", version},
    {"modules", p11s_command_modules},
    {"tokens", p11s_command_tokens},
    {"keys", p11s_command_keys},
    {"assign", p11s_command_assign},
    {"generate", p11s_command_generate},
    {"check", p11s_command_check},
    {"status", p11s_command_status},
    {"unlock-login", p11s_command_unlock_login},
    {"forecast", p11s_command_forecast},
    {"budget", p11s_command_budget},
    {"sign-ahead", p11s_command_sign_ahead},
    {"warm", p11s_command_warm},
    {"store", p11s_command_store},
};

static enum p11s_err wrong_count(const struct p11s_manual *m, size_t count, struct p11s_error *e)
{
  char takes[64];
  size_t least, most;

  p11s_manual_count(m, &least, &most);
  if (count >= least && count <= most)
    return P11S_OK;
  if (most == 0)
    snprintf(takes, sizeof takes, "no arguments");
  else if (least == most)
    snprintf(takes, sizeof takes, "%zu argument%s", least, p11s_plural(least));
  else
    snprintf(takes, sizeof takes, "%zu or %zu arguments", least, most);
  return p11s_error_set(e, P11S_ERR_SYNTAX,
                        "%s takes %s, not %zu (quote those that hold blanks); "
                        "usage: %s%s%s",
                        m->name, takes, count, m->name, m->args[0] != '\0' ? " " : "", m->args);
}

static enum p11s_err help_json(const struct p11s_command_ctx *ctx, struct p11s_error *e)
{
  static const char *const columns[] = {"command", "arguments", "purpose", NULL};
  struct p11s_table *t = p11s_table_new(columns);

  for (const struct p11s_manual *m = NULL; (m = p11s_manual_next(m)) != NULL;) {
    if (ctx->count == 0 || p11s_manual_find(ctx->arg[0]) == m) {
      p11s_table_row(t);
      p11s_table_string(t, 0, m->name);
      p11s_table_string(t, 1, m->args);
      p11s_table_string(t, 2, m->purpose);
    }
  }
  return p11s_command_print(ctx, t, NULL, e);
}

static enum p11s_err help(const struct p11s_command_ctx *ctx, struct p11s_error *e)
{
  const struct p11s_manual *m = ctx->count == 0 ? NULL : p11s_manual_find(ctx->arg[0]);

  if (ctx->count > 0 && m == NULL)
    return p11s_manual_unknown(ctx->arg[0], e);
  if (ctx->json)
    return help_json(ctx, e);
  p11s_manual_help(m, ctx->out);
  return P11S_OK;
}

static enum p11s_err version(const struct p11s_command_ctx *ctx, struct p11s_error *e)
{
  static const char *const columns[] = {"version", "powerdns", NULL};
  struct p11s_table *t;

  if (!ctx->json) {
    p11s_manual_version(ctx->out);
    return P11S_OK;
  }
  t = p11s_table_new(columns);
  p11s_table_row(t);
  p11s_table_string(t, 0, PACKAGE_VERSION);
  p11s_table_string(t, 1, P11S_PDNS_VERSION);
  return p11s_command_print(ctx, t, NULL, e);
}

static enum p11s_err run(const struct p11s_command_ctx *ctx, const char *name, struct p11s_error *e)
{
  const struct p11s_manual *m = p11s_manual_find(name);
  enum p11s_err err = m == NULL ? p11s_manual_unknown(name, e) : wrong_count(m, ctx->count, e);

  for (size_t i = 0; err == P11S_OK && i < sizeof commands / sizeof *commands; i++) {
    if (strcmp(commands[i].name, m->name) == 0)
      return commands[i].run(ctx, e);
  }
  return err;
}

enum p11s_err p11s_command_run(struct p11s_signer *signer, const struct p11s_host *host,
                               const char *line, struct p11s_buf *out, struct p11s_error *e)
{
  struct p11s_words words = {0};
  struct p11s_command_ctx ctx = {signer, host, NULL, 0, false, out};
  enum p11s_err err = p11s_words_split(line, &words, e);
  bool explain;

  if (err != P11S_OK)
    return err;
  ctx.json = p11s_words_remove(&words, 1, "--json") > 0;
  explain = p11s_words_remove(&words, 0, "--help") > 0 || words.count == 0;
  if (explain) {
    ctx.arg = words.word;
    ctx.count = words.count > 0 ? 1 : 0;
  } else {
    ctx.arg = words.word + 1;
    ctx.count = words.count - 1;
  }
  err = run(&ctx, explain ? "help" : words.word[0], e);
  if (err == P11S_OK && out->failed)
    err = p11s_error_no_memory(e);
  p11s_words_clear(&words);
  return err;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "command/command.h"

#include "base/paste.h"
#include "command/internal.h"
#include "command/manual.h"
#include "command/split.h"
#include "command/table.h"
#include "format/dnsname.h"
#include "pkcs11signer-config.h"

#include <stdint.h>
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

/* only: NULL for all. */
static enum p11s_err help_json(const struct p11s_manual *only, const struct p11s_command_ctx *ctx,
                               struct p11s_error *e)
{
  static const char *const columns[] = {"command", "arguments", "purpose", NULL};
  struct p11s_table *t = p11s_table_new(columns);

  for (const struct p11s_manual *m = NULL; (m = p11s_manual_next(m)) != NULL;) {
    if (only == NULL || only == m) {
      p11s_table_row(t);
      p11s_table_string(t, 0, m->name);
      p11s_table_string(t, 1, m->args);
      p11s_table_string(t, 2, m->purpose);
    }
  }
  return p11s_command_print(ctx, t, NULL, e);
}

static enum p11s_err explain(const struct p11s_manual *m, const struct p11s_command_ctx *ctx,
                             struct p11s_error *e)
{
  if (ctx->json)
    return help_json(m, ctx, e);
  p11s_manual_help(m, ctx->out);
  return P11S_OK;
}

static enum p11s_err help(const struct p11s_command_ctx *ctx, struct p11s_error *e)
{
  const struct p11s_manual *m = ctx->count == 0 ? NULL : p11s_manual_find(ctx->arg[0]);

  if (ctx->count > 0 && m == NULL)
    return p11s_manual_unknown(ctx->arg[0], e);
  return explain(m, ctx, e);
}

static enum p11s_err version(const struct p11s_command_ctx *ctx, struct p11s_error *e)
{
  static const char *const columns[] = {"version", "powerdns", "running_in", NULL};
  struct p11s_buf running = P11S_BUF_INIT;
  struct p11s_table *t;

  ctx->host->running_version(ctx->host->ctx, &running);
  if (!ctx->json) {
    p11s_manual_version(ctx->out);
    if (running.len > 0)
      p11s_buf_addf(ctx->out, "running in %s\n", p11s_buf_text(&running));
    p11s_buf_clear(&running);
    return P11S_OK;
  }
  t = p11s_table_new(columns);
  p11s_table_row(t);
  p11s_table_string(t, 0, PACKAGE_VERSION);
  p11s_table_string(t, 1, P11S_PDNS_VERSION);
  if (running.len > 0)
    p11s_table_string(t, 2, p11s_buf_text(&running));
  p11s_buf_clear(&running);
  return p11s_command_print(ctx, t, NULL, e);
}

/* Who leaves the quotes out has pdnsutil run each word as a command of its own. */
static enum p11s_err missing_quotes(const char *const *lines, size_t count, struct p11s_error *e)
{
  const struct p11s_manual *m = p11s_manual_find(lines[0]);
  struct p11s_buf command = P11S_BUF_INIT;
  enum p11s_err err;

  p11s_paste(&command, "pkcs11signer", NULL);
  if (m == NULL || strstr(m->args, "PIN") != NULL) { /* it may be among the words */
    p11s_buf_addf(&command, " %s %s", m != NULL ? m->name : "COMMAND",
                  m != NULL ? m->args : "ARG…");
  } else {
    for (size_t i = 0; i < count; i++) {
      p11s_buf_addstr(&command, " ");
      p11s_buf_add_shell(&command, lines[i]);
    }
  }
  err =
      p11s_error_set(e, P11S_ERR_SYNTAX,
                     "nothing was done: pdnsutil takes each word for a command of its own, unless "
                     "all are quoted as one. Say: %s",
                     p11s_buf_text(&command));
  p11s_buf_clear(&command);
  return err;
}

/* The command's option besides --json and --help, as its arguments have it; NULL: there is none. */
static const char *own_option(const struct p11s_manual *m, char *text, size_t size)
{
  const char *at = strstr(m->args, "--");

  if (at == NULL)
    return NULL;
  (void)snprintf(text, size, "%.*s", (int)strcspn(at, "] "), at);
  return text;
}

/* Which of the arguments is the zone; SIZE_MAX: none. */
static size_t zone_argument(const struct p11s_manual *m)
{
  const char *at = strstr(m->args, "ZONE");
  size_t before = 0;

  for (const char *p = m->args; at != NULL && p < at; p++)
    before += *p == ' ';
  return at != NULL ? before : SIZE_MAX;
}

/* Puts the zone as PowerDNS writes it (ahead/host.h) in the place of what was typed. */
static enum p11s_err normalize_zone(const struct p11s_manual *m, struct p11s_words *words,
                                    struct p11s_buf *text, struct p11s_error *e)
{
  size_t at = zone_argument(m);
  unsigned char name[P11S_DNSNAME_MAX];
  char **word = &words->word[at + 1];
  size_t len;

  if (at >= words->count - 1 || (strstr(m->args, "ZONE|all") != NULL && strcmp(*word, "all") == 0))
    return P11S_OK;
  if (strstr(*word, "..") != NULL) /* PowerDNS 5: a zone and its variant */
    return P11S_OK;
  if ((*word)[0] == '\0')
    return p11s_error_set(e, P11S_ERR_SYNTAX, "ZONE is empty");
  if (!p11s_dnsname_parse(*word, name, &len))
    return p11s_error_set(e, P11S_ERR_SYNTAX, "ZONE is not a domain name");
  p11s_dnsname_format(name, text);
  *word = text->data;
  return text->failed ? p11s_error_no_memory(e) : P11S_OK;
}

/* Which command the words are, and its options, which are taken out. */
static enum p11s_err understand(struct p11s_words *words, const struct p11s_manual **ret_manual,
                                struct p11s_options *ret_options, struct p11s_error *e)
{
  const char *name = words->count > 0 ? words->word[0] : "help";
  const struct p11s_manual *m;
  char own[32];
  enum p11s_err err;

  if (strncmp(name, "--", 2) == 0)
    name += 2;
  m = p11s_manual_find(name);
  if (m == NULL)
    return p11s_manual_unknown(name, e);
  *ret_manual = m;
  err = p11s_words_take_options(words, own_option(m, own, sizeof own), ret_options, e);
  if (err == P11S_OK && !ret_options->help)
    err = wrong_count(m, words->count > 0 ? words->count - 1 : 0, e);
  return err;
}

enum p11s_err p11s_command_check_lines(const char *const *lines, size_t count, struct p11s_error *e)
{
  enum p11s_err err = P11S_OK;

  for (size_t i = 0; i < count && err == P11S_OK; i++) {
    struct p11s_words words = {0};
    const struct p11s_manual *m;
    struct p11s_options options;

    err = p11s_words_split(lines[i], &words, NULL);
    if (err == P11S_OK)
      err = understand(&words, &m, &options, NULL);
    p11s_words_clear(&words);
  }
  return count < 2 || err == P11S_OK ? P11S_OK : missing_quotes(lines, count, e);
}

static enum p11s_err run_named(const struct p11s_manual *m, const struct p11s_command_ctx *ctx,
                               struct p11s_error *e)
{
  for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
    if (strcmp(commands[i].name, m->name) == 0)
      return commands[i].run(ctx, e);
  return P11S_OK;
}

static enum p11s_err run(const struct p11s_manual *m, struct p11s_words *words,
                         struct p11s_command_ctx *ctx, struct p11s_error *e)
{
  struct p11s_buf zone = P11S_BUF_INIT;
  enum p11s_err err = P11S_OK;

  if (words->count > 0) {
    err = normalize_zone(m, words, &zone, e);
    ctx->arg = words->word + 1;
    ctx->count = words->count - 1;
  }
  if (err == P11S_OK)
    err = run_named(m, ctx, e);
  p11s_buf_clear(&zone);
  return err;
}

static enum p11s_err run_typed(struct p11s_words *words, struct p11s_command_ctx *ctx,
                               struct p11s_error *e)
{
  struct p11s_options options = {0};
  const struct p11s_manual *m = NULL;
  enum p11s_err err = understand(words, &m, &options, e);

  if (err != P11S_OK || m == NULL)
    return err;
  ctx->json = options.json;
  ctx->option = options.own;
  return options.help ? explain(m, ctx, e) : run(m, words, ctx, e);
}

enum p11s_err p11s_command_run(struct p11s_signer *signer, const struct p11s_host *host,
                               const char *line, struct p11s_buf *out, struct p11s_error *e)
{
  struct p11s_words words = {0};
  struct p11s_command_ctx ctx = {.signer = signer, .host = host, .out = out};
  enum p11s_err err = p11s_words_split(line, &words, e);

  if (err == P11S_OK && words.count > 2 && strcmp(words.word[0], "complete") == 0) {
    /* For shells: it stands in no manual, and its words may look like options. */
    ctx.arg = words.word + 1;
    ctx.count = words.count - 1;
    err = p11s_command_complete(&ctx, e);
  } else if (err == P11S_OK) {
    err = run_typed(&words, &ctx, e);
  }
  if (err == P11S_OK && out->failed)
    err = p11s_error_no_memory(e);
  p11s_words_clear(&words);
  return err;
}

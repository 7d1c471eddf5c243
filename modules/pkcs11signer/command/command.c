/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "command/command.h"

#include "command/internal.h"
#include "command/table.h"
#include "command/split.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct command {
  const char *name;
  const char *args;
  size_t least; /* arguments */
  size_t most;
  p11s_command_fn run; /* NULL: help, which needs this table */
  const char *purpose;
  const char *details;
};

#define ABOUT_KEY                                                                                  \
  "ALGORITHM is a number or a name: 5 rsasha1, 7 rsasha1-nsec3-sha1, 8 rsasha256,\n"               \
  "10 rsasha512, 13 ecdsa256, 14 ecdsa384, 15 ed25519, 16 ed448.\n"                                \
  "MODULE is a name that `modules` shows. SLOT is a token's label, its serial, a\n"                \
  "slot number or a pkcs11: URI (see `tokens`).\n"                                                 \
  "PIN is the PIN, a source (file:PATH, env:NAME, credential:NAME), '-' to be asked\n"             \
  "for it, or '' for the setting pkcs11signer-pin-source.\n"

static const struct command commands[] = {
    {"help", "[COMMAND]", 0, 1, NULL, "Lists the commands, or explains one.", ""},
    {"modules", "", 0, 0, p11s_command_modules, "Lists the PKCS#11 modules that p11-kit knows.",
     "Other commands take the name as MODULE. Key references have it in their Engine: line.\n"},
    {"tokens", "", 0, 0, p11s_command_tokens, "Lists the tokens of all modules.",
     "Slots without a token are left out. Other commands take label, serial or slot number\n"
     "as SLOT. A module that cannot be asked is listed with its error.\n"},
    {"keys", "MODULE SLOT [PIN]", 2, 3, p11s_command_keys,
     "Lists the keys on a token and the zones that use them.",
     "PIN is the PIN, a source (file:PATH, env:NAME, credential:NAME) or '-' to be asked\n"
     "for it. The default is the setting pkcs11signer-pin-source. Without any PIN only the\n"
     "objects that the token shows before login are listed.\n"},
    {"assign", "ZONE ALGORITHM ksk|zsk MODULE SLOT PIN LABEL [PUBLABEL]", 7, 8, p11s_command_assign,
     "Assigns a key that is on a token to a zone.",
     "The key must make a signature that verifies before anything is stored.\n" ABOUT_KEY
     "LABEL is the private key's label or pkcs11:object=NAME;id=%01%02; PUBLABEL the public\n"
     "key's label, when it differs.\n"},
    {"generate", "ZONE ALGORITHM ksk|zsk MODULE SLOT PIN LABEL [BITS]", 7, 8, p11s_command_generate,
     "Makes a key pair on a token and assigns it to a zone.",
     "LABEL must not be on the token yet. When a later step fails the pair is removed\n"
     "again.\n" ABOUT_KEY "BITS is the size of an RSA key, by default 2048.\n"},
    {"check", "[ZONE]", 0, 1, p11s_command_check, "Checks the key references of a zone, or of all.",
     "For each reference the token and the key are found, type and public key are compared,\n"
     "and a signature is made and verified. The command fails when one reference fails.\n"},
    {"status", "", 0, 0, p11s_command_status,
     "Shows the tokens of the running servers: ready, away or stuck.",
     "The servers have written it; no token is asked. PIN is ok, low (a wrong PIN was given\n"
     "lately), last (one try left), locked or keypad. TROUBLE says why a token is away or not\n"
     "logged in. The last line: until when the store has all that was served in the last\n"
     "week (see `budget`).\n"},
    {"unlock-login", "TOKEN|--all", 1, 1, p11s_command_unlock_login,
     "Allows one more try of a PIN that a token has refused.",
     "No server and no pdnsutil tries a refused PIN again until it has changed. Use this\n"
     "command when the PIN is right after all. TOKEN is a token's label, serial, slot number\n"
     "or pkcs11: URI; a token that is not there is known by label or serial. A PIN that is\n"
     "locked or on its final try is never tried.\n"},
    {"forecast", "[ZONE] [--measure]", 0, 2, p11s_command_forecast,
     "Says whether tokens keep up, and what would help.",
     "Speeds are those the running servers have seen lately; --measure has each token make a\n"
     "few signatures instead. A week's signatures are those in the store, or with ZONE all\n"
     "that the zone can need.\n"},
    {"budget", "[ZONE]", 0, 1, p11s_command_budget,
     "Shows until when each zone can be served without the token.",
     "This covers what was asked for this week and last week. SERVED is the number of these\n"
     "signatures. A name that was never asked for needs the token.\n"},
    {"sign-ahead", "ZONE|all [WEEKS]", 1, 2, p11s_command_sign_ahead,
     "Makes the signatures of the weeks to come now.",
     "The server makes the same signatures by itself, but slowly. This covers what was asked\n"
     "for this week and last week. WEEKS: how many weeks ahead, 1 to 8; by default\n"
     "pkcs11signer-sign-ahead. After Ctrl-C the same command goes on from there.\n"},
    {"warm", "ZONE [WEEKS]", 1, 2, p11s_command_warm,
     "Signs all of a zone, for this week and for weeks ahead.",
     "Every RRset and its denials, asked for or not, are signed unless the store has them.\n"
     "WEEKS: how many weeks ahead, 0 to 8; by default pkcs11signer-sign-ahead. All sessions\n"
     "are used: meanwhile queries for new signatures may wait. After Ctrl-C the same command\n"
     "goes on from there.\n"},
    {"store", "stats|verify|purge [ZONE]", 1, 2, p11s_command_store,
     "Shows, verifies or empties the store of signatures.",
     "stats: number and size of the signatures. verify: checks each with the public keys of\n"
     "the table, deletes wrong ones, and fails when there were any. purge: deletes them. Each\n"
     "covers one zone or all; servers may go on running.\n"},
};

#define COMMANDS (sizeof commands / sizeof *commands)

static const struct command *find_command(const char *name)
{
  for (size_t i = 0; i < COMMANDS; i++) {
    if (strcasecmp(commands[i].name, name) == 0)
      return &commands[i];
  }
  return NULL;
}

/* Number of letters to change, add or drop to get from a to b (Levenshtein). */
static size_t distance(const char *a, const char *b)
{
  size_t row[16];
  size_t len = strlen(b);

  for (size_t j = 0; j <= len; j++)
    row[j] = j;
  for (size_t i = 0; a[i] != '\0'; i++) {
    size_t diagonal = row[0];
    row[0] = i + 1;
    for (size_t j = 1; j <= len; j++) {
      size_t above = row[j];
      size_t best = diagonal + (strncasecmp(&a[i], &b[j - 1], 1) == 0 ? 0 : 1);
      best = above + 1 < best ? above + 1 : best;
      best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
      diagonal = above;
      row[j] = best;
    }
  }
  return row[len];
}

/* The command that was probably meant, or NULL. */
static const struct command *nearest_command(const char *name)
{
  const struct command *best = NULL;
  size_t len = strlen(name);
  size_t best_distance = len / 2 > 2 ? 4 : 3;

  if (len > 32)
    return NULL;
  for (size_t i = 0; i < COMMANDS; i++) {
    if (len >= 2 && strncasecmp(commands[i].name, name, len) == 0)
      return &commands[i];
    size_t d = distance(name, commands[i].name);
    if (d < best_distance) {
      best_distance = d;
      best = &commands[i];
    }
  }
  return best;
}

/* Does not repeat what was typed: the line is on the screen already, and may hold a PIN. */
static enum p11s_err unknown_command(const char *name, struct p11s_error *e)
{
  const struct command *near = nearest_command(name);
  struct p11s_buf names = P11S_BUF_INIT;
  enum p11s_err err;

  if (near != NULL)
    return p11s_error_set(e, P11S_ERR_SYNTAX, "no such command; did you mean: %s%s%s", near->name,
                          near->args[0] != '\0' ? " " : "", near->args);
  for (size_t i = 0; i < COMMANDS; i++)
    p11s_buf_addf(&names, "%s%s", i == 0 ? "" : ", ", commands[i].name);
  err = p11s_error_set(e, P11S_ERR_SYNTAX, "no such command; there are: %s", p11s_buf_text(&names));
  p11s_buf_clear(&names);
  return err;
}

static enum p11s_err wrong_count(const struct command *c, size_t count, struct p11s_error *e)
{
  char takes[64];

  if (c->most == 0)
    snprintf(takes, sizeof takes, "no arguments");
  else if (c->least == c->most)
    snprintf(takes, sizeof takes, "%zu argument%s", c->least, p11s_plural(c->least));
  else
    snprintf(takes, sizeof takes, "%zu or %zu arguments", c->least, c->most);
  return p11s_error_set(e, P11S_ERR_SYNTAX,
                        "%s takes %s, not %zu (quote those that hold blanks); "
                        "usage: %s%s%s",
                        c->name, takes, count, c->name, c->args[0] != '\0' ? " " : "", c->args);
}

static enum p11s_err help_json(const struct p11s_command_ctx *ctx, struct p11s_error *e)
{
  static const char *const columns[] = {"command", "arguments", "purpose", NULL};
  struct p11s_table *t = p11s_table_new(columns);

  for (size_t i = 0; i < COMMANDS; i++) {
    if (ctx->count == 0 || find_command(ctx->arg[0]) == &commands[i]) {
      p11s_table_row(t);
      p11s_table_string(t, 0, commands[i].name);
      p11s_table_string(t, 1, commands[i].args);
      p11s_table_string(t, 2, commands[i].purpose);
    }
  }
  return p11s_command_print(ctx, t, NULL, e);
}

static void print_usage(const struct command *c, struct p11s_buf *out)
{
  p11s_buf_addf(out, "%s%s%s\n", c->name, c->args[0] != '\0' ? " " : "", c->args);
}

static enum p11s_err help(const struct p11s_command_ctx *ctx, struct p11s_error *e)
{
  const struct command *c = ctx->count == 0 ? NULL : find_command(ctx->arg[0]);

  if (ctx->count > 0 && c == NULL)
    return unknown_command(ctx->arg[0], e);
  if (ctx->json)
    return help_json(ctx, e);
  if (c != NULL) {
    print_usage(c, ctx->out);
    p11s_buf_addf(ctx->out, "%s\n%s", c->purpose, c->details);
    return P11S_OK;
  }
  for (size_t i = 0; i < COMMANDS; i++) {
    print_usage(&commands[i], ctx->out);
    p11s_buf_addf(ctx->out, "    %s\n", commands[i].purpose);
  }
  p11s_buf_addstr(ctx->out,
                  "\nQuote arguments that hold blanks, with '' or \"\". --json prints a listing as "
                  "JSON.\n");
  return P11S_OK;
}

enum p11s_err p11s_command_run(struct p11s_signer *signer, const struct p11s_host *host,
                               const char *line, struct p11s_buf *out, struct p11s_error *e)
{
  struct p11s_words words = {0};
  struct p11s_command_ctx ctx = {signer, host, NULL, 0, false, out};
  const struct command *c;
  enum p11s_err err = p11s_words_split(line, &words, e);

  if (err != P11S_OK)
    return err;
  ctx.json = p11s_words_remove(&words, 1, "--json") > 0;
  if (words.count > 0) {
    ctx.arg = words.word + 1;
    ctx.count = words.count - 1;
  }
  c = find_command(words.count > 0 ? words.word[0] : "help");
  if (c == NULL)
    err = unknown_command(words.word[0], e);
  else if (ctx.count < c->least || ctx.count > c->most)
    err = wrong_count(c, ctx.count, e);
  else
    err = c->run != NULL ? c->run(&ctx, e) : help(&ctx, e);
  if (err == P11S_OK && out->failed)
    err = p11s_error_no_memory(e);
  p11s_words_clear(&words);
  return err;
}

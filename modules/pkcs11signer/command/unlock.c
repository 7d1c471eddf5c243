/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "command/internal.h"
#include "base/owner.h"
#include "pkcs11/module.h"
#include "pin/guard.h"
#include "pkcs11/slot.h"
#include "command/table.h"
#include "pkcs11/uri.h"

#include <stdlib.h>
#include <string.h>

/* The columns. */
enum { TOKEN, SERIAL, FORGOTTEN };

struct unlock {
  struct p11s_pin_guard *guard;
  struct p11s_table *table;
  struct p11s_buf text;
};

static enum p11s_err unlock_one(struct unlock *u, const struct p11s_pin_token *token,
                                struct p11s_error *e)
{
  const char *serial = token->serial, *label = token->label;
  size_t forgotten = 0;
  enum p11s_err err = p11s_pin_guard_unlock(u->guard, token, &forgotten, e);

  if (err != P11S_OK)
    return err;
  p11s_table_row(u->table);
  p11s_table_string(u->table, TOKEN, label);
  p11s_table_string(u->table, SERIAL, serial);
  p11s_table_number(u->table, FORGOTTEN, forgotten);
  if (forgotten == 0)
    p11s_buf_addf(
        &u->text,
        "no refused PIN of token '%s' (serial %s) was remembered; the next login is tried "
        "once even if the token says that a wrong PIN was given lately\n",
        label, serial);
  else
    p11s_buf_addf(&u->text, "%zu refused PIN%s of token '%s' (serial %s) forgotten; %s\n",
                  forgotten, p11s_plural(forgotten), label, serial,
                  forgotten == 1 ? "it will be tried once more" : "each will be tried once more");
  return P11S_OK;
}

/* -- tokens that something is remembered of: need not be there */

static enum p11s_err unlock_all(struct unlock *u, const struct p11s_pin_subject *known,
                                size_t count, struct p11s_error *e)
{
  enum p11s_err err = P11S_OK;

  for (size_t i = 0; i < count && err == P11S_OK; i++)
    if (known[i].refused > 0)
      err = unlock_one(u, &known[i].token, e);
  if (err == P11S_OK && p11s_table_rows(u->table) == 0)
    p11s_buf_addstr(&u->text, "no refused PIN is remembered\n");
  return err;
}

/* What the user calls a token; uri is NULL when it is a serial or a label. */
struct name {
  const char *text;
  P11KitUri *uri;
};

static void pad(CK_UTF8CHAR *to, size_t size, const char *text)
{
  size_t len = strnlen(text, size);

  memset(to, ' ', size);
  memcpy(to, text, len);
}

static bool answers(const struct p11s_pin_token *token, const struct name *name, bool by_serial)
{
  CK_TOKEN_INFO info;

  if (name->uri == NULL)
    return strcmp(by_serial ? token->serial : token->label, name->text) == 0;
  memset(&info, 0, sizeof info);
  pad(info.label, sizeof info.label, token->label);
  pad(info.serialNumber, sizeof info.serialNumber, token->serial);
  return p11_kit_uri_match_token_info(name->uri, &info) != 0;
}

/* *ret_at: the one that answers to name, by its serial or else by its label; count when none does.
 */
static enum p11s_err find_known(const struct p11s_pin_subject *known, size_t count,
                                const struct name *name, size_t *ret_at, struct p11s_error *e)
{
  size_t at = count;

  for (int by_serial = 1; by_serial >= 0 && at == count; by_serial--)
    for (size_t i = 0; i < count; i++) {
      if (!answers(&known[i].token, name, by_serial != 0))
        continue;
      if (at < count)
        return p11s_error_set(e, P11S_ERR_AMBIGUOUS,
                              "two tokens answer to '%s', '%s' (serial %s) and '%s' (serial %s); "
                              "name one by its %s, or say --all",
                              name->text, known[at].token.label, known[at].token.serial,
                              known[i].token.label, known[i].token.serial,
                              by_serial != 0 ? "label" : "serial");
      at = i;
    }
  *ret_at = at;
  return P11S_OK;
}

/* -- tokens that are there */

struct search {
  const char *spec;
  bool found;
  struct p11s_slot_info info;
};

static void search_module(const struct p11s_module_info *module, void *arg)
{
  struct search *search = arg;
  CK_FUNCTION_LIST *functions = NULL;

  if (!search->found && p11s_module_get(module->name, &functions, NULL) == P11S_OK)
    search->found = p11s_slot_find(functions, search->spec, &search->info, NULL) == P11S_OK;
}

static enum p11s_err unlock_found(struct unlock *u, const struct p11s_slot_info *slot,
                                  struct p11s_error *e)
{
  struct p11s_pin_token token = p11s_pin_guard_token(slot);

  return unlock_one(u, &token, e);
}

static enum p11s_err unlock_named(struct unlock *u, const char *name,
                                  const struct p11s_pin_subject *known, size_t count,
                                  struct p11s_error *e)
{
  struct search search = {name, false, {0}};
  struct p11s_buf others = P11S_BUF_INIT;
  struct name wanted = {name, NULL};
  bool as_owner;
  size_t at = 0;
  enum p11s_err err = p11s_uri_is(name) ? p11s_uri_parse(name, &wanted.uri, e) : P11S_OK;

  if (err == P11S_OK)
    err = find_known(known, count, &wanted, &at, e);
  p11_kit_uri_free(wanted.uri);
  if (err != P11S_OK)
    return err;
  if (at < count)
    return unlock_one(u, &known[at].token, e);
  as_owner = p11s_owner_act(true);
  (void)p11s_module_each(search_module, &search, NULL);
  (void)p11s_owner_act(as_owner);
  if (search.found)
    return unlock_found(u, &search.info, e);
  for (size_t i = 0; i < count; i++)
    if (known[i].refused > 0)
      p11s_buf_addf(&others, "%s'%s' (serial %s)", others.len > 0 ? ", " : "", known[i].token.label,
                    known[i].token.serial);
  err = p11s_error_set(e, P11S_ERR_NO_TOKEN,
                       "no token '%s' is there, and nothing is remembered of one; refused PINs are "
                       "remembered of: %s",
                       name, others.len > 0 ? p11s_buf_text(&others) : "none");
  p11s_buf_clear(&others);
  return err;
}

enum p11s_err p11s_command_unlock_login(const struct p11s_command_ctx *ctx, struct p11s_error *e)
{
  static const char *const columns[] = {"token", "serial", "forgotten", NULL};
  struct unlock u = {p11s_signer_pin_guard(ctx->signer), p11s_table_new(columns), P11S_BUF_INIT};
  struct p11s_pin_subject *known = NULL;
  size_t count = 0;
  enum p11s_err err = p11s_pin_guard_subjects(u.guard, &known, &count, e);

  if (err == P11S_OK && ctx->option == (ctx->count > 0))
    err = p11s_error_set(e, P11S_ERR_SYNTAX, "unlock-login takes either TOKEN or --all");
  else if (err == P11S_OK && ctx->option)
    err = unlock_all(&u, known, count, e);
  else if (err == P11S_OK)
    err = unlock_named(&u, ctx->arg[0], known, count, e);
  if (err == P11S_OK && ctx->json)
    err = p11s_table_print(u.table, true, ctx->out, e);
  else if (err == P11S_OK)
    p11s_buf_addstr(ctx->out, p11s_buf_text(&u.text));
  p11s_buf_clear(&u.text);
  p11s_table_free(u.table);
  free(known);
  return err;
}

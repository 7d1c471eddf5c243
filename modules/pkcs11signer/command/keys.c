/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "command/internal.h"
#include "format/keyref.h"
#include "pin/login.h"
#include "pkcs11/object.h"
#include "base/owner.h"
#include "pkcs11/module.h"
#include "base/secret_source.h"
#include "pkcs11/session.h"
#include "command/table.h"
#include "admin/key_users.h"

#include <stdlib.h>
#include <string.h>

/* The columns of `keys`. */
enum { LABEL, ID, TYPE, PRIVATE, PUBLIC, ZONES };

struct keys {
  struct p11s_table *table;
  const struct p11s_key_users *usage;
};

static void keys_zone(const char *zone, unsigned id, void *arg)
{
  struct p11s_table *t = arg;
  struct p11s_buf text = P11S_BUF_INIT;

  p11s_buf_addf(&text, "%s (key id %u)", zone, id);
  p11s_table_item(t, ZONES, p11s_buf_text(&text));
  p11s_buf_clear(&text);
}

static void keys_row(const struct p11s_object_info *info, void *arg)
{
  const struct keys *keys = arg;
  struct p11s_table *t = keys->table;

  p11s_table_row(t);
  p11s_table_string(t, LABEL, info->label);
  p11s_table_string(t, ID, info->id);
  p11s_table_string(t, TYPE, info->type);
  p11s_table_bool(t, PRIVATE, info->has_private);
  p11s_table_bool(t, PUBLIC, info->has_public);
  p11s_table_item(t, ZONES, NULL);
  p11s_key_users_each(keys->usage, info, keys_zone, t);
}

static void note_private(const struct p11s_object_info *info, void *arg)
{
  *(bool *)arg |= info->has_private;
}

/* Whether the token shows no private key although it wants no login: it may hide them. */
static enum p11s_err hides_keys(struct p11s_session *session, bool *ret_hides, struct p11s_error *e)
{
  bool shows = false;
  enum p11s_err err = P11S_OK;

  if (!p11s_session_has_user(session))
    err = p11s_object_each(session, note_private, &shows, e);
  *ret_hides = err == P11S_OK && !p11s_session_has_user(session) && !shows;
  return err;
}

/* Logs in with the PIN given, else the configured source. *ret_seen_all: nothing is hidden. */
static enum p11s_err keys_login(const struct p11s_command_ctx *ctx, struct p11s_session *session,
                                bool *ret_seen_all, struct p11s_error *e)
{
  const char *source = p11s_signer_config(ctx->signer)->pin_source;
  const char *token = p11s_session_slot(session)->label;
  const char *text = ctx->count > 2 ? ctx->arg[2] : "";
  struct p11s_secret *given = NULL;
  struct p11s_secret *pin = NULL;
  enum p11s_err err = P11S_OK;
  bool tried, hides = false;

  *ret_seen_all = p11s_session_logged_in(session);
  if (*ret_seen_all)
    err = hides_keys(session, &hides, e);
  if (err != P11S_OK || (*ret_seen_all && !hides))
    return err;
  if (p11s_session_no_pin_to_give(session, NULL) != P11S_OK)
    return P11S_OK;
  if (text[0] == '\0' && (source == NULL || source[0] == '\0'))
    return P11S_OK;
  err = p11s_command_pin(text, token, &given, e);
  if (err == P11S_OK)
    err = p11s_pin_get(given, source, token, &pin, e);
  if (err == P11S_OK)
    err = p11s_login(p11s_signer_pin_guard(ctx->signer), session,
                     (struct p11s_login_how){.user = CKU_USER}, pin, &tried, e);
  p11s_secret_release(pin);
  p11s_secret_release(given);
  *ret_seen_all = err == P11S_OK;
  return err;
}

static const char *not_logged_in(const struct p11s_session *session)
{
  if (p11s_session_no_pin_to_give(session, NULL) != P11S_OK)
    return "Not logged in: private keys are not shown. The token takes its PIN from a keypad of "
           "its own.\n";
  return "Not logged in: private keys are not shown. Give a PIN, a PIN source or '-', or set "
         "pkcs11signer-pin-source.\n";
}

static enum p11s_err keys_list(const struct p11s_command_ctx *ctx, struct p11s_session *session,
                               const struct p11s_key_users *usage, struct p11s_error *e)
{
  static const char *const columns[] = {"label", "id", "type", "private", "public", "zones", NULL};
  struct keys keys = {p11s_table_new(columns), usage};
  bool seen_all = false;
  enum p11s_err err = keys_login(ctx, session, &seen_all, e);

  if (err == P11S_OK)
    err = p11s_object_each(session, keys_row, &keys, e);
  if (err == P11S_OK)
    err = p11s_table_print(keys.table, ctx->json, ctx->out, e);
  if (err == P11S_OK && !ctx->json && p11s_table_rows(keys.table) == 0)
    p11s_buf_addf(ctx->out, "no keys on token %s\n", p11s_session_slot(session)->label);
  if (err == P11S_OK && !ctx->json && !seen_all)
    p11s_buf_addstr(ctx->out, not_logged_in(session));
  p11s_table_free(keys.table);
  return err;
}

enum p11s_err p11s_command_keys(const struct p11s_command_ctx *ctx, struct p11s_error *e)
{
  CK_FUNCTION_LIST *module = NULL;
  struct p11s_session *session = NULL;
  struct p11s_key_users *usage = NULL;
  bool as_owner = p11s_owner_act(true);
  enum p11s_err err = p11s_module_get(ctx->arg[0], &module, e);

  if (err == P11S_OK)
    err = p11s_session_open(module, ctx->arg[1], P11S_SESSION_READ, &session, e);
  if (err == P11S_OK) {
    (void)p11s_owner_act(as_owner); /* the database is for whoever runs the command */
    err = p11s_key_users_read(ctx->host, ctx->arg[0], module, p11s_session_slot(session)->id,
                              &usage, e);
    (void)p11s_owner_act(true);
  }
  if (err == P11S_OK)
    err = keys_list(ctx, session, usage, e);
  if (err != P11S_OK)
    p11s_owner_explain(e);
  p11s_key_users_free(usage);
  p11s_session_close(session);
  (void)p11s_owner_act(as_owner);
  return err;
}

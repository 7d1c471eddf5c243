/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "command/internal.h"
#include "base/owner.h"
#include "pkcs11/module.h"
#include "pkcs11/slot.h"
#include "command/table.h"

#include <stdlib.h>
#include <string.h>

static enum p11s_err finish(struct p11s_table *t, const struct p11s_command_ctx *ctx,
                            const char *when_empty, struct p11s_error *e)
{
  const char *owner = p11s_owner_name();
  struct p11s_buf nothing = P11S_BUF_INIT;
  enum p11s_err err;

  p11s_buf_addf(&nothing, "%s%s%s", when_empty, owner != NULL ? "; looked for as " : "",
                owner != NULL ? owner : "");
  err = p11s_command_print(ctx, t, p11s_buf_text(&nothing), e);
  p11s_buf_clear(&nothing);
  return err;
}

/* The columns of `modules`. */
enum { NAME, PATH, DESCRIPTION, MADE_BY, VERSION, WARNING, MODULE_ERROR };

static void modules_row(const struct p11s_module_info *info, void *arg)
{
  const char *warning = p11s_module_warning(info->name);
  struct p11s_table *t = arg;

  p11s_table_row(t);
  if (warning != NULL)
    p11s_table_string(t, WARNING, warning);
  p11s_table_string(t, NAME, info->name);
  p11s_table_string(t, PATH, info->path);
  p11s_table_string(t, DESCRIPTION, info->description);
  p11s_table_string(t, MADE_BY, info->manufacturer);
  p11s_table_string(t, VERSION, info->version);
}

static void modules_failed_row(const char *name, void *arg)
{
  struct p11s_table *t = arg;
  CK_FUNCTION_LIST *module = NULL;
  struct p11s_error failure;

  if (p11s_module_get(name, &module, &failure) == P11S_OK)
    return;
  p11s_table_row(t);
  p11s_table_string(t, NAME, name);
  p11s_table_string(t, MODULE_ERROR, failure.text);
}

static enum p11s_err list_modules(const struct p11s_command_ctx *ctx, struct p11s_error *e)
{
  static const char *const columns[] = {"name",    "path",    "description", "manufacturer",
                                        "version", "warning", "error",       NULL};
  struct p11s_table *t = p11s_table_new(columns);
  enum p11s_err err = p11s_module_each(modules_row, t, e);

  if (err == P11S_OK)
    err = p11s_module_each_name(modules_failed_row, t, e);
  if (err != P11S_OK) {
    p11s_table_free(t);
    return err;
  }
  return finish(t, ctx, "p11-kit knows no modules; see p11-kit list-modules", e);
}

/* The columns of `tokens`. */
enum { MODULE, SLOT, LABEL, SERIAL, MANUFACTURER, MODEL, FLAGS, ERROR };

struct tokens {
  struct p11s_table *table;
  const char *module;
};

static void tokens_flags(struct p11s_table *t, CK_FLAGS flags)
{
  static const struct {
    CK_FLAGS flag;
    const char *name;
  } names[] = {
      {CKF_LOGIN_REQUIRED, "login-required"},
      {CKF_USER_PIN_INITIALIZED, "user-pin-initialized"},
      {CKF_USER_PIN_COUNT_LOW, "pin-count-low"},
      {CKF_USER_PIN_FINAL_TRY, "pin-final-try"},
      {CKF_USER_PIN_LOCKED, "pin-locked"},
      {CKF_WRITE_PROTECTED, "write-protected"},
      {CKF_PROTECTED_AUTHENTICATION_PATH, "protected-authentication-path"},
  };

  p11s_table_item(t, FLAGS, (flags & CKF_TOKEN_INITIALIZED) == 0 ? "uninitialized" : NULL);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    if ((flags & names[i].flag) != 0)
      p11s_table_item(t, FLAGS, names[i].name);
  }
}

static void tokens_row(const struct p11s_slot_info *info, void *arg)
{
  const struct tokens *tokens = arg;
  struct p11s_table *t = tokens->table;

  p11s_table_row(t);
  p11s_table_string(t, MODULE, tokens->module);
  p11s_table_number(t, SLOT, info->id);
  p11s_table_string(t, LABEL, info->label);
  p11s_table_string(t, SERIAL, info->serial);
  p11s_table_string(t, MANUFACTURER, info->manufacturer);
  p11s_table_string(t, MODEL, info->model);
  tokens_flags(t, info->flags);
}

/* Names are kept first: p11mod's own loop is no place for calls that may take long. */
static void keep_name(const char *name, void *arg)
{
  p11s_buf_add_text(arg, name);
}

static enum p11s_err list_tokens(const struct p11s_command_ctx *ctx, struct p11s_error *e)
{
  static const char *const columns[] = {"module", "slot",  "label", "serial", "manufacturer",
                                        "model",  "flags", "error", NULL};
  struct tokens tokens = {p11s_table_new(columns), NULL};
  struct p11s_buf names = P11S_BUF_INIT;
  enum p11s_err err = p11s_module_each_name(keep_name, &names, e);

  if (err == P11S_OK && names.failed)
    err = p11s_error_no_memory(e);
  if (err != P11S_OK)
    p11s_table_free(tokens.table);
  while (err == P11S_OK && (tokens.module = p11s_buf_next_text(&names, tokens.module)) != NULL) {
    CK_FUNCTION_LIST *module = NULL;
    struct p11s_error failure;

    if (p11s_module_get(tokens.module, &module, &failure) != P11S_OK ||
        p11s_slot_each(module, tokens_row, &tokens, &failure) != P11S_OK) {
      p11s_table_row(tokens.table);
      p11s_table_string(tokens.table, MODULE, tokens.module);
      p11s_table_string(tokens.table, ERROR, failure.text);
    }
  }
  if (err == P11S_OK)
    err = finish(tokens.table, ctx, "no tokens found; see pkcs11-tool --list-slots", e);
  p11s_buf_clear(&names);
  return err;
}

static enum p11s_err run_as_owner(p11s_command_fn run, const struct p11s_command_ctx *ctx,
                                  struct p11s_error *e)
{
  bool as_owner = p11s_owner_act(true);
  enum p11s_err err = run(ctx, e);

  (void)p11s_owner_act(as_owner);
  return err;
}

enum p11s_err p11s_command_modules(const struct p11s_command_ctx *ctx, struct p11s_error *e)
{
  return run_as_owner(list_modules, ctx, e);
}

enum p11s_err p11s_command_tokens(const struct p11s_command_ctx *ctx, struct p11s_error *e)
{
  return run_as_owner(list_tokens, ctx, e);
}

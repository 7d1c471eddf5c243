/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * complete KIND BEGINNING [MODULE [SLOT]]: what an argument that usage lines call KIND may be, a
 * line each, for cli/complete.h. Logs in nowhere, asks for no PIN, and is silent where nothing can
 * be found out.
 */
#include "base/owner.h"
#include "command/internal.h"
#include "format/algorithm.h"
#include "pkcs11/module.h"
#include "pkcs11/object.h"
#include "pkcs11/session.h"
#include "pkcs11/slot.h"

#include <ctype.h>
#include <string.h>

enum { KIND, BEGINNING, MODULE, SLOT };

static void offer(const struct p11s_command_ctx *ctx, const char *text, size_t len)
{
  const char *beginning = ctx->arg[BEGINNING];

  if (len > 0 && strncmp(text, beginning, strlen(beginning)) == 0)
    p11s_buf_addf(ctx->out, "%.*s\n", (int)len, text);
}

static bool offer_zone(const char *zone, void *arg)
{
  size_t len = strlen(zone);

  offer(arg, zone, len > 1 ? len - 1 : len); /* the root's name is its dot */
  return true;
}

static void offer_module(const char *name, void *arg)
{
  offer(arg, name, strlen(name));
}

static void offer_algorithms(const struct p11s_command_ctx *ctx)
{
  const struct p11s_algorithm *alg;

  for (size_t i = 0; (alg = p11s_algorithm_at(i)) != NULL; i++) {
    const char *from = alg->alias != NULL ? alg->alias : alg->mnemonic;
    char name[32] = "";

    for (size_t n = 0; from[n] != '\0' && n + 1 < sizeof name; n++)
      name[n] = (char)tolower((unsigned char)from[n]);
    offer(ctx, name, strlen(name));
  }
}

/* Of all tokens, to see which labels are one token's. */
static void keep_label(const struct p11s_slot_info *info, void *arg)
{
  p11s_buf_add_text(arg, info->label);
}

struct slots {
  const struct p11s_command_ctx *ctx;
  struct p11s_buf labels;
};

static void offer_slot(const struct p11s_slot_info *info, void *arg)
{
  const struct slots *slots = arg;
  size_t namesakes = 0;

  for (const char *label = NULL; (label = p11s_buf_next_text(&slots->labels, label)) != NULL;)
    namesakes += strcmp(label, info->label) == 0;
  if (namesakes == 1 && info->label[0] != '\0')
    offer(slots->ctx, info->label, strlen(info->label));
  else
    offer(slots->ctx, info->serial, strlen(info->serial));
}

static void offer_slots(const char *name, void *arg)
{
  struct slots slots = {arg, P11S_BUF_INIT};
  CK_FUNCTION_LIST *module = NULL;

  if (p11s_module_get(name, &module, NULL) == P11S_OK &&
      p11s_slot_each(module, keep_label, &slots.labels, NULL) == P11S_OK)
    (void)p11s_slot_each(module, offer_slot, &slots, NULL);
  p11s_buf_clear(&slots.labels);
}

static void keep_name(const char *name, void *arg)
{
  p11s_buf_add_text(arg, name);
}

static void offer_tokens(const struct p11s_command_ctx *ctx)
{
  struct p11s_buf names = P11S_BUF_INIT;

  (void)p11s_module_each_name(keep_name, &names, NULL);
  for (const char *name = NULL; (name = p11s_buf_next_text(&names, name)) != NULL;)
    offer_slots(name, (void *)ctx);
  p11s_buf_clear(&names);
}

static void offer_key(const struct p11s_object_info *info, void *arg)
{
  offer(arg, info->label, strlen(info->label));
}

static void offer_labels(const struct p11s_command_ctx *ctx)
{
  struct p11s_session *session = NULL;
  CK_FUNCTION_LIST *module = NULL;

  if (p11s_module_get(ctx->arg[MODULE], &module, NULL) == P11S_OK &&
      p11s_session_open(module, ctx->arg[SLOT], P11S_SESSION_READ, &session, NULL) == P11S_OK)
    (void)p11s_object_each(session, offer_key, (void *)ctx, NULL);
  p11s_session_close(session);
}

enum p11s_err p11s_command_complete(const struct p11s_command_ctx *ctx, struct p11s_error *e)
{
  const char *kind = ctx->arg[KIND];
  bool as_owner;

  (void)e;
  if (strcmp(kind, "ZONE") == 0) {
    (void)ctx->host->each_zone(ctx->host->ctx, offer_zone, (void *)ctx, NULL);
    return P11S_OK;
  }
  as_owner = p11s_owner_act(true);
  if (strcmp(kind, "ALGORITHM") == 0)
    offer_algorithms(ctx);
  else if (strcmp(kind, "MODULE") == 0)
    (void)p11s_module_each_name(offer_module, (void *)ctx, NULL);
  else if (strcmp(kind, "TOKEN") == 0)
    offer_tokens(ctx);
  else if (strcmp(kind, "SLOT") == 0 && ctx->count > MODULE)
    offer_slots(ctx->arg[MODULE], (void *)ctx);
  else if ((strcmp(kind, "LABEL") == 0 || strcmp(kind, "PUBLABEL") == 0) && ctx->count > SLOT)
    offer_labels(ctx);
  (void)p11s_owner_act(as_owner);
  return P11S_OK;
}

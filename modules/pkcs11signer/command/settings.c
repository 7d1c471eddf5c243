/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether this pdnsutil has the settings that the servers answer with. */
#include "command/internal.h"
#include "token/status_file.h"
#include "signer/signer.h"

#include <string.h>
#include <strings.h>

struct comparison {
  const char *own;
  struct p11s_buf *why;
};

static const char *next_setting(const char *setting)
{
  setting += strcspn(setting, "\t");
  return *setting != '\0' ? setting + 1 : setting;
}

/* The one of that name, behind which there is a '='; NULL: there is none. */
static const char *find_setting(const char *settings, const char *name, size_t len)
{
  for (; *settings != '\0'; settings = next_setting(settings))
    if (strncmp(settings, name, len) == 0 && settings[len] == '=')
      return settings;
  return NULL;
}

/* Names the first that differs, of the first server that has another one. */
static void compare(pid_t pid, const char *settings, void *arg)
{
  struct comparison *c = arg;

  for (; *settings != '\0' && c->why->len == 0; settings = next_setting(settings)) {
    const char *own = find_setting(c->own, settings, strcspn(settings, "="));
    size_t len = strcspn(settings, "\t"), own_len = own != NULL ? strcspn(own, "\t") : 0;

    if (own != NULL && (own_len != len || strncasecmp(own, settings, len) != 0))
      p11s_buf_addf(c->why,
                    "server %ld runs with %.*s, pdnsutil with %.*s: put the server's into the "
                    "configuration file, which both read, or restart the server; servers that "
                    "should differ need each its own pkcs11signer-state-dir",
                    (long)pid, (int)len, settings, (int)own_len, own);
  }
}

bool p11s_command_servers_differ(const struct p11s_command_ctx *ctx, struct p11s_buf *why)
{
  const struct p11s_config *config = p11s_signer_config(ctx->signer);
  struct comparison c = {config->host_settings, why};

  if (config->state_dir[0] != '\0')
    p11s_status_each_settings(config->state_dir, compare, &c);
  return why->len > 0;
}

enum p11s_err p11s_command_check_servers(const struct p11s_command_ctx *ctx, struct p11s_error *e)
{
  struct p11s_buf why = P11S_BUF_INIT;
  enum p11s_err err = P11S_OK;

  if (p11s_command_servers_differ(ctx, &why))
    err = p11s_error_set(e, P11S_ERR_HOST, "what would be signed is not what is asked for: %s",
                         p11s_buf_text(&why));
  p11s_buf_clear(&why);
  return err;
}

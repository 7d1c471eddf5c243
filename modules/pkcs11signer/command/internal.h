/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "command/command.h"
#include "base/secret.h"
#include "format/dnsname.h"

#include <stdbool.h>
#include <stddef.h>

/* Shared by command/command.c (words, help, dispatch) and the files that hold the commands:
   these call nothing of command/command.c. */

/* What a command has. The number of arguments is right already, and ZONE is as the host writes it.
 */
struct p11s_command_ctx {
  struct p11s_signer *signer;
  const struct p11s_host *host;
  char *const *arg; /* behind the command's name; NULL behind the last */
  size_t count;
  bool json;
  bool option; /* its own was given: --measure, --all */
  struct p11s_buf *out;
};

typedef enum p11s_err (*p11s_command_fn)(const struct p11s_command_ctx *ctx, struct p11s_error *e);

/* command/list.c, command/keys.c, command/assign.c, command/status.c, command/unlock.c */
enum p11s_err p11s_command_modules(const struct p11s_command_ctx *ctx, struct p11s_error *e);
enum p11s_err p11s_command_tokens(const struct p11s_command_ctx *ctx, struct p11s_error *e);
enum p11s_err p11s_command_keys(const struct p11s_command_ctx *ctx, struct p11s_error *e);
enum p11s_err p11s_command_assign(const struct p11s_command_ctx *ctx, struct p11s_error *e);
enum p11s_err p11s_command_generate(const struct p11s_command_ctx *ctx, struct p11s_error *e);
enum p11s_err p11s_command_status(const struct p11s_command_ctx *ctx, struct p11s_error *e);
enum p11s_err p11s_command_check(const struct p11s_command_ctx *ctx, struct p11s_error *e);
enum p11s_err p11s_command_unlock_login(const struct p11s_command_ctx *ctx, struct p11s_error *e);

/* command/argument.c */
/* Reads a PIN argument: "-" asks on the terminal for the token called name, "" gives NULL. The
   secret, a PIN or a PIN source, is the caller's. */
enum p11s_err p11s_command_pin(const char *text, const char *name, struct p11s_secret **ret_pin,
                               struct p11s_error *e);
/* A ZONE argument in wire format. */
struct p11s_command_zone {
  unsigned char name[P11S_DNSNAME_MAX];
  size_t len; /* 0: none is given */
};
enum p11s_err p11s_command_zone(const char *text, struct p11s_command_zone *ret,
                                struct p11s_error *e);
/* Whether PowerDNS has that zone; the error names it. */
enum p11s_err p11s_command_check_zone(const struct p11s_command_ctx *ctx, const char *zone,
                                      struct p11s_error *e);
/* WEEKS, the second argument, from least to most, which are one digit; *ret stays when there is
   none. */
enum p11s_err p11s_command_weeks(const struct p11s_command_ctx *ctx, int least, int most,
                                 unsigned *ret, struct p11s_error *e);
/* P11S_ERR_HOST: there is none, and why. Borrowed. */
enum p11s_err p11s_command_open_store(const struct p11s_command_ctx *ctx,
                                      struct p11s_store **ret_store, struct p11s_error *e);
/* Prints the table as a listing or as JSON, and frees it. In place of a listing without rows stands
   when_empty, if not NULL. */
struct p11s_table;
enum p11s_err p11s_command_print(const struct p11s_command_ctx *ctx, struct p11s_table *t,
                                 const char *when_empty, struct p11s_error *e);
/* Prints a line for each text of the buffer, unless the command is to print JSON. */
void p11s_command_say_each(const struct p11s_command_ctx *ctx, const char *before,
                           const struct p11s_buf *texts);

/* command/collect.c */
struct p11s_key;
struct p11s_command_keys {
  struct p11s_key **key; /* each with a reference; one may be there twice */
  size_t count;
};
/* All that the references of a zone name, or of all zones (NULL), with their public halves as far
   as these can be had: asks tokens. keys: empty at first; to be released whatever comes of it. */
enum p11s_err p11s_command_collect_keys(const struct p11s_command_ctx *ctx, const char *zone,
                                        struct p11s_command_keys *keys, struct p11s_error *e);
/* The one with that id in the store (store/store.h), or NULL. Borrowed. */
struct p11s_key *p11s_command_find_key(const struct p11s_command_keys *keys,
                                       const unsigned char *id);
void p11s_command_release_keys(struct p11s_command_keys *keys);

/* command/forecast.c */
enum p11s_err p11s_command_forecast(const struct p11s_command_ctx *ctx, struct p11s_error *e);

/* command/budget.c */
enum p11s_err p11s_command_budget(const struct p11s_command_ctx *ctx, struct p11s_error *e);
/* Until when the token may be away, as text, and in why, which zone makes that short, or not known,
   when it is not for signatures that are still to be made. false: nothing is known to be served. */
bool p11s_command_away_until(const struct p11s_command_ctx *ctx, char *text, size_t size,
                             struct p11s_buf *why);
/* A plan (ahead/plan.h) of all that is stored, finished, for the zone or all. NULL: there is no
   store, it cannot be read, there is nothing in it to be served, or no memory. */
struct p11s_plan;
struct p11s_plan *p11s_command_plan(const struct p11s_command_ctx *ctx, unsigned weeks,
                                    const struct p11s_command_zone *zone);

/* command/settings.c */
/* Whether a running server of this state directory has other settings that decide what is signed,
   as given on its command line; which, added to why, empty before. */
bool p11s_command_servers_differ(const struct p11s_command_ctx *ctx, struct p11s_buf *why);
/* The same as an error, for who is about to sign: P11S_ERR_HOST. */
enum p11s_err p11s_command_check_servers(const struct p11s_command_ctx *ctx, struct p11s_error *e);

/* command/ahead.c */
enum p11s_err p11s_command_sign_ahead(const struct p11s_command_ctx *ctx, struct p11s_error *e);

/* command/complete.c */
enum p11s_err p11s_command_complete(const struct p11s_command_ctx *ctx, struct p11s_error *e);

/* command/warm.c */
enum p11s_err p11s_command_warm(const struct p11s_command_ctx *ctx, struct p11s_error *e);

/* command/store.c */
enum p11s_err p11s_command_store(const struct p11s_command_ctx *ctx, struct p11s_error *e);

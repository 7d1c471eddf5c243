/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "store/calendar.h"
#include "command/internal.h"
#include "token/status_file.h"
#include "signer/signer.h"
#include "token/status_names.h"
#include "store/record.h"
#include "command/table.h"
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The columns of `status`. */
enum {
  SERVER,
  MODULE,
  SLOT,
  OTHER_NAMES,
  SERIAL,
  STATE,
  SINCE,
  SEEN,
  RECONNECTS,
  PINS_REFUSED,
  PIN,
  TROUBLE,
  AWAY_UNTIL,
  CLOCK,
  AWAY_WHY,
  LABEL,
  MANUFACTURER,
  MODEL,
  OLD
};

#define OLD_S 60

struct listing {
  struct p11s_table *table;
  bool json;
  struct p11s_status_names names;
  char until[32];      /* when the token may be away until; "": nothing is known */
  char clock[80];      /* how it is wrong; "": it is not */
  struct p11s_buf why; /* what makes the time short, if anything does */
};

static void set_string(struct p11s_table *t, size_t column, const char *text)
{
  if (text[0] != '\0')
    p11s_table_string(t, column, text);
}

static void set_time(struct p11s_table *t, size_t column, int64_t seconds)
{
  char text[32] = "";

  if (seconds != 0)
    p11s_utc(text, sizeof text, P11S_UTC_SECOND, seconds);
  set_string(t, column, text);
}

static void set_found(const struct listing *listing, const struct p11s_slot_info *found)
{
  struct p11s_table *t = listing->table;

  set_string(t, SERIAL, found->serial);
  if (!listing->json)
    return;
  set_string(t, LABEL, found->label);
  set_string(t, MANUFACTURER, found->manufacturer);
  set_string(t, MODEL, found->model);
}

static void set_state(const struct listing *listing, const struct p11s_status_line *line)
{
  bool is_old = line->seen != 0 && llabs(time(NULL) - line->seen) > OLD_S;
  char text[32];

  (void)snprintf(text, sizeof text, "%s%s", line->state, is_old && !listing->json ? " (old)" : "");
  p11s_table_string(listing->table, STATE, text);
  set_time(listing->table, SEEN, line->seen);
  if (is_old && listing->json)
    p11s_table_bool(listing->table, OLD, true);
}

/* The lines of one token in one state. What changes from name to name is as it was seen last. */
static void status_row(const struct listing *listing, const struct p11s_status_line *lines,
                       size_t count)
{
  const struct p11s_status_line *line = &lines[0]; /* the one that has seen it last */
  struct p11s_table *t = listing->table;
  uint64_t reconnects = 0;
  int64_t since = line->since;

  p11s_table_row(t);
  p11s_table_number(t, SERVER, (uint64_t)line->pid);
  p11s_table_string(t, MODULE, line->module);
  p11s_table_string(t, SLOT, line->slot);
  for (size_t i = 0; i < count; i++) {
    if (i > 0)
      p11s_table_item(t, OTHER_NAMES, lines[i].slot);
    line = lines[i].seen > line->seen ? &lines[i] : line;
    since = lines[i].since < since ? lines[i].since : since;
    reconnects = lines[i].reconnects > reconnects ? lines[i].reconnects : reconnects;
  }
  set_found(listing, &line->found);
  set_state(listing, line);
  set_time(t, SINCE, since);
  p11s_table_number(t, RECONNECTS, reconnects);
  p11s_table_number(t, PINS_REFUSED, line->refused);
  p11s_table_string(t, PIN, line->pin);
  set_string(t, TROUBLE, line->trouble);
  if (!listing->json)
    return;
  set_string(t, AWAY_UNTIL, listing->until);
  set_string(t, CLOCK, listing->clock);
  if (listing->until[0] != '\0')
    set_string(t, AWAY_WHY, p11s_buf_text(&listing->why));
}

static enum p11s_err list_tokens(struct listing *listing, const char *directory,
                                 unsigned *ret_servers, struct p11s_error *e)
{
  struct p11s_status_names *names = &listing->names;
  enum p11s_err err = p11s_status_read(directory, p11s_status_names_add, names, ret_servers, e);
  size_t count;

  if (err == P11S_OK && names->failed)
    err = p11s_error_no_memory(e);
  if (err == P11S_OK)
    p11s_status_names_sort(names);
  for (size_t i = 0; err == P11S_OK && i < names->count; i += count) {
    count = p11s_status_names_same(names, i);
    status_row(listing, names->lines + i, count);
  }
  p11s_status_names_clear(names);
  return err;
}

static void say_until(const char *until, const struct p11s_buf *why, struct p11s_buf *out)
{
  if (why->len > 0)
    p11s_buf_addf(out, "%s: %s; budget shows all zones\n",
                  strcmp(until, "now") == 0 ? "the token may not be away"
                                            : "how long the token may be away is not known",
                  p11s_buf_text(why));
  else if (strcmp(until, "now") == 0)
    p11s_buf_addstr(out, "not all that was served in the last week is stored: without the token, "
                         "there is SERVFAIL; budget shows the zones\n");
  else
    p11s_buf_addf(out, "token may be away until %s; budget shows the zones\n", until);
}

/* How this machine's clock is wrong; "" when it is not. */
static void look_at_clock(struct p11s_signer *signer, char *text, size_t size)
{
  struct p11s_census *census = calloc(1, sizeof *census);
  int days = 0;

  text[0] = '\0';
  if (census != NULL && p11s_store_each(p11s_signer_store(signer), p11s_census_add, census))
    (void)p11s_census_now(census, p11s_record_now(), &days);
  free(census);
  if (days != 0)
    p11s_census_format(days, text, size);
}

enum p11s_err p11s_command_status(const struct p11s_command_ctx *ctx, struct p11s_error *e)
{
  static const char *const columns[] = {
      "server",   "module",     "slot",         "other_names", "serial",  "state",      "since",
      "seen",     "reconnects", "pins_refused", "pin",         "trouble", "away_until", "clock",
      "away_why", "label",      "manufacturer", "model",       "old",     NULL};
  const char *directory = p11s_signer_config(ctx->signer)->state_dir;
  struct listing listing = {.json = ctx->json, .why = P11S_BUF_INIT};
  struct p11s_buf nothing = P11S_BUF_INIT;
  enum p11s_err err;
  unsigned servers = 0;

  if (directory == NULL || directory[0] == '\0')
    return p11s_error_set(e, P11S_ERR_HOST,
                          "pkcs11signer-state-dir is not set: servers leave their state there");
  if (!p11s_command_away_until(ctx, listing.until, sizeof listing.until, &listing.why))
    listing.until[0] = '\0';
  look_at_clock(ctx->signer, listing.clock, sizeof listing.clock);
  listing.table = p11s_table_new(columns);
  err = list_tokens(&listing, directory, &servers, e);
  if (err != P11S_OK) {
    p11s_table_free(listing.table);
    goto out;
  }
  p11s_buf_addf(&nothing, "%s; state directory %s",
                servers == 0 ? "no server is running that has used a token"
                             : "the server has used no token yet",
                directory);
  err = p11s_command_print(ctx, listing.table, p11s_buf_text(&nothing), e);
  if (err == P11S_OK && !ctx->json && listing.until[0] != '\0')
    say_until(listing.until, &listing.why, ctx->out);
  if (err == P11S_OK && !ctx->json && listing.clock[0] != '\0')
    p11s_buf_addf(ctx->out,
                  "this machine's clock is %s: set it (NTP), unless no server has used the store "
                  "in between\n",
                  listing.clock);
out:
  p11s_buf_clear(&nothing);
  p11s_buf_clear(&listing.why);
  return err;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* forecast [ZONE] [--measure]. */
#include "base/text.h"
#include "command/internal.h"
#include "admin/forecast.h"
#include "sign/key.h"
#include "admin/measure.h"
#include "command/progress.h"
#include "token/status_file.h"
#include "store/lazy.h"
#include "store/record.h"
#include "command/table.h"
#include "token/token.h"
#include "format/message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
  MODULE,
  SLOT,
  WEEK,
  OF_KEYS,
  RATE,
  SESSIONS,
  REFILL,
  KEEPS_UP,
  REFILL_S,
  AHEAD_S,
  ADVICE,
  LEFT_OUT
};

/* Signatures, and those of them that keys' records have. */
struct counts {
  uint64_t all, of_keys;
};

/* One token, as references name it. */
struct entry {
  const char *module; /* of a key that is held */
  const char *slot;
  struct p11s_key *key;    /* one of its, borrowed */
  struct counts stored[2]; /* of this week and of the last one */
  struct counts whole;     /* all that the zone can need */
  struct p11s_forecast_input in;
};

struct work {
  const struct p11s_command_ctx *ctx;
  const char *zone; /* NULL: all */
  bool measure;
  struct p11s_command_keys keys;
  struct entry *entries; /* a zeroed one behind the last */
  size_t count;
  uint32_t start;           /* of this week */
  struct p11s_buf left_out; /* clauses about what is not counted, each with a NUL behind it */
};

static struct entry *entry_named(const struct work *w, const char *module, const char *slot)
{
  for (struct entry *entry = w->entries; entry->module != NULL; entry++)
    if (strcmp(entry->module, module) == 0 && strcmp(entry->slot, slot) == 0)
      return entry;
  return NULL;
}

static struct entry *entry_of(const struct work *w, const struct p11s_key *key)
{
  const struct p11s_keyref *ref = p11s_key_reference(key);

  return entry_named(w, ref->engine, ref->slot);
}

static enum p11s_err make_entries(struct work *w, struct p11s_error *e)
{
  w->entries = calloc(w->keys.count + 1, sizeof *w->entries);
  if (w->entries == NULL)
    return p11s_error_no_memory(e);
  for (size_t i = 0; i < w->keys.count; i++) {
    const struct p11s_keyref *ref = p11s_key_reference(w->keys.key[i]);

    if (entry_of(w, w->keys.key[i]) == NULL)
      w->entries[w->count++] =
          (struct entry){.module = ref->engine, .slot = ref->slot, .key = w->keys.key[i]};
  }
  return P11S_OK;
}

/* -- how many signatures a week takes */

static void count(struct counts *counts, unsigned type)
{
  counts->all++;
  counts->of_keys += type == P11S_TYPE_DNSKEY || type == P11S_TYPE_CDS || type == P11S_TYPE_CDNSKEY;
}

static bool count_stored(const struct p11s_store_record *record, void *arg)
{
  struct work *w = arg;
  struct p11s_key *key = p11s_command_find_key(&w->keys, record->key_id);
  struct p11s_message m;
  struct entry *entry;
  uint32_t week;

  if (key == NULL || record->days_used == 0 ||
      !p11s_message_parse(record->message, record->message_len, &m) ||
      !p11s_message_week(&m, &week, NULL))
    return true;
  entry = entry_of(w, key);
  for (unsigned i = 0; i < 2; i++)
    if (week == w->start - i * P11S_WEEK_SECONDS)
      count(&entry->stored[i], m.type);
  return true;
}

static bool count_demand(const struct p11s_demand *demand, void *arg)
{
  struct work *w = arg;
  struct entry *entry = entry_of(w, demand->key);
  struct p11s_message m;

  if (entry != NULL && demand->week <= 0 && p11s_message_parse(demand->message, demand->len, &m))
    count(&entry->whole, m.type);
  return true;
}

static void take_left_out(const char *what, void *arg)
{
  struct work *w = arg;

  p11s_buf_add_text(&w->left_out, what);
}

static enum p11s_err count_all(struct work *w, struct p11s_error *e)
{
  const struct p11s_demand_sink sink = {count_demand, take_left_out, w};
  struct p11s_store *store = p11s_signer_store(w->ctx->signer);

  if (w->zone != NULL) {
    enum p11s_err err = w->ctx->host->each_demand(w->ctx->host->ctx, w->zone, 0, &sink, e);

    if (err == P11S_OK && w->left_out.failed)
      err = p11s_error_no_memory(e);
    return err;
  }
  if (store == NULL)
    return p11s_lazy_store_missing(" that tells how many signatures a week takes (forecast ZONE "
                                   "counts those of a zone)",
                                   e);
  if (!p11s_store_each(store, count_stored, w))
    return p11s_error_set(e, P11S_ERR_HOST, "the signature store cannot be read to its end");
  return P11S_OK;
}

/* Early in a week the last one says more. */
static void choose_counts(const struct work *w, struct entry *entry)
{
  const struct counts *counts = &entry->stored[entry->stored[1].all > entry->stored[0].all ? 1 : 0];

  if (w->zone != NULL)
    counts = &entry->whole;
  entry->in.week = counts->all;
  entry->in.of_keys = counts->of_keys;
  entry->in.sessions = p11s_signer_config(w->ctx->signer)->sessions;
  entry->in.ahead = p11s_signer_config(w->ctx->signer)->ahead_weeks;
}

/* -- how fast they are */

static void take_report(const struct p11s_status_line *line, void *arg)
{
  struct entry *entry = entry_named(arg, line->module, line->slot);

  if (entry == NULL)
    return;
  p11s_speed_merge(&entry->in.rate, &line->rate);
  entry->in.room = line->room;
}

static enum p11s_err find_rates(struct work *w, struct p11s_error *e)
{
  const struct p11s_config *config = p11s_signer_config(w->ctx->signer);
  unsigned servers;

  if (!w->measure) {
    /* Without reports the speed is not known: that is said. */
    if (config->state_dir != NULL && config->state_dir[0] != '\0')
      (void)p11s_status_read(config->state_dir, take_report, w, &servers, NULL);
    return P11S_OK;
  }
  for (size_t i = 0; i < w->count; i++) {
    struct entry *entry = &w->entries[i];
    enum p11s_err err =
        p11s_measure(w->ctx->signer, entry->key, &entry->in.rate, &entry->in.room, e);

    if (err != P11S_OK)
      return err;
  }
  return P11S_OK;
}

/* -- saying it */

static void print_entry(const struct work *w, const struct entry *entry, struct p11s_table *t,
                        struct p11s_buf *advice)
{
  struct p11s_forecast f;
  char refill[32];

  p11s_forecast_make(&entry->in, &f);
  p11s_forecast_advise(&entry->in, &f, advice);
  p11s_table_row(t);
  p11s_table_string(t, MODULE, entry->module);
  p11s_table_string(t, SLOT, entry->slot);
  p11s_table_number(t, WEEK, entry->in.week);
  p11s_table_number(t, OF_KEYS, entry->in.of_keys);
  if (f.rate > 0) {
    p11s_table_decimal(t, RATE, f.rate);
    p11s_table_decimal(t, SESSIONS, f.sessions);
    p11s_duration(refill, sizeof refill, f.refill_s);
    p11s_table_string(t, REFILL, refill);
  }
  if (f.rate > 0 && w->ctx->json) {
    p11s_table_number(t, REFILL_S, f.refill_s);
    p11s_table_number(t, AHEAD_S, f.ahead_s);
  }
  p11s_table_string(t, KEEPS_UP, p11s_forecast_keeps_up_name(f.keeps_up));
  if (w->ctx->json) {
    p11s_table_items(t, ADVICE, advice);
    p11s_table_items(t, LEFT_OUT, &w->left_out);
  }
}

static enum p11s_err print_all(const struct work *w, struct p11s_error *e)
{
  static const char *const columns[] = {
      "module",   "slot",           "week",          "of_keys", "rate",     "sessions", "refill",
      "keeps_up", "refill_seconds", "ahead_seconds", "advice",  "left_out", NULL};
  struct p11s_table *t = p11s_table_new(columns);
  struct p11s_buf lines = P11S_BUF_INIT;
  enum p11s_err err;

  for (size_t i = 0; i < w->count; i++) {
    struct p11s_buf advice = P11S_BUF_INIT;

    print_entry(w, &w->entries[i], t, &advice);
    p11s_buf_addf(&lines, "\n%s (module %s):\n", w->entries[i].slot, w->entries[i].module);
    for (const char *text = NULL; (text = p11s_buf_next_text(&advice, text)) != NULL;)
      p11s_buf_addf(&lines, "  - %s\n", text);
    p11s_buf_clear(&advice);
  }
  err = p11s_command_print(w->ctx, t, "no key is on a token", e);
  if (!w->ctx->json)
    p11s_buf_add(w->ctx->out, p11s_buf_text(&lines), lines.len);
  p11s_command_say_each(w->ctx, "Not counted: ", &w->left_out);
  p11s_buf_clear(&lines);
  return err;
}

enum p11s_err p11s_command_forecast(const struct p11s_command_ctx *ctx, struct p11s_error *e)
{
  struct work w = {.ctx = ctx,
                   .zone = ctx->arg[0],
                   .measure = ctx->option,
                   .start = p11s_week_start(p11s_record_now())};
  enum p11s_err err = w.zone != NULL ? p11s_command_check_zone(ctx, w.zone, e) : P11S_OK;

  if (err == P11S_OK)
    err = p11s_command_collect_keys(ctx, w.zone, &w.keys, e);
  if (err == P11S_OK)
    err = make_entries(&w, e);
  if (err == P11S_OK && w.count > 0)
    err = count_all(&w, e);
  if (err == P11S_OK)
    err = find_rates(&w, e);
  for (size_t i = 0; i < w.count; i++)
    choose_counts(&w, &w.entries[i]);
  if (err == P11S_OK)
    err = print_all(&w, e);
  free(w.entries);
  p11s_buf_clear(&w.left_out);
  p11s_command_release_keys(&w.keys);
  return err;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "signer/internal.h"

#include "ahead/ahead.h"
#include "base/lock.h"
#include "pin/guard.h"
#include "ahead/prepare.h"
#include "token/status_file.h"
#include "sign/sign.h"
#include "store/lazy.h"
#include "store/fleet/fleet.h"
#include "token/tokens.h"

#include <stdlib.h>
#include <string.h>

#define STUCK_LEAST_MS 1000
#define KEY_IDLE_MS 600000
#define KEY_IDLE_AHEAD_MS 86400000 /* a zone that few ask for is signed ahead too */

static bool is_stopped(struct p11s_signer *s)
{
  bool stopped;

  p11s_lock(&s->lock);
  stopped = s->stopped;
  p11s_unlock(&s->lock);
  return stopped;
}

/* Behind the opening of the store, in whose thread this is. Without one it looks after the tokens
   only. */
static void start_ahead(void *arg)
{
  struct p11s_signer *s = arg;
  const struct p11s_ahead_config config = {.keys = s->keys,
                                           .tokens = s->tokens,
                                           .flights = s->flights,
                                           .store = p11s_lazy_store_peek(s->store),
                                           .state_dir = s->config.state_dir,
                                           .weeks = s->config.ahead_weeks,
                                           .rate = s->config.ahead_rate,
                                           .expiry_extension = s->config.expiry_extension,
                                           .hosts = s->config.hosts};

  if (!s->config.ahead)
    return;
  atomic_store(&s->ahead, p11s_ahead_start(&config));
  if (is_stopped(s))
    (void)p11s_ahead_stop(atomic_load(&s->ahead), p11s_now_ms());
}

static struct p11s_lazy_store *new_store(struct p11s_signer *s)
{
  const struct p11s_lazy_store_config config = {
      .store = {s->config.state_dir, s->config.store_mib, s->config.fleet, false},
      .wanted = s->config.store && s->config.state_dir[0] != '\0',
      .tried = start_ahead,
      .arg = s};

  return p11s_lazy_store_new(&config);
}

/* When a server has started, or behind the first use of a token. */
static void start_report(void *arg)
{
  struct p11s_signer *s = arg;
  struct p11s_status *report;
  bool stopped;

  if (!s->config.report || atomic_exchange(&s->report_asked, true))
    return;
  report = p11s_status_start(s->tokens, s->config.state_dir, s->config.host_settings);
  p11s_lock(&s->lock);
  stopped = s->stopped;
  if (!stopped)
    s->report = report;
  p11s_unlock(&s->lock);
  if (stopped)
    p11s_status_stop(report, p11s_now_ms());
}

static struct p11s_tokens *new_tokens(struct p11s_signer *s)
{
  /* Queries that give up sooner do not make a slow token one that hangs. */
  unsigned stuck_ms = s->config.timeout_ms < STUCK_LEAST_MS ? STUCK_LEAST_MS : s->config.timeout_ms;
  const struct p11s_tokens_config config = {
      .token = {s->config.sessions, s->config.pin_source, s->guard, &s->crowd, stuck_ms},
      .first = start_report,
      .arg = s};

  return p11s_tokens_new(&config);
}

static struct p11s_key_table *new_keys(struct p11s_signer *s)
{
  const struct p11s_key_table_config config = {s->tokens, s->store,
                                               s->config.ahead ? KEY_IDLE_AHEAD_MS : KEY_IDLE_MS};

  return p11s_key_table_new(&config);
}

static char *copy_of(const char *text)
{
  return strdup(text != NULL ? text : "");
}

/* false: no memory. Nothing of the caller's is left in s->config either way. */
static bool copy_config(struct p11s_signer *s, const struct p11s_config *config)
{
  s->config = *config;
  s->config.pin_source = copy_of(config->pin_source);
  s->config.state_dir = copy_of(config->state_dir);
  s->config.host_settings = copy_of(config->host_settings);
  s->config.fleet = config->fleet != NULL ? p11s_fleet_config_copy(config->fleet) : NULL;
  return s->config.pin_source != NULL && s->config.state_dir != NULL &&
         s->config.host_settings != NULL && (config->fleet == NULL || s->config.fleet != NULL);
}

static void free_config(struct p11s_config *config)
{
  free((char *)config->pin_source);
  free((char *)config->state_dir);
  free((char *)config->host_settings);
  p11s_fleet_config_free((struct p11s_fleet_config *)config->fleet);
}

/* false: no memory, or no random numbers. */
static bool make_parts(struct p11s_signer *s)
{
  const struct p11s_config *config = &s->config;

  s->guard = p11s_pin_guard_new(config->state_dir);
  s->store = new_store(s);
  s->tokens = new_tokens(s);
  s->keys = new_keys(s);
  s->flights = p11s_flights_new(config->verify);
  return s->guard != NULL && s->store != NULL && s->tokens != NULL && s->keys != NULL &&
         s->flights != NULL;
}

enum p11s_err p11s_signer_new(const struct p11s_config *config, struct p11s_signer **ret_signer,
                              struct p11s_error *e)
{
  struct p11s_signer *s = calloc(1, sizeof *s);

  if (s == NULL)
    return p11s_error_no_memory(e);
  p11s_mutex_init(&s->lock, P11S_RANK_ALONE);
  p11s_admission_init(&s->crowd, config->query_threads, config->query_dealt);
  if (!copy_config(s, config) || !make_parts(s)) {
    p11s_signer_free(s);
    return p11s_error_no_memory(e);
  }
  *ret_signer = s;
  return P11S_OK;
}

bool p11s_signer_stop(struct p11s_signer *s, uint64_t deadline_ms)
{
  struct p11s_status *report;
  bool all_back;

  if (!p11s_mutex_lock_until(&s->lock, deadline_ms))
    return false;
  s->stopped = true;
  report = s->report;
  s->report = NULL;
  p11s_unlock(&s->lock);
  p11s_status_stop(report, deadline_ms);
  all_back = p11s_prepare_stop(atomic_load(&s->prepare), deadline_ms);
  all_back = p11s_ahead_stop(atomic_load(&s->ahead), deadline_ms) && all_back;
  all_back = p11s_tokens_stop(s->tokens, deadline_ms) && all_back;
  /* Behind the workers: it keeps what they have made last. */
  return p11s_lazy_store_stop(s->store, deadline_ms) && all_back;
}

void p11s_signer_prepare(struct p11s_signer *s, uint64_t deadline_ms)
{
  const struct p11s_prepare_config config = {s->keys, s->store, s->config.hosts};
  struct p11s_prepare *prepare;

  if (atomic_exchange(&s->prepare_asked, true))
    return;
  start_report(s);
  if (!s->config.prepare)
    return;
  prepare = p11s_prepare_start(&config);
  atomic_store(&s->prepare, prepare);
  if (is_stopped(s))
    (void)p11s_prepare_stop(prepare, p11s_now_ms());
  else
    (void)p11s_prepare_await(prepare, false, deadline_ms);
}

void p11s_signer_free(struct p11s_signer *s)
{
  if (s == NULL)
    return;
  /* A worker still out there uses keys, flights and token: leaking them is the lesser evil. */
  if (!p11s_signer_stop(s, p11s_now_ms() + 2000))
    return;
  p11s_prepare_free(atomic_load(&s->prepare));
  p11s_flights_free(s->flights);
  p11s_key_table_free(s->keys);
  p11s_tokens_free(s->tokens);
  p11s_ahead_free(atomic_load(&s->ahead));
  p11s_lazy_store_free(s->store);
  p11s_pin_guard_free(s->guard);
  p11s_admission_fini(&s->crowd);
  p11s_mutex_destroy(&s->lock);
  free_config(&s->config);
  free(s);
}

const struct p11s_config *p11s_signer_config(const struct p11s_signer *s)
{
  return &s->config;
}

struct p11s_pin_guard *p11s_signer_pin_guard(struct p11s_signer *s)
{
  return s->guard;
}

struct p11s_store *p11s_signer_store(struct p11s_signer *s)
{
  return p11s_lazy_store_get(s->store);
}

void p11s_signer_open_store(struct p11s_signer *s, uint64_t deadline_ms)
{
  p11s_lazy_store_open(s->store, deadline_ms);
}

struct p11s_key_table *p11s_signer_keys(struct p11s_signer *s)
{
  return s->keys;
}

enum p11s_err p11s_signer_key(struct p11s_signer *s, const struct p11s_keyref *ref,
                              struct p11s_key **ret_key, struct p11s_error *e)
{
  return p11s_key_table_get(s->keys, ref, ret_key, e);
}

struct p11s_key *p11s_signer_find_key(struct p11s_signer *s, const unsigned char *identity)
{
  return p11s_key_table_find(s->keys, identity);
}

struct p11s_flights *p11s_signer_flights(struct p11s_signer *s)
{
  return s->flights;
}

uint64_t p11s_signer_query_deadline(const struct p11s_signer *s)
{
  return p11s_now_ms() + s->config.timeout_ms;
}

uint64_t p11s_signer_admin_deadline(const struct p11s_signer *s)
{
  return p11s_now_ms() + s->config.transfer_timeout_ms;
}

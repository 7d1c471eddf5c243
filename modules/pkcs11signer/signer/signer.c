/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "signer/internal.h"

#include "ahead/ahead.h"
#include "base/crypto.h"
#include "base/lock.h"
#include "pin/guard.h"
#include "ahead/prepare.h"
#include "token/status_file.h"
#include "sign/sign.h"
#include "store/lazy.h"
#include "store/fleet/fleet.h"
#include "token/token.h"

#include <stdlib.h>
#include <string.h>

/* Behind the opening of the store, in whose thread this is. Without one it looks after the tokens
   only. */
static void start_ahead(void *arg)
{
  struct p11s_signer *s = arg;
  bool stopped;

  if (!s->config.ahead)
    return;
  atomic_store(&s->ahead, p11s_ahead_start(s));
  pthread_mutex_lock(&s->lock);
  stopped = s->stopped;
  pthread_mutex_unlock(&s->lock);
  if (stopped)
    (void)p11s_ahead_stop(atomic_load(&s->ahead), p11s_now_ms());
}

static struct p11s_lazy_store *new_store(struct p11s_signer *s)
{
  const struct p11s_lazy_store_config config = {
      .store = {s->state_dir, s->config.store_mib, s->fleet, false},
      .wanted = s->config.store && s->state_dir != NULL && s->state_dir[0] != '\0',
      .tried = start_ahead,
      .arg = s};

  return p11s_lazy_store_new(&config);
}

enum p11s_err p11s_signer_new(const struct p11s_config *config, struct p11s_signer **ret_signer,
                              struct p11s_error *e)
{
  struct p11s_signer *s = calloc(1, sizeof *s);

  if (s == NULL)
    return p11s_error_set(e, P11S_ERR_NOMEM, "out of memory");
  pthread_mutex_init(&s->lock, NULL);
  s->config = *config;
  s->pin_source = strdup(config->pin_source != NULL ? config->pin_source : "");
  s->config.pin_source = s->pin_source;
  s->state_dir = strdup(config->state_dir != NULL ? config->state_dir : "");
  s->config.state_dir = s->state_dir;
  s->host_settings = strdup(config->host_settings != NULL ? config->host_settings : "");
  s->config.host_settings = s->host_settings;
  if (config->fleet != NULL)
    s->config.fleet = s->fleet = p11s_mysql_config_copy(config->fleet);
  s->store = new_store(s);
  s->flights = p11s_flights_new();
  s->guard = p11s_pinguard_new(s->state_dir);
  p11s_crowd_init(&s->crowd, config->query_threads, config->query_dealt);
  s->swept_ms = p11s_now_ms();
  if (s->pin_source == NULL || s->state_dir == NULL || s->host_settings == NULL ||
      (config->fleet != NULL && s->fleet == NULL) || s->store == NULL || s->flights == NULL ||
      s->guard == NULL || !p11s_random(s->secret, sizeof s->secret)) {
    p11s_signer_free(s);
    return p11s_error_set(e, P11S_ERR_NOMEM, "out of memory");
  }
  *ret_signer = s;
  return P11S_OK;
}

bool p11s_signer_stop(struct p11s_signer *s, uint64_t deadline_ms)
{
  struct token_entry *tokens;
  struct p11s_report *report;
  bool all_back = true;

  if (!p11s_mutex_lock_until(&s->lock, deadline_ms))
    return false;
  s->stopped = true;
  report = s->report;
  s->report = NULL;
  tokens = s->tokens; /* entries stay until p11s_signer_free() */
  pthread_mutex_unlock(&s->lock);
  p11s_report_stop(report, deadline_ms);
  all_back = p11s_prepare_stop(atomic_load(&s->prepare), deadline_ms);
  all_back = p11s_ahead_stop(atomic_load(&s->ahead), deadline_ms) && all_back;
  for (; tokens != NULL; tokens = tokens->next)
    if (!p11s_token_stop(tokens->token, deadline_ms))
      all_back = false;
  /* Behind the workers: it keeps what they have made last. */
  return p11s_lazy_store_stop(s->store, deadline_ms) && all_back;
}

void p11s_signer_prepare(struct p11s_signer *s, uint64_t deadline_ms)
{
  struct p11s_prepare *prepare;
  bool stopped;

  if (!s->config.prepare || atomic_exchange(&s->prepare_asked, true))
    return;
  prepare = p11s_prepare_start(s);
  atomic_store(&s->prepare, prepare);
  pthread_mutex_lock(&s->lock);
  stopped = s->stopped;
  pthread_mutex_unlock(&s->lock);
  if (stopped)
    (void)p11s_prepare_stop(prepare, p11s_now_ms());
  else
    (void)p11s_prepare_await_tokens(prepare, deadline_ms);
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
  p11s_signer_free_keys(s);
  while (s->tokens != NULL) {
    struct token_entry *t = s->tokens;

    s->tokens = t->next;
    p11s_token_free(t->token);
    free(t);
  }
  p11s_ahead_free(atomic_load(&s->ahead));
  p11s_lazy_store_free(s->store);
  p11s_pinguard_free(s->guard);
  p11s_crowd_fini(&s->crowd);
  p11s_wipe(s->secret, sizeof s->secret);
  pthread_mutex_destroy(&s->lock);
  free(s->pin_source);
  p11s_mysql_config_free(s->fleet);
  free(s->state_dir);
  free(s->host_settings);
  free(s);
}

const struct p11s_config *p11s_signer_config(const struct p11s_signer *s)
{
  return &s->config;
}

struct p11s_pinguard *p11s_signer_pinguard(struct p11s_signer *s)
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

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ahead/prepare.h"

#include "ahead/host.h"
#include "ahead/prepare_internal.h"
#include "base/array.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/service.h"
#include "sign/key_table.h"
#include "store/lazy.h"

#include <stdlib.h>
#include <sys/queue.h>

/* A token and the keys that are to be found on it, in their order. */
struct token_keys {
  SLIST_ENTRY(token_keys) next; /* immutable, like the next two */
  struct p11s_prepare *prepare;
  struct p11s_token *token;
  struct p11s_key **keys; /* the thread's own, each with a reference */
  size_t count;

  /* guarded by the lock */
  size_t begun;
  bool under_way; /* the last that has begun */
  bool given_up;
  uint64_t begun_ms;
};

struct p11s_prepare {
  struct p11s_prepare_config config; /* immutable, like the next one */
  uint64_t deadline_ms;
  struct p11s_service thread; /* its lock guards the rest */
  SLIST_HEAD(, token_keys) tokens;
  bool read; /* no more tokens will come */
};

/* -- finding keys */

/* Whether another key of the token may fare better. */
static bool is_about_key(enum p11s_err result)
{
  switch (result) {
  case P11S_OK:
  case P11S_ERR_NO_KEY:
  case P11S_ERR_KEY_TYPE:
  case P11S_ERR_KEY_MISMATCH:
  case P11S_ERR_MECHANISM:
  case P11S_ERR_SIGNATURE:
    return true;
  default:
    return false;
  }
}

static void note_end(enum p11s_err result, void *arg)
{
  struct token_keys *t = arg;
  struct p11s_prepare *p = t->prepare;

  p11s_lock(&p->thread.lock);
  t->under_way = false;
  t->given_up = !is_about_key(result);
  pthread_cond_broadcast(&p->thread.changed);
  p11s_unlock(&p->thread.lock);
}

static bool is_waiting_locked(const struct token_keys *t)
{
  return !t->under_way && !t->given_up && t->begun < t->count;
}

/* A call that hangs is not waited for. */
static unsigned count_under_way_locked(const struct p11s_prepare *p)
{
  const struct token_keys *t;
  uint64_t now = p11s_now_ms();
  unsigned count = 0;

  SLIST_FOREACH(t, &p->tokens, next)
  count += t->under_way && now - t->begun_ms < P11S_PREPARE_TURN_MS;
  return count;
}

/* The token that waits for its first key, or else the one that has waited for longest. */
static struct token_keys *next_locked(const struct p11s_prepare *p)
{
  struct token_keys *next = NULL, *t;

  SLIST_FOREACH(t, &p->tokens, next)
  if (is_waiting_locked(t) && (next == NULL || t->begun_ms < next->begun_ms))
    next = t;
  return next;
}

/* false: there is none, or too many are under way. */
static bool begin_one(struct p11s_prepare *p)
{
  struct token_keys *t = NULL;
  struct p11s_key *key = NULL;

  p11s_lock(&p->thread.lock);
  if (!atomic_load(&p->thread.stop) && count_under_way_locked(p) < P11S_PREPARE_TOKENS)
    t = next_locked(p);
  if (t != NULL) {
    key = t->keys[t->begun++];
    t->under_way = true;
    t->begun_ms = p11s_now_ms();
  }
  p11s_unlock(&p->thread.lock);
  if (key != NULL)
    p11s_key_prepare(key, note_end, t);
  return key != NULL;
}

static void begin_all(struct p11s_prepare *p)
{
  while (begin_one(p))
    ;
}

static bool is_done_locked(const struct p11s_prepare *p)
{
  const struct token_keys *t;
  bool done = true;

  SLIST_FOREACH(t, &p->tokens, next)
  done = done && !t->under_way && !is_waiting_locked(t);
  return done;
}

static void find_all(struct p11s_prepare *p)
{
  bool done = false;

  while (!done) {
    begin_all(p);
    p11s_lock(&p->thread.lock);
    done = is_done_locked(p) || atomic_load(&p->thread.stop) || p11s_now_ms() >= p->deadline_ms;
    if (!done)
      (void)p11s_cond_wait_until(&p->thread.changed, &p->thread.lock,
                                 p11s_now_ms() + P11S_PREPARE_TURN_MS);
    p11s_unlock(&p->thread.lock);
  }
}

/* -- which keys */

static struct token_keys *token_of(struct p11s_prepare *p, struct p11s_token *token)
{
  struct token_keys *t;

  SLIST_FOREACH(t, &p->tokens, next) /* nobody else adds to it */
  if (t->token == token)
    return t;
  t = calloc(1, sizeof *t);
  if (t == NULL)
    return NULL;
  t->prepare = p;
  t->token = token;
  p11s_lock(&p->thread.lock);
  SLIST_INSERT_HEAD(&p->tokens, t, next);
  p11s_unlock(&p->thread.lock);
  return t;
}

static void add_key(struct p11s_prepare *p, struct p11s_key *key)
{
  struct token_keys *t = token_of(p, p11s_key_token(key));
  struct p11s_key **place;

  if (t == NULL || t->count == P11S_PREPARE_KEYS)
    return;
  for (size_t i = 0; i < t->count; i++)
    if (t->keys[i] == key)
      return;
  place = P11S_ARRAY_ADD(t->keys, t->count);
  if (place != NULL)
    *place = p11s_key_acquire(key);
}

#define ZONE_KEYS 16

struct reading {
  struct p11s_key_table *table;
  struct p11s_key *keys[ZONE_KEYS];
  size_t count;
};

static bool read_ref(const struct p11s_row *row, const struct p11s_keyref *ref, void *arg)
{
  struct reading *r = arg;

  if (row->active && p11s_key_table_get(r->table, ref, &r->keys[r->count], NULL) == P11S_OK)
    r->count++;
  return r->count < ZONE_KEYS;
}

/* The keys that sign the zone. */
static enum p11s_err read_zone(struct p11s_prepare *p, const struct p11s_host *host,
                               const char *zone, struct p11s_error *e)
{
  struct reading r = {.table = p->config.keys};
  struct p11s_zone_state state = {.presigned = true};
  enum p11s_err result = p11s_host_each_ref(host, zone, read_ref, &r, e);

  if (result == P11S_OK && r.count > 0)
    result = host->zone_state(host->ctx, zone, &state, e);
  for (size_t i = 0; i < r.count; i++) {
    if (result == P11S_OK && !state.presigned)
      add_key(p, r.keys[i]);
    p11s_key_release(r.keys[i]);
  }
  return result;
}

static enum p11s_err read_zones(struct p11s_prepare *p, const struct p11s_host *host,
                                struct p11s_error *e)
{
  uint64_t deadline = p11s_now_ms() + P11S_PREPARE_READ_MS;
  struct p11s_prepare_zones zones = {NULL, 0};
  enum p11s_err result = p11s_prepare_zones_list(p11s_lazy_store_get(p->config.store), host,
                                                 &p->thread.stop, &zones, e);

  for (size_t i = 0; result == P11S_OK && i < zones.count && p11s_now_ms() < deadline &&
                     !atomic_load(&p->thread.stop);
       i++) {
    result = read_zone(p, host, zones.zones[i].name, e);
    begin_all(p);
  }
  p11s_prepare_zones_clear(&zones);
  return result;
}

static void read_database(struct p11s_prepare *p)
{
  const struct p11s_host_source *source = p->config.hosts;
  struct p11s_error error = {0};
  struct p11s_host host;
  enum p11s_err result = source->open(&host, &error);

  if (result == P11S_OK) {
    result = read_zones(p, &host, &error);
    source->close(&host);
  }
  if (result != P11S_OK)
    p11s_log_debug("which keys there are is not known yet: %s; the first query of each zone finds "
                   "its own",
                   error.text);
}

/* -- the thread */

static void run(void *arg)
{
  struct p11s_prepare *p = arg;
  struct token_keys *t;

  read_database(p);
  p11s_lock(&p->thread.lock);
  p->read = true;
  pthread_cond_broadcast(&p->thread.changed);
  p11s_unlock(&p->thread.lock);
  find_all(p);
  SLIST_FOREACH(t, &p->tokens, next)
  for (size_t i = 0; i < t->count; i++)
    p11s_key_release(t->keys[i]);
}

struct p11s_prepare *p11s_prepare_start(const struct p11s_prepare_config *config)
{
  struct p11s_prepare *p;

  if (config->hosts == NULL || (p = calloc(1, sizeof *p)) == NULL)
    return NULL;
  p->config = *config;
  p->deadline_ms = p11s_now_ms() + P11S_PREPARE_MS;
  SLIST_INIT(&p->tokens);
  p11s_service_init(&p->thread);
  if (p11s_service_start(&p->thread, "p11s/prepare", run, p))
    return p;
  p11s_prepare_free(p);
  return NULL;
}

static bool is_ready_locked(const struct p11s_prepare *p, bool end)
{
  const struct token_keys *t;
  bool ready = p->read && !end;

  SLIST_FOREACH(t, &p->tokens, next)
  ready = ready && (t->count == 0 || t->begun > t->under_way);
  return ready || p->thread.ended;
}

bool p11s_prepare_await(struct p11s_prepare *p, bool end, uint64_t deadline_ms)
{
  bool ready;

  if (p == NULL)
    return true;
  if (!p11s_mutex_lock_until(&p->thread.lock, deadline_ms))
    return false;
  while (!is_ready_locked(p, end) &&
         p11s_cond_wait_until(&p->thread.changed, &p->thread.lock, deadline_ms))
    ;
  ready = is_ready_locked(p, end);
  p11s_unlock(&p->thread.lock);
  return ready;
}

bool p11s_prepare_stop(struct p11s_prepare *p, uint64_t deadline_ms)
{
  return p == NULL || p11s_service_stop(&p->thread, deadline_ms);
}

void p11s_prepare_free(struct p11s_prepare *p)
{
  struct token_keys *t;

  if (p == NULL)
    return;
  while ((t = SLIST_FIRST(&p->tokens)) != NULL) {
    SLIST_REMOVE_HEAD(&p->tokens, next);
    free(t->keys);
    free(t);
  }
  p11s_service_destroy(&p->thread);
  free(p);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ahead/prepare.h"

#include "ahead/host.h"
#include "sign/key_table.h"
#include "format/keyref.h"
#include "base/lock.h"
#include "base/log.h"
#include "ahead/prepare_internal.h"
#include "base/thread.h"
#include "store/lazy.h"

#include <stdlib.h>

/* A token and the keys that are to be found on it, in their order. */
struct token_keys {
  struct token_keys *next; /* immutable, like the next two */
  struct p11s_prepare *prepare;
  struct p11s_token *token;
  struct p11s_key **keys; /* the thread's own; from keys[begun] on, each with a reference */
  size_t count, begun;

  /* guarded by the lock */
  bool under_way;
  bool tried; /* the first one has ended */
  bool given_up;
  uint64_t begun_ms;
};

struct p11s_prepare {
  struct p11s_prepare_config config; /* immutable, like the next one */
  uint64_t deadline_ms;
  pthread_t thread;
  atomic_bool stop; /* for who is in the middle of something */

  struct p11s_mutex lock; /* guards the rest */
  pthread_cond_t changed;
  struct token_keys *tokens;
  bool read; /* no more tokens will come */
  bool stopping;
  bool ended;
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

  p11s_lock(&p->lock);
  t->under_way = false;
  t->tried = true;
  t->given_up = !is_about_key(result);
  pthread_cond_broadcast(&p->changed);
  p11s_unlock(&p->lock);
}

static bool is_waiting_locked(const struct token_keys *t)
{
  return !t->under_way && !t->given_up && t->begun < t->count;
}

/* A call that hangs is not waited for. */
static unsigned count_under_way_locked(const struct p11s_prepare *p)
{
  uint64_t now = p11s_now_ms();
  unsigned count = 0;

  for (const struct token_keys *t = p->tokens; t != NULL; t = t->next)
    count += t->under_way && now - t->begun_ms < P11S_PREPARE_TURN_MS;
  return count;
}

/* The token that waits for its first key, or else the one that has waited for longest. */
static struct token_keys *next_locked(const struct p11s_prepare *p)
{
  struct token_keys *next = NULL;

  for (struct token_keys *t = p->tokens; t != NULL; t = t->next)
    if (is_waiting_locked(t) && (next == NULL || t->begun_ms < next->begun_ms))
      next = t;
  return next;
}

/* false: there is none, or too many are under way. */
static bool begin_one(struct p11s_prepare *p)
{
  struct token_keys *t = NULL;

  p11s_lock(&p->lock);
  if (!p->stopping && count_under_way_locked(p) < P11S_PREPARE_TOKENS)
    t = next_locked(p);
  if (t != NULL) {
    t->under_way = true;
    t->begun_ms = p11s_now_ms();
  }
  p11s_unlock(&p->lock);
  if (t == NULL)
    return false;
  p11s_key_prepare(t->keys[t->begun], note_end, t);
  p11s_key_release(t->keys[t->begun++]);
  return true;
}

static void begin_all(struct p11s_prepare *p)
{
  while (begin_one(p))
    ;
}

static bool is_done_locked(const struct p11s_prepare *p)
{
  bool done = true;

  for (const struct token_keys *t = p->tokens; t != NULL; t = t->next)
    done = done && !t->under_way && !is_waiting_locked(t);
  return done;
}

static void find_all(struct p11s_prepare *p)
{
  bool done = false;

  while (!done) {
    begin_all(p);
    p11s_lock(&p->lock);
    done = is_done_locked(p) || p->stopping || p11s_now_ms() >= p->deadline_ms;
    if (!done)
      (void)p11s_cond_wait_until(&p->changed, &p->lock, p11s_now_ms() + P11S_PREPARE_TURN_MS);
    p11s_unlock(&p->lock);
  }
}

/* -- which keys */

static struct token_keys *token_of(struct p11s_prepare *p, struct p11s_token *token)
{
  struct token_keys *t = p->tokens; /* nobody else adds to it */

  while (t != NULL && t->token != token)
    t = t->next;
  if (t != NULL)
    return t;
  t = calloc(1, sizeof *t);
  if (t == NULL)
    return NULL;
  p11s_lock(&p->lock);
  *t = (struct token_keys){.next = p->tokens, .prepare = p, .token = token};
  p->tokens = t;
  p11s_unlock(&p->lock);
  return t;
}

/* Takes over the reference. */
static void add_key(struct p11s_prepare *p, struct p11s_key *key)
{
  struct token_keys *t = token_of(p, p11s_key_token(key));
  struct p11s_key **more = NULL;
  size_t i = 0;

  while (t != NULL && i < t->count && t->keys[i] != key)
    i++;
  if (t != NULL && i == t->count && i < P11S_PREPARE_KEYS)
    more = reallocarray(t->keys, i + 1, sizeof(struct p11s_key *));
  if (more == NULL) {
    p11s_key_release(key);
    return;
  }
  t->keys = more;
  t->keys[t->count++] = key;
}

#define ZONE_KEYS 16

struct reading {
  struct p11s_key_table *table;
  struct p11s_key *keys[ZONE_KEYS];
  size_t count;
};

static bool read_row(const struct p11s_row *row, void *arg)
{
  struct reading *r = arg;
  struct p11s_keyref *ref = NULL;

  if (row->active && p11s_keyref_is_ours(row->content, row->content_len) &&
      p11s_keyref_parse(row->content, row->content_len, &ref, NULL) == P11S_OK &&
      p11s_key_table_get(r->table, ref, &r->keys[r->count], NULL) == P11S_OK)
    r->count++;
  p11s_keyref_free(ref);
  return r->count < ZONE_KEYS;
}

/* The keys that sign the zone. */
static enum p11s_err read_zone(struct p11s_prepare *p, const struct p11s_host *host,
                               const char *zone, struct p11s_error *e)
{
  struct reading r = {.table = p->config.keys};
  struct p11s_zone_state state = {.presigned = true};
  enum p11s_err result = host->each_row(host->ctx, zone, read_row, &r, e);

  if (result == P11S_OK && r.count > 0)
    result = host->zone_state(host->ctx, zone, &state, e);
  for (size_t i = 0; i < r.count; i++) {
    if (result == P11S_OK && !state.presigned)
      add_key(p, r.keys[i]);
    else
      p11s_key_release(r.keys[i]);
  }
  return result;
}

static enum p11s_err read_zones(struct p11s_prepare *p, const struct p11s_host *host,
                                struct p11s_error *e)
{
  uint64_t deadline = p11s_now_ms() + P11S_PREPARE_READ_MS;
  struct p11s_prepare_zones zones = {NULL, 0, 0};
  enum p11s_err result =
      p11s_prepare_zones_list(p11s_lazy_store_get(p->config.store), host, &p->stop, &zones, e);

  for (size_t i = 0;
       result == P11S_OK && i < zones.count && p11s_now_ms() < deadline && !atomic_load(&p->stop);
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

static void *prepare_main(void *arg)
{
  struct p11s_prepare *p = arg;

  (void)pthread_setname_np(pthread_self(), "p11s/prepare");
  read_database(p);
  p11s_lock(&p->lock);
  p->read = true;
  pthread_cond_broadcast(&p->changed);
  p11s_unlock(&p->lock);
  find_all(p);
  for (struct token_keys *t = p->tokens; t != NULL; t = t->next)
    while (t->begun < t->count)
      p11s_key_release(t->keys[t->begun++]);
  p11s_lock(&p->lock);
  p->ended = true;
  pthread_cond_broadcast(&p->changed);
  p11s_unlock(&p->lock);
  return NULL;
}

struct p11s_prepare *p11s_prepare_start(const struct p11s_prepare_config *config)
{
  struct p11s_prepare *p;

  if (config->hosts == NULL || (p = calloc(1, sizeof *p)) == NULL)
    return NULL;
  p->config = *config;
  p->deadline_ms = p11s_now_ms() + P11S_PREPARE_MS;
  p11s_mutex_init(&p->lock, P11S_RANK_ALONE);
  p11s_cond_init(&p->changed);
  if (p11s_thread_start(&p->thread, prepare_main, p))
    return p;
  p11s_prepare_free(p);
  return NULL;
}

static bool is_ready_locked(const struct p11s_prepare *p)
{
  bool ready = p->read;

  for (const struct token_keys *t = p->tokens; t != NULL; t = t->next)
    ready = ready && (t->tried || t->count == 0);
  return ready;
}

/* false: not until the deadline. */
static bool wait_for(struct p11s_prepare *p, bool (*is_so_locked)(const struct p11s_prepare *p),
                     uint64_t deadline_ms)
{
  bool is_so;

  if (p == NULL)
    return true;
  if (!p11s_mutex_lock_until(&p->lock, deadline_ms))
    return false;
  while (!p->ended && !is_so_locked(p) && p11s_cond_wait_until(&p->changed, &p->lock, deadline_ms))
    ;
  is_so = p->ended || is_so_locked(p);
  p11s_unlock(&p->lock);
  return is_so;
}

bool p11s_prepare_await_tokens(struct p11s_prepare *p, uint64_t deadline_ms)
{
  return wait_for(p, is_ready_locked, deadline_ms);
}

static bool has_ended_locked(const struct p11s_prepare *p)
{
  return p->ended;
}

bool p11s_prepare_await_end(struct p11s_prepare *p, uint64_t deadline_ms)
{
  return wait_for(p, has_ended_locked, deadline_ms);
}

bool p11s_prepare_stop(struct p11s_prepare *p, uint64_t deadline_ms)
{
  bool join;

  if (p == NULL)
    return true;
  atomic_store(&p->stop, true);
  if (!p11s_mutex_lock_until(&p->lock, deadline_ms))
    return false;
  join = !p->stopping;
  p->stopping = true;
  pthread_cond_broadcast(&p->changed);
  p11s_unlock(&p->lock);
  if (!p11s_prepare_await_end(p, deadline_ms))
    return false;
  if (join)
    (void)pthread_join(p->thread, NULL);
  return true;
}

void p11s_prepare_free(struct p11s_prepare *p)
{
  if (p == NULL)
    return;
  while (p->tokens != NULL) {
    struct token_keys *t = p->tokens;

    p->tokens = t->next;
    free(t->keys);
    free(t);
  }
  pthread_cond_destroy(&p->changed);
  p11s_mutex_destroy(&p->lock);
  free(p);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "store/fleet/fleet.h"

#include "base/buf.h"
#include "base/crypto.h"
#include "base/fork.h"
#include "base/lock.h"
#include "store/fleet/internal.h"

#include <stdlib.h>
#include <string.h>

#define CUT_MS 200 /* before the deadline */

/* -- opening */

#define TEXTS 5

static void list_texts(struct p11s_fleet_config *config, const char **ret_text[TEXTS])
{
  ret_text[0] = &config->host;
  ret_text[1] = &config->socket;
  ret_text[2] = &config->user;
  ret_text[3] = &config->password_file;
  ret_text[4] = &config->dbname;
}

void p11s_fleet_config_free(struct p11s_fleet_config *config)
{
  const char **text[TEXTS];

  if (config == NULL)
    return;
  list_texts(config, text);
  for (unsigned i = 0; i < TEXTS; i++)
    free((char *)*text[i]);
  p11s_secret_release(config->password);
  free(config);
}

struct p11s_fleet_config *p11s_fleet_config_copy(const struct p11s_fleet_config *config)
{
  struct p11s_fleet_config *own = malloc(sizeof *own);
  const char **text[TEXTS];
  bool good = true;

  if (own == NULL)
    return NULL;
  *own = *config;
  own->password = p11s_secret_acquire(config->password);
  list_texts(own, text);
  for (unsigned i = 0; i < TEXTS; i++)
    good = (*text[i] = strdup(*text[i] != NULL ? *text[i] : "")) != NULL && good;
  if (good)
    return own;
  p11s_fleet_config_free(own);
  return NULL;
}

static char *describe(const struct p11s_fleet_config *config)
{
  bool has_host = config->host != NULL && config->host[0] != '\0';
  bool has_socket = config->socket != NULL && config->socket[0] != '\0';
  struct p11s_buf b = P11S_BUF_INIT;

  p11s_buf_addf(&b, "'%s' on %s", config->dbname != NULL ? config->dbname : "",
                has_host     ? config->host
                : has_socket ? config->socket
                             : "this machine");
  if (has_host && config->port != 0)
    p11s_buf_addf(&b, " port %u", config->port);
  return b.failed ? NULL : b.data;
}

static void free_fleet(struct p11s_fleet *fleet)
{
  p11s_ops_free(&fleet->queue.ops);
  pthread_cond_destroy(&fleet->find.wake);
  p11s_service_destroy(&fleet->find.thread);
  pthread_cond_destroy(&fleet->write.wake);
  p11s_service_destroy(&fleet->write.thread);
  pthread_cond_destroy(&fleet->done);
  p11s_mutex_destroy(&fleet->lock);
  p11s_fleet_config_free(fleet->config);
  free(fleet->where);
  free(fleet);
}

enum p11s_err p11s_fleet_open(const struct p11s_fleet_config *config, struct p11s_fleet **ret,
                              struct p11s_error *e)
{
  struct p11s_fleet *fleet;

  if (!p11s_fleet_is_built()) {
    struct p11s_connection *none = NULL;

    return p11s_connection_open(config, 0, &none, e);
  }
  fleet = calloc(1, sizeof *fleet);
  if (fleet == NULL)
    return p11s_error_no_memory(e);
  p11s_mutex_init(&fleet->lock, P11S_RANK_ALONE);
  p11s_cond_init(&fleet->find.wake);
  p11s_service_init(&fleet->find.thread);
  p11s_cond_init(&fleet->write.wake);
  p11s_service_init(&fleet->write.thread);
  p11s_cond_init(&fleet->done);
  LIST_INIT(&fleet->requests);
  p11s_op_queue_init(&fleet->queue);
  fleet->generation = p11s_fork_generation();
  fleet->config = p11s_fleet_config_copy(config);
  fleet->where = describe(config);
  if (fleet->config == NULL || fleet->where == NULL ||
      !p11s_random(fleet->server, sizeof fleet->server)) {
    free_fleet(fleet);
    return p11s_error_no_memory(e);
  }
  *ret = fleet;
  return P11S_OK;
}

/* -- using */

void p11s_fleet_start(struct p11s_fleet *fleet)
{
  struct p11s_error error;
  bool finds, writes;

  if (!p11s_fleet_is_ours(fleet) || atomic_load_explicit(&fleet->started, memory_order_relaxed) ||
      atomic_exchange(&fleet->started, true))
    return;
  finds = p11s_service_start(&fleet->find.thread, "p11s/fleet-find", p11s_fleet_ask_main, fleet);
  writes = p11s_service_start(&fleet->write.thread, "p11s/fleet-put", p11s_fleet_write_main, fleet);
  if (finds && writes)
    return;
  (void)p11s_error_set(&error, P11S_ERR_NOMEM, "no thread could be started for it");
  p11s_fleet_note_failure(fleet, &error);
}

/* Starts it, too. */
static bool may_use(struct p11s_fleet *fleet)
{
  p11s_fleet_start(fleet);
  return p11s_fleet_is_ours(fleet);
}

enum p11s_store_found p11s_fleet_find(struct p11s_fleet *fleet, const struct p11s_question *q,
                                      const struct p11s_store_ask *ask, unsigned char *signature,
                                      size_t *signature_len)
{
  return q->len <= P11S_STORE_MAX_MESSAGE && may_use(fleet)
             ? p11s_fleet_lookup(fleet, q, ask, signature, signature_len)
             : P11S_STORE_ABSENT;
}

void p11s_fleet_put(struct p11s_fleet *fleet, const unsigned char *key,
                    const struct p11s_store_record *record)
{
  if (may_use(fleet))
    p11s_fleet_write_put(fleet, key, record);
}

void p11s_fleet_queue(struct p11s_fleet *fleet, enum p11s_op_kind kind, const unsigned char *key)
{
  if (may_use(fleet))
    p11s_fleet_write_queue(fleet, kind, key);
}

void p11s_fleet_get_stats(struct p11s_fleet *fleet, struct p11s_fleet_stats *ret)
{
  memset(ret, 0, sizeof *ret);
  if (!p11s_fleet_is_ours(fleet))
    return;
  p11s_lock(&fleet->lock);
  ret->connected = fleet->health.state == P11S_HEALTH_UP && !fleet->stopping;
  ret->queued = fleet->queue.in - fleet->queue.out;
  p11s_unlock(&fleet->lock);
}

/* -- stopping */

void p11s_fleet_begin_stop(struct p11s_fleet *fleet)
{
  /* The exit handler's thread may hold the lock: p11s_fleet_stop() waits for it no longer than its
     deadline. */
  if (!p11s_fleet_is_ours(fleet) || !p11s_trylock(&fleet->lock))
    return;
  fleet->stopping = true;
  p11s_fleet_wake_all_locked(fleet);
  p11s_unlock(&fleet->lock);
}

static bool stop_both(struct p11s_fleet *fleet, uint64_t deadline_ms)
{
  bool back = p11s_service_stop(&fleet->find.thread, deadline_ms);

  return p11s_service_stop(&fleet->write.thread, deadline_ms) && back;
}

static void cut_locked(struct p11s_fleet_link *link)
{
  if (link->conn != NULL)
    p11s_connection_cut(link->conn);
}

bool p11s_fleet_stop(struct p11s_fleet *fleet, uint64_t deadline_ms)
{
  if (!p11s_fleet_is_ours(fleet))
    return true;
  /* Whoever starts it now is too late. */
  (void)atomic_exchange(&fleet->started, true);
  if (!p11s_mutex_lock_until(&fleet->lock, deadline_ms))
    return false;
  fleet->stopping = true;
  p11s_fleet_wake_all_locked(fleet);
  p11s_unlock(&fleet->lock);
  if (stop_both(fleet, deadline_ms > CUT_MS ? deadline_ms - CUT_MS : 0))
    return true;
  if (!p11s_mutex_lock_until(&fleet->lock, deadline_ms))
    return false;
  cut_locked(&fleet->find);
  cut_locked(&fleet->write);
  p11s_unlock(&fleet->lock);
  return stop_both(fleet, deadline_ms);
}

void p11s_fleet_close(struct p11s_fleet *fleet, uint64_t deadline_ms)
{
  if (p11s_fleet_is_ours(fleet) && p11s_fleet_stop(fleet, deadline_ms))
    free_fleet(fleet);
}

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

static const char *copy(const char *text)
{
  return strdup(text != NULL ? text : "");
}

void p11s_fleet_config_free(struct p11s_fleet_config *config)
{
  if (config == NULL)
    return;
  free((char *)config->host);
  free((char *)config->socket);
  free((char *)config->user);
  free((char *)config->password_file);
  free((char *)config->dbname);
  p11s_secret_release(config->password);
  free(config);
}

struct p11s_fleet_config *p11s_fleet_config_copy(const struct p11s_fleet_config *config)
{
  struct p11s_fleet_config *own = calloc(1, sizeof *own);

  if (own == NULL)
    return NULL;
  own->host = copy(config->host);
  own->socket = copy(config->socket);
  own->port = config->port;
  own->user = copy(config->user);
  own->password = p11s_secret_acquire(config->password);
  own->password_file = copy(config->password_file);
  own->dbname = copy(config->dbname);
  own->timeout_ms = config->timeout_ms;
  own->most_rows = config->most_rows;
  if (own->host != NULL && own->socket != NULL && own->user != NULL && own->password_file != NULL &&
      own->dbname != NULL)
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

static void free_mysql(struct p11s_fleet *my)
{
  while (my->first != NULL) {
    struct p11s_fleet_op *next = my->first->next;

    free(my->first);
    my->first = next;
  }
  pthread_cond_destroy(&my->find.wake);
  pthread_cond_destroy(&my->write.wake);
  pthread_cond_destroy(&my->done);
  p11s_mutex_destroy(&my->lock);
  p11s_fleet_config_free(my->config);
  free(my->where);
  free(my);
}

enum p11s_err p11s_fleet_open(const struct p11s_fleet_config *config, struct p11s_fleet **ret,
                              struct p11s_error *e)
{
  struct p11s_fleet *my;

  if (!p11s_fleet_is_built()) {
    struct p11s_connection *none = NULL;

    return p11s_connection_open(config, 0, &none, e);
  }
  my = calloc(1, sizeof *my);
  if (my == NULL)
    return p11s_error_set(e, P11S_ERR_NOMEM, "out of memory");
  p11s_mutex_init(&my->lock, P11S_RANK_ALONE);
  p11s_cond_init(&my->find.wake);
  p11s_cond_init(&my->write.wake);
  p11s_cond_init(&my->done);
  my->last = &my->first;
  my->generation = p11s_fork_generation();
  my->find.main = p11s_fleet_ask_main;
  my->write.main = p11s_fleet_write_main;
  my->config = p11s_fleet_config_copy(config);
  my->where = describe(config);
  if (my->config == NULL || my->where == NULL || !p11s_random(my->server, sizeof my->server)) {
    free_mysql(my);
    return p11s_error_set(e, P11S_ERR_NOMEM, "out of memory");
  }
  *ret = my;
  return P11S_OK;
}

void p11s_fleet_get_stats(struct p11s_fleet *my, struct p11s_fleet_stats *ret)
{
  memset(ret, 0, sizeof *ret);
  if (!p11s_fleet_is_ours(my))
    return;
  p11s_lock(&my->lock);
  ret->connected = my->breaker.state == P11S_HEALTH_UP && !my->stopping;
  ret->queued = my->in - my->out;
  p11s_unlock(&my->lock);
}

/* -- stopping */

void p11s_fleet_begin_stop(struct p11s_fleet *my)
{
  /* The exit handler's thread may hold the lock: p11s_fleet_stop() waits for it no longer than its
     deadline. */
  if (!p11s_fleet_is_ours(my) || !p11s_trylock(&my->lock))
    return;
  my->stopping = true;
  p11s_fleet_wake_all_locked(my);
  p11s_unlock(&my->lock);
}

static bool is_back_locked(const struct p11s_fleet_link *link)
{
  return link->ended || !link->running;
}

static void await_both_locked(struct p11s_fleet *my, uint64_t deadline_ms)
{
  while (!(is_back_locked(&my->find) && is_back_locked(&my->write)) &&
         p11s_cond_wait_until(&my->done, &my->lock, deadline_ms))
    ;
}

static void cut_locked(struct p11s_fleet_link *link)
{
  if (link->conn != NULL)
    p11s_connection_cut(link->conn);
}

static void join(struct p11s_fleet *my, struct p11s_fleet_link *link)
{
  bool do_join;

  p11s_lock(&my->lock);
  do_join = link->running && link->ended && !link->joined;
  link->joined = link->joined || do_join;
  p11s_unlock(&my->lock);
  if (do_join)
    (void)pthread_join(link->thread, NULL);
}

bool p11s_fleet_stop(struct p11s_fleet *my, uint64_t deadline_ms)
{
  bool back;

  if (!p11s_fleet_is_ours(my))
    return true;
  /* Whoever starts it now is too late. */
  (void)atomic_exchange(&my->started, true);
  if (!p11s_mutex_lock_until(&my->lock, deadline_ms))
    return false;
  my->stopping = true;
  p11s_fleet_wake_all_locked(my);
  await_both_locked(my, deadline_ms > CUT_MS ? deadline_ms - CUT_MS : 0);
  cut_locked(&my->find);
  cut_locked(&my->write);
  await_both_locked(my, deadline_ms);
  back = is_back_locked(&my->find) && is_back_locked(&my->write);
  p11s_unlock(&my->lock);
  if (back) {
    join(my, &my->find);
    join(my, &my->write);
  }
  return back;
}

void p11s_fleet_close(struct p11s_fleet *my, uint64_t deadline_ms)
{
  if (p11s_fleet_is_ours(my) && p11s_fleet_stop(my, deadline_ms))
    free_mysql(my);
}

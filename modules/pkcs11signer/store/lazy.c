/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "store/lazy.h"

#include "base/lock.h"
#include "base/log.h"
#include "base/thread.h"

#include <stdatomic.h>
#include <stdlib.h>

struct p11s_lazy_store {
  struct p11s_lazy_store_config config; /* immutable */
  atomic_bool asked;                    /* somebody has opened it, or tried to */
  _Atomic(struct p11s_store *) store;

  struct p11s_mutex lock; /* guards the rest */
  pthread_cond_t done;
  pthread_t opener;
  bool opener_runs; /* and is to be joined */
  bool opening;     /* it is not done */
};

struct p11s_lazy_store *p11s_lazy_store_new(const struct p11s_lazy_store_config *config)
{
  struct p11s_lazy_store *lazy = calloc(1, sizeof *lazy);

  if (lazy == NULL)
    return NULL;
  lazy->config = *config;
  p11s_mutex_init(&lazy->lock, P11S_RANK_ALONE);
  p11s_cond_init(&lazy->done);
  return lazy;
}

static struct p11s_store *open_store(struct p11s_lazy_store *lazy, bool patient)
{
  struct p11s_store_config config = lazy->config.store;
  struct p11s_store *store = NULL;
  struct p11s_error error;

  config.patient = patient;
  if (lazy->config.wanted && p11s_store_open(&config, &store, &error) == P11S_OK)
    atomic_store_explicit(&lazy->store, store, memory_order_release);
  else if (lazy->config.wanted)
    p11s_log_event(P11S_LOG_WARNING,
                   "%s. Queries are answered all the same, but signatures do not outlive the "
                   "process; to do without them, set pkcs11signer-store=none",
                   error.text);
  if (lazy->config.tried != NULL)
    lazy->config.tried(lazy->config.arg);
  return store;
}

/* Whether the caller is to open it. */
static bool is_to_be_opened(struct p11s_lazy_store *lazy)
{
  return !atomic_load(&lazy->asked) && !atomic_exchange(&lazy->asked, true);
}

struct p11s_store *p11s_lazy_store_get(struct p11s_lazy_store *lazy)
{
  struct p11s_store *store = p11s_lazy_store_peek(lazy);

  return lazy == NULL || store != NULL || !is_to_be_opened(lazy) ? store : open_store(lazy, false);
}

struct p11s_store *p11s_lazy_store_peek(const struct p11s_lazy_store *lazy)
{
  return lazy != NULL ? atomic_load_explicit(&lazy->store, memory_order_acquire) : NULL;
}

enum p11s_err p11s_lazy_store_missing(const char *purpose, struct p11s_error *e)
{
  return p11s_error_set(e, P11S_ERR_HOST,
                        "there is no signature store%s: pkcs11signer-store=none, or no "
                        "pkcs11signer-state-dir, or it cannot be opened (then a line above says "
                        "why)",
                        purpose);
}

static void *open_main(void *arg)
{
  struct p11s_lazy_store *lazy = arg;

  (void)pthread_setname_np(pthread_self(), "p11s/store-open");
  p11s_store_connect(open_store(lazy, true));
  p11s_lock(&lazy->lock);
  lazy->opening = false;
  pthread_cond_broadcast(&lazy->done);
  p11s_unlock(&lazy->lock);
  return NULL;
}

/* false: not until the deadline. */
static bool await_opener(struct p11s_lazy_store *lazy, uint64_t deadline_ms)
{
  bool done;

  if (!p11s_mutex_lock_until(&lazy->lock, deadline_ms))
    return false;
  while (lazy->opening && p11s_cond_wait_until(&lazy->done, &lazy->lock, deadline_ms))
    ;
  done = !lazy->opening;
  p11s_unlock(&lazy->lock);
  return done;
}

void p11s_lazy_store_open(struct p11s_lazy_store *lazy, uint64_t deadline_ms)
{
  bool started;

  if (!is_to_be_opened(lazy))
    return;
  p11s_lock(&lazy->lock);
  lazy->opening = true;
  started = lazy->config.wanted && p11s_thread_start(&lazy->opener, open_main, lazy);
  lazy->opening = lazy->opener_runs = started;
  p11s_unlock(&lazy->lock);
  if (started)
    (void)await_opener(lazy, deadline_ms);
  else
    p11s_store_connect(open_store(lazy, false));
}

bool p11s_lazy_store_stop(struct p11s_lazy_store *lazy, uint64_t deadline_ms)
{
  uint64_t least_ms = p11s_now_ms() + P11S_STORE_STOP_MS;

  if (deadline_ms < least_ms)
    deadline_ms = least_ms;
  if (lazy == NULL)
    return true;
  atomic_store(&lazy->asked, true);
  if (!await_opener(lazy, deadline_ms))
    return false; /* it waits for a program that copies, which ends when we do */
  if (lazy->opener_runs)
    (void)pthread_join(lazy->opener, NULL);
  lazy->opener_runs = false;
  return p11s_store_stop(atomic_load(&lazy->store), deadline_ms);
}

void p11s_lazy_store_free(struct p11s_lazy_store *lazy)
{
  if (lazy == NULL)
    return;
  p11s_store_close(atomic_load(&lazy->store), p11s_now_ms() + P11S_STORE_STOP_MS);
  pthread_cond_destroy(&lazy->done);
  p11s_mutex_destroy(&lazy->lock);
  free(lazy);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The signer's store: opened by the first who asks, or in a thread of its own (signer/signer.h). */
#include "ahead/ahead.h"
#include "base/lock.h"
#include "base/log.h"
#include "signer/internal.h"
#include "store/store.h"
#include "base/thread.h"

/* Behind the opening of the store, in whose thread this is. Without one it looks after the tokens
   only. */
static void start_ahead(struct p11s_signer *s)
{
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

static bool wants_store(const struct p11s_signer *s)
{
  return s->config.store && s->state_dir[0] != '\0';
}

static struct p11s_store *open_store(struct p11s_signer *s, bool patient)
{
  const struct p11s_store_config config = {s->state_dir, s->config.store_mib, s->config.fleet,
                                           patient};
  struct p11s_store *store = NULL;
  struct p11s_error error;

  if (wants_store(s) && p11s_store_open(&config, &store, &error) == P11S_OK)
    atomic_store_explicit(&s->store, store, memory_order_release);
  else if (wants_store(s))
    p11s_log_event(P11S_LOG_WARNING,
                   "%s. Queries are answered all the same, but signatures do not outlive the "
                   "process; to do without them, set pkcs11signer-store=none",
                   error.text);
  start_ahead(s);
  return store;
}

/* Whether the caller is to open it. */
static bool is_to_be_opened(struct p11s_signer *s)
{
  return !atomic_load(&s->store_asked) && !atomic_exchange(&s->store_asked, true);
}

struct p11s_store *p11s_signer_store(struct p11s_signer *s)
{
  struct p11s_store *store = atomic_load_explicit(&s->store, memory_order_acquire);

  return store != NULL || !is_to_be_opened(s) ? store : open_store(s, false);
}

static void *open_main(void *arg)
{
  struct p11s_signer *s = arg;

  (void)pthread_setname_np(pthread_self(), "p11s/store-open");
  p11s_store_connect(open_store(s, true));
  pthread_mutex_lock(&s->lock);
  s->store_opening = false;
  pthread_cond_broadcast(&s->store_done);
  pthread_mutex_unlock(&s->lock);
  return NULL;
}

/* false: not until the deadline. */
static bool await_opener(struct p11s_signer *s, uint64_t deadline_ms)
{
  bool done;

  if (!p11s_mutex_lock_until(&s->lock, deadline_ms))
    return false;
  while (s->store_opening && p11s_cond_wait_until(&s->store_done, &s->lock, deadline_ms))
    ;
  done = !s->store_opening;
  pthread_mutex_unlock(&s->lock);
  return done;
}

void p11s_signer_open_store(struct p11s_signer *s, uint64_t deadline_ms)
{
  bool started;

  if (!is_to_be_opened(s))
    return;
  pthread_mutex_lock(&s->lock);
  s->store_opening = true;
  started = wants_store(s) && p11s_thread_start(&s->store_opener, open_main, s);
  s->store_opening = s->store_opener_runs = started;
  pthread_mutex_unlock(&s->lock);
  if (started)
    (void)await_opener(s, deadline_ms);
  else
    p11s_store_connect(open_store(s, false));
}

bool p11s_signer_stop_store(struct p11s_signer *s, uint64_t deadline_ms)
{
  uint64_t least_ms = p11s_now_ms() + P11S_STORE_STOP_MS;

  if (deadline_ms < least_ms)
    deadline_ms = least_ms;
  atomic_store(&s->store_asked, true);
  if (!await_opener(s, deadline_ms))
    return false; /* it waits for a program that copies, which ends when we do */
  if (s->store_opener_runs)
    (void)pthread_join(s->store_opener, NULL);
  s->store_opener_runs = false;
  return p11s_store_stop(atomic_load(&s->store), deadline_ms);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pkcs11/module.h"

#include "base/lock.h"
#include "base/log.h"
#include "pkcs11/trial.h"
#include "pkcs11/module_internal.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Guards all below. Nobody holds it while modules are loaded or initialized. */
static struct p11s_mutex lock = P11S_MUTEX_INIT(P11S_RANK_ALONE);
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct p11s_modules *current;
static bool loading;
/* Of the processes we were forked from. */
static struct p11s_modules *forgotten;
static pthread_once_t once = PTHREAD_ONCE_INIT;
/* Set before there are threads. */
static void (*on_load)(void);

void p11s_module_on_load(void (*fn)(void))
{
  on_load = fn;
}

/* The parent's modules are not the child's to finalize, and freeing them here would call into
   libraries whose locks other threads may have held: they are left behind. */
static void forget_in_child(void)
{
  static const struct p11s_mutex fresh_lock = P11S_MUTEX_INIT(P11S_RANK_ALONE);
  static const pthread_cond_t fresh_cond = PTHREAD_COND_INITIALIZER;

  lock = fresh_lock;
  changed = fresh_cond;
  loading = false;
  if (current != NULL) {
    current->forgotten = forgotten;
    forgotten = current;
    current = NULL;
  }
}

static void watch_fork(void)
{
  (void)pthread_atfork(NULL, NULL, forget_in_child);
}

/* The first who comes loads, the others wait for him. */
static enum p11s_err load_locked(struct p11s_error *e)
{
  struct p11s_modules *loaded = NULL;
  enum p11s_err result;

  while (loading)
    p11s_cond_wait(&changed, &lock);
  if (current != NULL)
    return P11S_OK;
  loading = true;
  p11s_unlock(&lock);
  result = p11s_modules_load(&loaded, e);
  if (on_load != NULL)
    on_load();
  p11s_lock(&lock);
  loading = false;
  current = loaded;
  pthread_cond_broadcast(&changed);
  return result;
}

static struct p11s_module_entry *find_locked(const char *name)
{
  for (size_t i = 0; current != NULL && i < current->count; i++)
    if (strcmp(current->entries[i].name, name) == 0)
      return &current->entries[i];
  return NULL;
}

static enum p11s_err unknown_locked(const char *name, struct p11s_error *e)
{
  struct p11s_buf known = P11S_BUF_INIT;

  for (size_t i = 0; i < current->count; i++)
    p11s_buf_addf(&known, "%s%s", i > 0 ? ", " : "", current->entries[i].name);
  (void)p11s_error_set(e, P11S_ERR_NO_MODULE,
                       "p11-kit knows no PKCS#11 module '%s'; it knows: %s%s%s", name,
                       known.len > 0 ? p11s_buf_text(&known) : "none",
                       current->complaint != NULL ? "; it says: " : "",
                       current->complaint != NULL ? current->complaint : "");
  p11s_buf_clear(&known);
  return P11S_ERR_NO_MODULE;
}

static bool option_is_no(CK_FUNCTION_LIST *module)
{
  return p11s_module_option_is(module, "managed", "no");
}

static CK_RV initialize_directly(const struct p11s_module_entry *entry, CK_FUNCTION_LIST *module)
{
  CK_C_INITIALIZE_ARGS args;

  memset(&args, 0, sizeof args);
  args.flags = CKF_OS_LOCKING_OK;
  args.pReserved = entry->reserved;
  return module->C_Initialize(&args);
}

/* p11-kit hands its own arguments to modules it manages; any other would take NULL to mean that
   there are no threads. */
static CK_RV initialize(const struct p11s_module_entry *entry)
{
  if (entry->alone || entry->single || option_is_no(NULL) || option_is_no(entry->module))
    return initialize_directly(entry, entry->module);
  return p11_kit_module_initialize(entry->module);
}

/* p11-kit believes that the module is initialized, so the library itself is asked. */
static CK_RV initialize_again(const struct p11s_module_entry *entry)
{
  char *path = entry->alone ? NULL : p11_kit_module_get_filename(entry->module);
  CK_FUNCTION_LIST *library =
      path != NULL ? p11_kit_module_load(path, P11_KIT_MODULE_UNMANAGED) : NULL;
  CK_RV rv;

  free(path);
  if (library == NULL) {
    if (!entry->alone)
      (void)p11_kit_module_finalize(entry->module);
    return initialize(entry);
  }
  rv = initialize_directly(entry, library);
  p11_kit_module_release(library);
  return rv;
}

static enum p11s_err start_unlocked(struct p11s_module_entry *entry, struct p11s_error *e)
{
  CK_RV rv = entry->lost ? initialize_again(entry) : initialize(entry);
  bool good = rv == CKR_OK || rv == CKR_CRYPTOKI_ALREADY_INITIALIZED;

  p11s_lock(&lock);
  if (!entry->lost)
    entry->ours = rv == CKR_OK;
  if (good) {
    entry->lost = false;
    entry->ready_ms = p11s_now_ms();
    /* Said to be lost for nothing: then its sessions are still there. */
    if (rv == CKR_OK || entry->life == 0)
      entry->life++;
  }
  entry->state = good ? P11S_MODULE_READY : P11S_MODULE_IDLE;
  pthread_cond_broadcast(&changed);
  p11s_unlock(&lock);
  if (good)
    return P11S_OK;
  return p11s_rv_put(e, rv,
                     p11s_error_set(e, P11S_ERR_NO_MODULE,
                                    "PKCS#11 module '%s' does not initialize: %s", entry->name,
                                    p11s_rv_name(rv)));
}

/* For an entry that has a module. */
static enum p11s_err get_started(struct p11s_module_entry *entry, struct p11s_error *e)
{
  bool start;

  p11s_lock(&lock);
  while (entry->state == P11S_MODULE_STARTING)
    p11s_cond_wait(&changed, &lock);
  start = entry->state == P11S_MODULE_IDLE;
  if (start)
    entry->state = P11S_MODULE_STARTING;
  p11s_unlock(&lock);
  return start ? start_unlocked(entry, e) : P11S_OK;
}

/* Puts what was found, or not found, in the place of what was known. */
static void take_over_locked(struct p11s_module_entry *entry, struct p11s_module_entry *found)
{
  entry->tried_ms = p11s_now_ms();
  entry->state = P11S_MODULE_IDLE;
  if (found->reason != NULL || found->module != NULL) {
    free(entry->reason);
    entry->reason = found->reason;
  }
  if (found->module != NULL) {
    entry->module = found->module;
    entry->single = true;
    entry->unmanaged = found->unmanaged;
    entry->reserved = found->reserved;
  }
}

/* True when the module that was left out is there after all. Only one thread at a time tries. */
static bool found_again_locked(struct p11s_module_entry *entry)
{
  struct p11s_module_entry found = {0};

  if (entry->module != NULL)
    return true;
  if (entry->state == P11S_MODULE_STARTING ||
      p11s_now_ms() - entry->tried_ms < P11S_MODULE_RETRY_MS)
    return false;
  entry->state = P11S_MODULE_STARTING;
  p11s_unlock(&lock);
  p11s_module_load_again(entry->name, &found);
  if (found.module != NULL && on_load != NULL)
    on_load();
  if (found.module != NULL)
    p11s_log_event(P11S_LOG_NOTICE, "PKCS#11 module '%s' can be loaded now", entry->name);
  p11s_lock(&lock);
  take_over_locked(entry, &found);
  return entry->module != NULL;
}

enum p11s_err p11s_module_get(const char *name, CK_FUNCTION_LIST **ret_module, struct p11s_error *e)
{
  struct p11s_module_entry *entry = NULL;
  enum p11s_err result;

  (void)pthread_once(&once, watch_fork);
  p11s_lock(&lock);
  result = load_locked(e);
  if (result == P11S_OK)
    entry = find_locked(name);
  if (result == P11S_OK && entry == NULL)
    result = unknown_locked(name, e);
  if (entry != NULL && !found_again_locked(entry)) {
    result = p11s_error_set(e, P11S_ERR_NO_MODULE, "%s",
                            entry->reason != NULL ? entry->reason : "out of memory");
    entry = NULL;
  }
  p11s_unlock(&lock);
  if (entry == NULL)
    return result;
  result = get_started(entry, e);
  if (result == P11S_OK)
    *ret_module = entry->module;
  return result;
}

void p11s_module_lost(const char *name)
{
  struct p11s_module_entry *entry;

  p11s_lock(&lock);
  entry = find_locked(name);
  if (entry != NULL && entry->state == P11S_MODULE_READY) {
    entry->lost = true;
    entry->state = P11S_MODULE_IDLE;
  }
  p11s_unlock(&lock);
}

uint64_t p11s_module_life(const char *name)
{
  struct p11s_module_entry *entry;
  uint64_t life;

  p11s_lock(&lock);
  entry = find_locked(name);
  life = entry != NULL ? entry->life : 0;
  p11s_unlock(&lock);
  return life;
}

bool p11s_module_waits_for(const char *name, char *ret_names, size_t size)
{
  const struct p11s_module_entry *entry;
  bool starts;

  p11s_lock(&lock);
  entry = find_locked(name);
  starts = entry != NULL && entry->module != NULL && entry->state == P11S_MODULE_STARTING;
  p11s_unlock(&lock);
  if (!starts)
    return p11s_trial_waits_for(ret_names, size);
  (void)snprintf(ret_names, size, "'%s'", name);
  return true;
}

bool p11s_module_is_old(const char *name, unsigned interval_ms)
{
  struct p11s_module_entry *entry;
  bool old = false;

  p11s_lock(&lock);
  entry = find_locked(name);
  if (entry != NULL && entry->state == P11S_MODULE_READY)
    old = p11s_now_ms() - entry->ready_ms >= (entry->reread ? interval_ms : P11S_MODULE_OLD_MS);
  p11s_unlock(&lock);
  return old;
}

CK_FUNCTION_LIST *p11s_module_in_use(size_t i, const char **ret_name, bool *ret_end)
{
  const struct p11s_module_entry *entry;
  CK_FUNCTION_LIST *module = NULL;

  p11s_lock(&lock);
  *ret_end = current == NULL || i >= current->count;
  if (!*ret_end) {
    entry = &current->entries[i];
    *ret_name = entry->name;
    module = entry->state != P11S_MODULE_IDLE ? entry->module : NULL;
  }
  p11s_unlock(&lock);
  return module;
}

struct p11s_module_entry *p11s_module_begin_anew(const char *name)
{
  struct p11s_module_entry *entry;

  p11s_lock(&lock);
  entry = find_locked(name);
  if (entry != NULL && entry->state == P11S_MODULE_READY)
    entry->reread = true;
  else
    entry = NULL;
  p11s_unlock(&lock);
  return entry;
}

void p11s_module_set_idle(struct p11s_module_entry *entry, CK_FUNCTION_LIST *alone)
{
  p11s_lock(&lock);
  if (alone != NULL) {
    entry->former = entry->single ? entry->module : NULL;
    entry->module = alone;
    entry->alone = true;
    entry->ours = false;
  }
  entry->state = P11S_MODULE_IDLE;
  p11s_unlock(&lock);
}

enum p11s_err p11s_module_each_name(void (*fn)(const char *name, void *arg), void *arg,
                                    struct p11s_error *e)
{
  enum p11s_err result;
  size_t count = 0;

  (void)pthread_once(&once, watch_fork);
  p11s_lock(&lock);
  result = load_locked(e);
  if (result == P11S_OK)
    count = current->count;
  p11s_unlock(&lock);
  /* Entries and their names stay as they are until shutdown. */
  for (size_t i = 0; i < count; i++)
    fn(current->entries[i].name, arg);
  return result;
}

const char *p11s_module_warning(const char *name)
{
  const struct p11s_module_entry *entry;

  p11s_lock(&lock);
  entry = find_locked(name);
  p11s_unlock(&lock);
  return entry != NULL ? entry->warning : NULL;
}

void p11s_module_shutdown(void)
{
  struct p11s_modules *m;

  p11s_lock(&lock);
  m = current;
  current = NULL;
  p11s_unlock(&lock);
  for (size_t i = 0; m != NULL && i < m->count; i++)
    if (m->entries[i].ours && m->entries[i].alone)
      (void)m->entries[i].module->C_Finalize(NULL);
    else if (m->entries[i].ours)
      (void)p11_kit_module_finalize(m->entries[i].module);
  p11s_modules_free(m);
}

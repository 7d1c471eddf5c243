/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "p11mod.h"

#include "log.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum state { STATE_IDLE, STATE_STARTING, STATE_READY };

struct entry {
  CK_FUNCTION_LIST *module;
  char *name;
  enum state state;
  bool ours; /* we initialized it, so we finalize it */
};

/* What one p11_kit_modules_load() gave. */
struct modules {
  CK_FUNCTION_LIST **list;
  struct entry *entries;
  size_t count;
  char *complaint; /* what p11-kit said about modules that do not load; may be NULL */
  struct modules *forgotten;
};

/* Guards all below; taken by no one who holds it across C_Initialize. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct modules *current;
/* Of the processes we were forked from. */
static struct modules *forgotten;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* The parent's modules are not the child's to finalize, and freeing them here would call into
   libraries whose locks other threads may have held: they are left behind. */
static void forget_in_child(void)
{
  static const pthread_mutex_t fresh_lock = PTHREAD_MUTEX_INITIALIZER;
  static const pthread_cond_t fresh_cond = PTHREAD_COND_INITIALIZER;

  lock = fresh_lock;
  changed = fresh_cond;
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

static void modules_free(struct modules *m)
{
  if (m == NULL)
    return;
  for (size_t i = 0; m->entries != NULL && i < m->count; i++)
    free(m->entries[i].name);
  free(m->entries);
  free(m->complaint);
  if (m->list != NULL)
    p11_kit_modules_release(m->list);
  free(m);
}

static bool fill_entries(struct modules *m)
{
  size_t n = 0;

  while (m->list[n] != NULL)
    n++;
  m->entries = calloc(n + 1, sizeof *m->entries);
  if (m->entries == NULL)
    return false;
  for (size_t i = 0; i < n; i++) {
    char *name = p11_kit_module_get_name(m->list[i]);

    /* No name: loaded by path by somebody else in this process. */
    if (name != NULL)
      m->entries[m->count++] = (struct entry){m->list[i], name, STATE_IDLE, false};
  }
  return true;
}

static enum p11s_err load_locked(struct p11s_error *e)
{
  struct modules *m;
  const char *said;

  if (current != NULL)
    return P11S_OK;
  m = calloc(1, sizeof *m);
  if (m == NULL)
    return p11s_error_set(e, P11S_ERR_NOMEM, "out of memory");
  /* Not ..._and_initialize: one module that does not start must not be in the way of the others. */
  m->list = p11_kit_modules_load(NULL, 0);
  said = p11_kit_message();
  if (m->list == NULL) {
    (void)p11s_error_set(e, P11S_ERR_NO_MODULE, "p11-kit cannot load its configuration: %s",
                         said != NULL ? said : "it does not say why");
    modules_free(m);
    return P11S_ERR_NO_MODULE;
  }
  m->complaint = said != NULL ? strdup(said) : NULL;
  if (!fill_entries(m)) {
    modules_free(m);
    return p11s_error_set(e, P11S_ERR_NOMEM, "out of memory");
  }
  current = m;
  return P11S_OK;
}

static struct entry *find_locked(const char *name)
{
  for (size_t i = 0; i < current->count; i++)
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
  char *value = p11_kit_config_option(module, "managed");
  bool no = value != NULL && strcmp(value, "no") == 0;

  free(value);
  return no;
}

/* p11-kit hands its own arguments to modules it manages; any other would take NULL to mean that
   there are no threads. */
static CK_RV initialize(CK_FUNCTION_LIST *module)
{
  CK_C_INITIALIZE_ARGS args;

  if (!option_is_no(NULL) && !option_is_no(module))
    return p11_kit_module_initialize(module);
  memset(&args, 0, sizeof args);
  args.flags = CKF_OS_LOCKING_OK;
  return module->C_Initialize(&args);
}

static enum p11s_err start_unlocked(struct entry *entry, struct p11s_error *e)
{
  CK_RV rv = initialize(entry->module);
  bool good = rv == CKR_OK || rv == CKR_CRYPTOKI_ALREADY_INITIALIZED;

  pthread_mutex_lock(&lock);
  entry->ours = rv == CKR_OK;
  entry->state = good ? STATE_READY : STATE_IDLE;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&lock);
  if (good)
    return P11S_OK;
  p11s_rv_note(rv);
  return p11s_error_set(e, P11S_ERR_NO_MODULE, "PKCS#11 module '%s' does not initialize: %s",
                        entry->name, p11s_rv_name(rv));
}

enum p11s_err p11s_p11mod_get(const char *name, CK_FUNCTION_LIST **ret_module, struct p11s_error *e)
{
  struct entry *entry = NULL;
  enum p11s_err result;
  bool start = false;

  (void)pthread_once(&once, watch_fork);
  pthread_mutex_lock(&lock);
  result = load_locked(e);
  if (result == P11S_OK) {
    entry = find_locked(name);
    if (entry == NULL)
      result = unknown_locked(name, e);
  }
  if (entry != NULL) {
    while (entry->state == STATE_STARTING)
      pthread_cond_wait(&changed, &lock);
    start = entry->state == STATE_IDLE;
    if (start)
      entry->state = STATE_STARTING;
  }
  pthread_mutex_unlock(&lock);
  if (start)
    result = start_unlocked(entry, e);
  if (result == P11S_OK)
    *ret_module = entry->module;
  return result;
}

static bool describe(const char *name, struct p11s_p11mod_info *info)
{
  CK_FUNCTION_LIST *module;
  struct p11s_error error;
  char *path;
  CK_INFO ck;

  if (p11s_p11mod_get(name, &module, &error) != P11S_OK) {
    p11s_log_debug("%s", error.text);
    return false;
  }
  memset(info, 0, sizeof *info);
  memset(&ck, 0, sizeof ck);
  (void)snprintf(info->name, sizeof info->name, "%s", name);
  path = p11_kit_module_get_filename(module);
  (void)snprintf(info->path, sizeof info->path, "%s", path != NULL ? path : "");
  free(path);
  p11s_error_clean(info->path);
  if (module->C_GetInfo(&ck) == CKR_OK) {
    p11s_padded_copy(info->description, sizeof info->description, ck.libraryDescription,
                     sizeof ck.libraryDescription);
    p11s_padded_copy(info->manufacturer, sizeof info->manufacturer, ck.manufacturerID,
                     sizeof ck.manufacturerID);
    (void)snprintf(info->version, sizeof info->version, "%u.%u", ck.libraryVersion.major,
                   ck.libraryVersion.minor);
  }
  return true;
}

enum p11s_err p11s_p11mod_each_name(void (*fn)(const char *name, void *arg), void *arg,
                                    struct p11s_error *e)
{
  enum p11s_err result;
  size_t count = 0;

  (void)pthread_once(&once, watch_fork);
  pthread_mutex_lock(&lock);
  result = load_locked(e);
  if (result == P11S_OK)
    count = current->count;
  pthread_mutex_unlock(&lock);
  /* Entries and their names stay as they are until shutdown. */
  for (size_t i = 0; i < count; i++)
    fn(current->entries[i].name, arg);
  return result;
}

struct each {
  void (*fn)(const struct p11s_p11mod_info *info, void *arg);
  void *arg;
};

static void each_info(const char *name, void *arg)
{
  const struct each *each = arg;
  struct p11s_p11mod_info info;

  if (describe(name, &info))
    each->fn(&info, each->arg);
}

enum p11s_err p11s_p11mod_each(void (*fn)(const struct p11s_p11mod_info *info, void *arg),
                               void *arg, struct p11s_error *e)
{
  struct each each = {fn, arg};

  return p11s_p11mod_each_name(each_info, &each, e);
}

void p11s_p11mod_shutdown(void)
{
  struct modules *m;

  pthread_mutex_lock(&lock);
  m = current;
  current = NULL;
  pthread_mutex_unlock(&lock);
  for (size_t i = 0; m != NULL && i < m->count; i++)
    if (m->entries[i].ours)
      (void)p11_kit_module_finalize(m->entries[i].module);
  modules_free(m);
}

void p11s_padded_copy(char *to, size_t size, const CK_UTF8CHAR *from, size_t len)
{
  /* Some tokens pad with NUL instead of blanks. */
  len = strnlen((const char *)from, len);
  while (len > 0 && from[len - 1] == ' ')
    len--;
  if (len >= size)
    len = size - 1;
  memcpy(to, from, len);
  to[len] = 0;
  p11s_error_clean(to);
}

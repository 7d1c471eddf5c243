/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/lock.h"
#include "base/log.h"
#include "pkcs11/trial.h"
#include "pkcs11/module_internal.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

static void entry_clear(struct p11s_module_entry *entry)
{
  if ((entry->single || entry->alone) && entry->module != NULL)
    p11_kit_module_release(entry->module);
  if (entry->former != NULL)
    p11_kit_module_release(entry->former);
  free(entry->name);
  free(entry->reason);
  free(entry->reserved);
  free(entry->warning);
}

bool p11s_module_option_is(CK_FUNCTION_LIST *module, const char *option, const char *value)
{
  char *found = p11_kit_config_option(module, option);
  bool is = found != NULL && strcmp(found, value) == 0;

  free(found);
  return is;
}

/* p11-kit can only log the calls of modules that it manages. */
static void warn_of_options(struct p11s_module_entry *entry)
{
  struct p11s_buf text = P11S_BUF_INIT;

  if (p11s_module_option_is(NULL, "managed", "no") ||
      p11s_module_option_is(entry->module, "managed", "no") ||
      !p11s_module_option_is(entry->module, "log-calls", "yes"))
    return;
  p11s_buf_addf(&text,
                "PKCS#11 module '%s' has log-calls: yes in its .module file: p11-kit writes every "
                "call to standard error, the journal, and the PIN with it. Remove that line",
                entry->name);
  entry->warning = text.data;
  if (entry->warning != NULL)
    p11s_log_event(P11S_LOG_WARNING, "%s", entry->warning);
}

void p11s_modules_free(struct p11s_modules *m)
{
  if (m == NULL)
    return;
  for (size_t i = 0; m->entries != NULL && i < m->count; i++)
    entry_clear(&m->entries[i]);
  free(m->entries);
  free(m->complaint);
  if (m->list != NULL)
    p11_kit_modules_release(m->list);
  free(m);
}

static char *reason_of(const struct p11s_trial_module *probed)
{
  struct p11s_buf text = P11S_BUF_INIT;

  p11s_buf_addf(&text, "PKCS#11 module '%s' (%s) %s: ", probed->name, probed->path, probed->reason);
  if (probed->verdict == P11S_TRIAL_DANGEROUS)
    p11s_buf_addf(&text,
                  "it is left out and tried again every %d s; repair it or remove its .module file",
                  P11S_MODULE_RETRY_MS / 1000);
  else
    p11s_buf_addstr(&text, "install it, or correct or remove its .module file");
  return text.data;
}

/* A module by itself. p11-kit reads no configuration for it, so its options are kept here. */
static void load_single(const struct p11s_trial_module *probed, struct p11s_module_entry *entry)
{
  struct p11s_buf text = P11S_BUF_INIT;
  const char *said;

  entry->tried_ms = p11s_now_ms();
  if (probed->verdict != P11S_TRIAL_GOOD) {
    entry->reason = reason_of(probed);
    return;
  }
  if (probed->path[0] == 0) {
    p11s_buf_addf(&text,
                  "PKCS#11 module '%s' runs in a process of its own, and p11-kit loads such a one "
                  "only together with all others, of which one must be left out: see the log",
                  probed->name);
    entry->reason = text.data;
    return;
  }
  entry->single = true;
  entry->unmanaged = probed->unmanaged;
  entry->reserved = probed->reserved != NULL ? strdup(probed->reserved) : NULL;
  entry->module =
      p11_kit_module_load(probed->path, entry->unmanaged ? P11_KIT_MODULE_UNMANAGED : 0);
  if (entry->module != NULL)
    return;
  said = p11_kit_message();
  p11s_buf_addf(&text, "PKCS#11 module '%s' (%s) does not load: %s", probed->name, probed->path,
                said != NULL ? said : "p11-kit does not say why");
  entry->reason = text.data;
}

void p11s_module_load_again(const char *name, struct p11s_module_entry *found)
{
  struct p11s_trial probe;
  const struct p11s_trial_module *probed;

  if (!p11s_trial_run(name, P11S_TRIAL_MS, &probe))
    return;
  probed = p11s_trial_find(&probe, name);
  if (probed != NULL)
    load_single(probed, found);
  p11s_trial_clear(&probe);
}

/* PowerDNS, or another module, may have it already. It cannot do more harm then. */
static bool is_here(const char *path)
{
  void *library = path[0] != 0 ? dlopen(path, RTLD_LAZY | RTLD_NOLOAD) : NULL;

  if (library == NULL)
    return false;
  (void)dlclose(library);
  return true;
}

static void trust_what_is_here(struct p11s_trial *probe)
{
  for (size_t i = 0; i < probe->count; i++) {
    struct p11s_trial_module *m = &probe->modules[i];

    if (m->verdict == P11S_TRIAL_DANGEROUS && is_here(m->path))
      m->verdict = P11S_TRIAL_GOOD;
  }
}

/* Whether p11-kit's own way of loading would harm more than the modules that are at fault. */
static bool must_load_singly(const struct p11s_trial *probe)
{
  for (size_t i = 0; i < probe->count; i++) {
    const struct p11s_trial_module *m = &probe->modules[i];

    if (m->enabled && (m->verdict == P11S_TRIAL_DANGEROUS ||
                       (m->verdict == P11S_TRIAL_UNLOADABLE && m->critical)))
      return true;
  }
  return false;
}

static enum p11s_err out_of_memory(struct p11s_error *e)
{
  return p11s_error_no_memory(e);
}

static bool has_entry(const struct p11s_modules *m, const char *name)
{
  for (size_t i = 0; i < m->count; i++)
    if (strcmp(m->entries[i].name, name) == 0)
      return true;
  return false;
}

/* Those that are not there yet: that p11-kit skipped, or that this program is not to have but as
   pkcs11signer. Asking for one that does not load gives the reason. */
static enum p11s_err add_singly(struct p11s_modules *m, const struct p11s_trial *probe,
                                struct p11s_error *e)
{
  for (size_t i = 0; i < probe->count; i++) {
    const struct p11s_trial_module *probed = &probe->modules[i];
    struct p11s_module_entry *entry = &m->entries[m->count];

    if (has_entry(m, probed->name))
      continue;
    entry->name = strdup(probed->name);
    if (entry->name == NULL)
      return out_of_memory(e);
    m->count++;
    load_single(probed, entry);
    if (probed->verdict == P11S_TRIAL_DANGEROUS && entry->reason != NULL)
      p11s_log_event(P11S_LOG_ERROR, "%s", entry->reason);
  }
  return P11S_OK;
}

static enum p11s_err load_singly(struct p11s_modules *m, const struct p11s_trial *probe,
                                 struct p11s_error *e)
{
  m->entries = calloc(probe->count, sizeof *m->entries);
  return m->entries != NULL ? add_singly(m, probe, e) : out_of_memory(e);
}

static enum p11s_err load_together(struct p11s_modules *m, const struct p11s_trial *probe,
                                   struct p11s_error *e)
{
  const char *said;
  size_t n = 0;

  /* Not ..._and_initialize: one module that does not start must not be in the way of the others. */
  m->list = p11_kit_modules_load(NULL, 0);
  said = p11_kit_message();
  if (m->list == NULL)
    return p11s_error_set(e, P11S_ERR_NO_MODULE, "p11-kit cannot load its configuration: %s",
                          said != NULL ? said : "it does not say why");
  m->complaint = said != NULL ? strdup(said) : NULL;
  while (m->list[n] != NULL)
    n++;
  m->entries = calloc(n + probe->count + 1, sizeof *m->entries);
  if (m->entries == NULL)
    return out_of_memory(e);
  for (size_t i = 0; i < n; i++) {
    char *name = p11_kit_module_get_name(m->list[i]);

    /* No name: loaded by path by somebody else in this process. */
    if (name != NULL) {
      m->entries[m->count].module = m->list[i];
      m->entries[m->count].name = name;
      m->entries[m->count].reserved = p11_kit_config_option(m->list[i], "x-init-reserved");
      warn_of_options(&m->entries[m->count]);
      m->count++;
    }
  }
  return add_singly(m, probe, e);
}

enum p11s_err p11s_modules_load(struct p11s_modules **ret_mods, struct p11s_error *e)
{
  struct p11s_trial probe = {NULL, 0};
  struct p11s_modules *m = calloc(1, sizeof *m);
  enum p11s_err result;

  if (m == NULL)
    return out_of_memory(e);
  if (p11s_trial_run(NULL, P11S_TRIAL_MS, &probe))
    trust_what_is_here(&probe);
  result = must_load_singly(&probe) ? load_singly(m, &probe, e) : load_together(m, &probe, e);
  p11s_trial_clear(&probe);
  if (result == P11S_OK)
    *ret_mods = m;
  else
    p11s_modules_free(m);
  return result;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pkcs11/trial.h"
#include "base/lock.h"

#include "base/buf.h"
#include "base/child.h"
#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

enum { FIELD_NAME, FIELD_PATH, FIELD_FLAGS, FIELD_RESERVED, FIELD_REASON, FIELDS };

static struct p11s_mutex lock = P11S_MUTEX_INIT(P11S_RANK_ALONE);
static char late[256]; /* guarded by lock */

bool p11s_trial_waits_for(char *ret_names, size_t size)
{
  bool waits;

  p11s_lock(&lock);
  waits = late[0] != 0;
  (void)snprintf(ret_names, size, "%s", late);
  p11s_unlock(&lock);
  return waits;
}

static void set_late(const char *names)
{
  p11s_lock(&lock);
  (void)snprintf(late, sizeof late, "%s", names);
  p11s_unlock(&lock);
}

/* The length of what tells of late modules, with its NUL. */
static size_t length_of_late(const struct p11s_buf *output)
{
  const char *end = NULL;

  if (output->len > 0 && output->data[0] == P11S_TRIAL_LATE)
    end = memchr(output->data, 0, output->len);
  return end != NULL ? (size_t)(end + 1 - output->data) : 0;
}

static void note_late(struct p11s_buf *output, void *arg)
{
  (void)arg;
  if (length_of_late(output) > 0)
    set_late(output->data + 1);
}

static bool is_complete(struct p11s_buf *output)
{
  static const char end[] = "\0end";

  if (output->failed || output->len < sizeof end ||
      memcmp(output->data + output->len - sizeof end, end, sizeof end) != 0)
    return false;
  output->len -= sizeof end;
  return true;
}

static bool run(const char *only, unsigned deadline_ms, struct p11s_buf *output)
{
  char deadline[16];
  const char *argument[] = {program_invocation_short_name, deadline, only, NULL};
  struct p11s_error error;
  enum p11s_err result;

  (void)snprintf(deadline, sizeof deadline, "%u", deadline_ms);
  result = p11s_child_run(argument, deadline_ms, note_late, NULL, output, &error);
  set_late("");
  if (result != P11S_OK) {
    p11s_log_debug("PKCS#11 modules are not tried beforehand: %s", error.text);
    return false;
  }
  if (is_complete(output))
    return true;
  p11s_log_debug("PKCS#11 modules are not known beforehand: the program that tries them did not "
                 "finish");
  return false;
}

static bool fill(struct p11s_trial_module *m, char *const field[FIELDS])
{
  const char *flags = field[FIELD_FLAGS];

  m->enabled = strchr(flags, 'e') != NULL;
  m->unmanaged = strchr(flags, 'u') != NULL;
  m->critical = strchr(flags, 'c') != NULL;
  m->verdict = strchr(flags, 'D') != NULL   ? P11S_TRIAL_DANGEROUS
               : strchr(flags, 'U') != NULL ? P11S_TRIAL_UNLOADABLE
                                            : P11S_TRIAL_GOOD;
  m->name = strdup(field[FIELD_NAME]);
  m->path = strdup(field[FIELD_PATH]);
  m->reason = strdup(field[FIELD_REASON]);
  if (strchr(flags, 'r') != NULL) {
    m->reserved = strdup(field[FIELD_RESERVED]);
    if (m->reserved == NULL)
      return false;
  }
  return m->name != NULL && m->path != NULL && m->reason != NULL;
}

/* Five texts for each module, each with its NUL. */
static bool parse(char *text, size_t len, struct p11s_trial *probe)
{
  size_t texts = 0, at = 0;

  for (size_t i = 0; i < len; i++)
    texts += text[i] == 0;
  if (texts % FIELDS != 0)
    return false;
  probe->modules = calloc(texts / FIELDS + 1, sizeof *probe->modules);
  if (probe->modules == NULL)
    return false;
  while (probe->count < texts / FIELDS) {
    char *field[FIELDS];

    for (int f = 0; f < FIELDS; f++) {
      field[f] = text + at;
      at += strlen(field[f]) + 1;
    }
    if (!fill(&probe->modules[probe->count++], field))
      return false;
  }
  return true;
}

bool p11s_trial_run(const char *only, unsigned deadline_ms, struct p11s_trial *ret_probe)
{
  struct p11s_buf output = P11S_BUF_INIT;
  struct p11s_trial probe = {NULL, 0};
  bool good = false;
  size_t skip;

  /* With file capabilities or the like p11-kit trusts less of the environment than the program
     would. */
  if (getauxval(AT_SECURE) != 0)
    p11s_log_debug("PKCS#11 modules are not tried beforehand: the server has raised privileges");
  else
    good = run(only, deadline_ms, &output);
  skip = length_of_late(&output);
  if (good && !parse(output.data + skip, output.len - skip, &probe)) {
    p11s_log_debug("PKCS#11 modules are not known beforehand: the program that tries them is of "
                   "another version");
    good = false;
  }
  p11s_buf_clear(&output);
  if (good)
    *ret_probe = probe;
  else
    p11s_trial_clear(&probe);
  return good;
}

void p11s_trial_clear(struct p11s_trial *probe)
{
  for (size_t i = 0; i < probe->count; i++) {
    free(probe->modules[i].name);
    free(probe->modules[i].path);
    free(probe->modules[i].reserved);
    free(probe->modules[i].reason);
  }
  free(probe->modules);
  probe->modules = NULL;
  probe->count = 0;
}

const struct p11s_trial_module *p11s_trial_find(const struct p11s_trial *probe, const char *name)
{
  for (size_t i = 0; i < probe->count; i++)
    if (strcmp(probe->modules[i].name, name) == 0)
      return &probe->modules[i];
  return NULL;
}

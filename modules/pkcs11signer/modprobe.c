/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "modprobe.h"

#include "buf.h"
#include "lock.h"
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/wait.h>
#include <unistd.h>

/* Beyond the program's own deadline. */
#define GRACE_MS 2000
#define OUTPUT_MAX (1024 * 1024)

enum { FIELD_NAME, FIELD_PATH, FIELD_FLAGS, FIELD_RESERVED, FIELD_REASON, FIELDS };

static const char *program(void)
{
  const char *given = secure_getenv("PKCS11SIGNER_PROBE");

  return given != NULL ? given : P11S_PROBE;
}

/* PowerDNS ignores some signals, workers block all of them, and both would be inherited. */
static int set_attributes(posix_spawnattr_t *attributes)
{
  sigset_t none, all;

  (void)sigemptyset(&none);
  (void)sigfillset(&all);
  (void)posix_spawnattr_setsigmask(attributes, &none);
  (void)posix_spawnattr_setsigdefault(attributes, &all);
  (void)posix_spawnattr_setpgroup(attributes, 0);
  return posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                                  POSIX_SPAWN_SETPGROUP);
}

/* What a library that is about to crash has to say would stand in the log without a prefix. */
static int set_files(posix_spawn_file_actions_t *files, int output)
{
  int error = posix_spawn_file_actions_addopen(files, STDIN_FILENO, "/dev/null", O_RDWR, 0);

  if (error == 0)
    error = posix_spawn_file_actions_adddup2(files, STDIN_FILENO, STDERR_FILENO);
  if (error == 0)
    error = posix_spawn_file_actions_adddup2(files, output, STDOUT_FILENO);
  return error;
}

static int spawn(const char *only, unsigned deadline_ms, int output, pid_t *ret_pid)
{
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  char deadline[16];
  char *argv[] = {(char *)program(), program_invocation_short_name, deadline, (char *)only, NULL};
  int error = posix_spawn_file_actions_init(&files);

  if (error != 0)
    return error;
  (void)snprintf(deadline, sizeof deadline, "%u", deadline_ms);
  error = posix_spawnattr_init(&attributes);
  if (error == 0) {
    error = set_attributes(&attributes);
    if (error == 0)
      error = set_files(&files, output);
    if (error == 0)
      error = posix_spawn(ret_pid, argv[0], &files, &attributes, argv, environ);
    (void)posix_spawnattr_destroy(&attributes);
  }
  (void)posix_spawn_file_actions_destroy(&files);
  return error;
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

/* True when all was read. */
static bool read_until(int input, uint64_t deadline, struct p11s_buf *output)
{
  while (output->len < OUTPUT_MAX && !output->failed) {
    uint64_t now = p11s_now_ms();
    struct pollfd fd = {input, POLLIN, 0};
    char block[4096];
    ssize_t n;

    if (now >= deadline)
      return false;
    if (poll(&fd, 1, (int)(deadline - now)) <= 0)
      continue;
    n = read(input, block, sizeof block);
    if (n > 0)
      p11s_buf_add(output, block, (size_t)n);
    else if (n == 0 || errno != EINTR)
      return n == 0 && is_complete(output);
  }
  return false;
}

/* Where SIGCHLD is ignored there is nothing to wait for. */
static void reap(pid_t pid, bool finished)
{
  if (!finished)
    (void)kill(-pid, SIGKILL);
  while (waitpid(pid, NULL, 0) == -1 && errno == EINTR)
    continue;
}

static bool run(const char *only, unsigned deadline_ms, struct p11s_buf *output)
{
  uint64_t deadline = p11s_now_ms() + deadline_ms + GRACE_MS;
  int fds[2], error;
  bool finished;
  pid_t pid;

  if (pipe2(fds, O_CLOEXEC) != 0) {
    p11s_log_debug("PKCS#11 modules are not tried beforehand: no pipe: %s", strerror(errno));
    return false;
  }
  error = spawn(only, deadline_ms, fds[1], &pid);
  (void)close(fds[1]);
  if (error != 0) {
    (void)close(fds[0]);
    p11s_log_debug("PKCS#11 modules are not tried beforehand: %s: %s", program(), strerror(error));
    return false;
  }
  finished = read_until(fds[0], deadline, output);
  (void)close(fds[0]);
  reap(pid, finished);
  if (!finished)
    p11s_log_debug("PKCS#11 modules are not known beforehand: %s did not finish", program());
  return finished;
}

static bool fill(struct p11s_modprobe_module *m, char *const field[FIELDS])
{
  const char *flags = field[FIELD_FLAGS];

  m->enabled = strchr(flags, 'e') != NULL;
  m->unmanaged = strchr(flags, 'u') != NULL;
  m->critical = strchr(flags, 'c') != NULL;
  m->verdict = strchr(flags, 'D') != NULL   ? P11S_MODPROBE_DANGEROUS
               : strchr(flags, 'U') != NULL ? P11S_MODPROBE_UNLOADABLE
                                            : P11S_MODPROBE_GOOD;
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
static bool parse(char *text, size_t len, struct p11s_modprobe *probe)
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

bool p11s_modprobe_run(const char *only, unsigned deadline_ms, struct p11s_modprobe *ret_probe)
{
  struct p11s_buf output = P11S_BUF_INIT;
  struct p11s_modprobe probe = {NULL, 0};
  bool good = false;

  /* With file capabilities or the like p11-kit trusts less of the environment than the program
     would. */
  if (getauxval(AT_SECURE) != 0)
    p11s_log_debug("PKCS#11 modules are not tried beforehand: the server has raised privileges");
  else
    good = run(only, deadline_ms, &output);
  if (good && !parse(output.data, output.len, &probe)) {
    p11s_log_debug("PKCS#11 modules are not known beforehand: %s is of another version", program());
    good = false;
  }
  p11s_buf_clear(&output);
  if (good)
    *ret_probe = probe;
  else
    p11s_modprobe_clear(&probe);
  return good;
}

void p11s_modprobe_clear(struct p11s_modprobe *probe)
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

const struct p11s_modprobe_module *p11s_modprobe_find(const struct p11s_modprobe *probe,
                                                      const char *name)
{
  for (size_t i = 0; i < probe->count; i++)
    if (strcmp(probe->modules[i].name, name) == 0)
      return &probe->modules[i];
  return NULL;
}

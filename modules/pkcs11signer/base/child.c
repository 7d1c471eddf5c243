/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/child.h"

#include "base/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Beyond the program's own deadline. */
#define GRACE_MS 2000
#define OUTPUT_MAX (1024 * 1024)
#define ARGUMENTS_MAX 8

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

static int spawn(const char *const *argument, int output, pid_t *ret_pid)
{
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  char *argv[ARGUMENTS_MAX + 2] = {(char *)program()};
  int error = posix_spawn_file_actions_init(&files);

  if (error != 0)
    return error;
  for (size_t i = 0; i < ARGUMENTS_MAX && argument[i] != NULL; i++)
    argv[i + 1] = (char *)argument[i];
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

/* How long, and who is told. */
struct watch {
  uint64_t deadline;
  unsigned silence_ms; /* how far each output moves the deadline; 0: it does not */
  p11s_child_fn fn;    /* may be NULL */
  void *arg;
};

/* True when all was read. */
static bool read_until(int input, struct watch *watch, struct p11s_buf *output)
{
  while (output->len < OUTPUT_MAX && !output->failed) {
    uint64_t now = p11s_now_ms();
    struct pollfd fd = {input, POLLIN, 0};
    char block[4096];
    ssize_t n;

    if (now >= watch->deadline)
      return false;
    if (poll(&fd, 1, (int)(watch->deadline - now)) <= 0)
      continue;
    n = read(input, block, sizeof block);
    if (n == 0 || (n < 0 && errno != EINTR))
      return n == 0;
    if (n < 0)
      continue;
    p11s_buf_add(output, block, (size_t)n);
    if (watch->fn != NULL)
      watch->fn(output, watch->arg);
    if (watch->silence_ms > 0)
      watch->deadline = p11s_now_ms() + watch->silence_ms;
  }
  return false;
}

/* It may have closed its output and hang all the same. Where SIGCHLD is ignored there is nothing to
   wait for. */
static void reap(pid_t pid, bool finished, uint64_t deadline)
{
  pid_t gone = 0;

  while (finished && (gone = waitpid(pid, NULL, WNOHANG)) == 0 && p11s_now_ms() < deadline)
    p11s_pause(2);
  if (gone != 0)
    return;
  (void)kill(-pid, SIGKILL);
  while (waitpid(pid, NULL, 0) == -1 && errno == EINTR)
    continue;
}

static enum p11s_err run(const char *const *argument, struct watch *watch, struct p11s_buf *output,
                         struct p11s_error *e)
{
  int fds[2], error;
  bool finished;
  pid_t pid;

  if (pipe2(fds, O_CLOEXEC) != 0)
    return p11s_error_set(e, P11S_ERR_HOST, "no pipe: %s", strerror(errno));
  error = spawn(argument, fds[1], &pid);
  (void)close(fds[1]);
  if (error != 0) {
    (void)close(fds[0]);
    return p11s_error_set(e, P11S_ERR_HOST, "%s: %s", program(), strerror(error));
  }
  finished = read_until(fds[0], watch, output);
  (void)close(fds[0]);
  reap(pid, finished, watch->deadline);
  if (!finished)
    return p11s_error_set(e, P11S_ERR_TIMEOUT, "%s did not finish", program());
  return P11S_OK;
}

enum p11s_err p11s_child_run(const char *const *argument, unsigned deadline_ms, p11s_child_fn fn,
                             void *arg, struct p11s_buf *output, struct p11s_error *e)
{
  struct watch watch = {p11s_now_ms() + deadline_ms + GRACE_MS, 0, fn, arg};

  return run(argument, &watch, output, e);
}

enum p11s_err p11s_child_follow(const char *const *argument, unsigned silence_ms, p11s_child_fn fn,
                                void *arg, struct p11s_buf *output, struct p11s_error *e)
{
  struct watch watch = {p11s_now_ms() + silence_ms, silence_ms, fn, arg};

  return run(argument, &watch, output, e);
}

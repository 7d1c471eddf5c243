/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "store_file.h"

#include "buf.h"
#include "helper.h"
#include "lock.h"
#include "log.h"
#include "store_lmdb.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOOK_EVERY_MS 20
#define MARK_MAX 160

struct p11s_store_owner p11s_store_file_own(const char *directory)
{
  struct p11s_store_owner before = {0, 0, false};
  struct stat status;

  if (geteuid() != 0 || stat(directory, &status) != 0 || status.st_uid == 0)
    return before;
  before.gid = (unsigned)setfsgid(status.st_gid);
  before.uid = (unsigned)setfsuid(status.st_uid);
  before.changed = true;
  return before;
}

void p11s_store_file_unown(struct p11s_store_owner before)
{
  if (!before.changed)
    return;
  (void)setfsuid(before.uid);
  (void)setfsgid(before.gid);
}

/* -- the guard */

/* Changes with every write to the file. */
static bool describe(const char *path, char *mark)
{
  struct stat s;

  if (stat(path, &s) != 0)
    return false;
  (void)snprintf(mark, MARK_MAX,
                 "pkcs11signer store 1 %" PRIu64 " %" PRIu64 " %" PRId64 ".%09ld %" PRId64
                 ".%09ld\n",
                 (uint64_t)s.st_ino, (uint64_t)s.st_size, (int64_t)s.st_mtim.tv_sec,
                 s.st_mtim.tv_nsec, (int64_t)s.st_ctim.tv_sec, s.st_ctim.tv_nsec);
  return true;
}

static bool was_closed_properly(const struct p11s_store_file *file)
{
  char expected[MARK_MAX], found[MARK_MAX] = "";

  return describe(file->path, expected) && pread(file->guard, found, sizeof found - 1, 0) > 0 &&
         strcmp(found, expected) == 0;
}

enum guard { GUARD_SHARED, GUARD_ALONE, GUARD_LATE };

static void pause_briefly(void)
{
  const struct timespec pause = {0, LOOK_EVERY_MS * 1000000L};

  (void)nanosleep(&pause, NULL);
}

/* Another process may be preparing the files, and flock() knows no deadline. */
static enum guard take_guard(int fd, uint64_t deadline_ms)
{
  while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (flock(fd, LOCK_SH | LOCK_NB) == 0)
      return GUARD_SHARED;
    if (p11s_now_ms() >= deadline_ms)
      return GUARD_LATE;
    pause_briefly();
  }
  return GUARD_ALONE;
}

static bool share_guard(int fd, uint64_t deadline_ms)
{
  while (flock(fd, LOCK_SH | LOCK_NB) != 0) {
    if (p11s_now_ms() >= deadline_ms)
      return false;
    pause_briefly();
  }
  return true;
}

/* -- what is there already */

static char *beside(const char *path, const char *suffix)
{
  char *name;

  return asprintf(&name, "%s%s", path, suffix) < 0 ? NULL : name;
}

static enum p11s_err set_aside(const char *path, const char *why, struct p11s_error *e)
{
  char *aside = beside(path, ".broken");
  bool done = aside != NULL && rename(path, aside) == 0;

  if (done)
    p11s_log_event(P11S_LOG_ERROR,
                   "signature store %s cannot be used (%s): it is now %s, which nobody needs any "
                   "more, and a new one begins empty",
                   path, why, aside);
  free(aside);
  if (done)
    return P11S_OK;
  return p11s_error_set(e, P11S_ERR_HOST, "cannot be used (%s), nor renamed: %s", why,
                        strerror(errno));
}

/* The last line of what the program has said; "" when it came to no end. */
static const char *last_words(struct p11s_buf *output)
{
  char *text = output->failed || output->len == 0 ? NULL : output->data;

  if (text == NULL || text[output->len - 1] != '\n')
    return "";
  text[output->len - 1] = '\0';
  return text;
}

static enum p11s_err judge_copy(const char *path, const char *copy, const char *words,
                                struct p11s_error *e)
{
  if (strcmp(words, "good") == 0) {
    if (rename(copy, path) == 0)
      return P11S_OK;
    return p11s_error_set(e, P11S_ERR_HOST, "%s cannot be renamed: %s", copy, strerror(errno));
  }
  (void)unlink(copy);
  if (strncmp(words, "space: ", 7) == 0)
    return p11s_error_set(e, P11S_ERR_HOST,
                          "was not closed properly and has to be copied, but the copy cannot be "
                          "written: %s; make room and start again, or delete it",
                          words + 7);
  return set_aside(path, words[0] != '\0' ? words : "reading it crashed a program", e);
}

static enum p11s_err renew(const char *path, struct p11s_error *e)
{
  struct p11s_buf output = P11S_BUF_INIT;
  char deadline[16], *copy = beside(path, ".new");
  const char *const argument[] = {"--copy-store", deadline, path, copy, NULL};
  struct p11s_error error;
  enum p11s_err result;

  if (copy == NULL)
    return p11s_error_set(e, P11S_ERR_NOMEM, "out of memory");
  (void)unlink(copy);
  (void)snprintf(deadline, sizeof deadline, "%d", P11S_STORE_FILE_MS);
  result = p11s_helper_run(argument, P11S_STORE_FILE_MS, &output, &error);
  if (result == P11S_ERR_TIMEOUT) {
    (void)unlink(copy);
    result = set_aside(path, "reading it did not come to an end", e);
  } else if (result == P11S_OK) {
    result = judge_copy(path, copy, last_words(&output), e);
  } else {
    (void)p11s_error_set(e, result, "was not closed properly, and cannot be looked at: %s",
                         error.text);
  }
  p11s_buf_clear(&output);
  free(copy);
  return result;
}

/* A page of the lock file that is written to first when the disk is full would end the process. */
static enum p11s_err make_lock_file(const char *path, struct p11s_error *e)
{
  char *name = beside(path, "-lock");
  int fd, error;

  if (name == NULL)
    return p11s_error_set(e, P11S_ERR_NOMEM, "out of memory");
  (void)unlink(name);
  fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  error = fd < 0 ? errno : posix_fallocate(fd, 0, P11S_LMDB_LOCK_BYTES);
  if (fd >= 0)
    (void)close(fd);
  if (error != 0) {
    (void)p11s_error_set(e, P11S_ERR_HOST, "%s: %s", name, strerror(error));
    (void)unlink(name);
  }
  free(name);
  return error == 0 ? P11S_OK : P11S_ERR_HOST;
}

/* With the guard to itself. */
static enum p11s_err prepare_alone(const struct p11s_store_file *file, struct p11s_error *e)
{
  enum p11s_err result = P11S_OK;
  struct stat status;

  if (lstat(file->path, &status) != 0) {
    if (errno != ENOENT)
      return p11s_error_set(e, P11S_ERR_HOST, "%s", strerror(errno));
  } else if (!S_ISREG(status.st_mode)) {
    return p11s_error_set(e, P11S_ERR_HOST, "is no regular file");
  } else if (status.st_size > 0 && !was_closed_properly(file)) {
    result = renew(file->path, e);
  }
  if (result == P11S_OK)
    result = make_lock_file(file->path, e);
  /* From now on it is not closed properly. */
  if (result == P11S_OK && ftruncate(file->guard, 0) != 0)
    result = p11s_error_set(e, P11S_ERR_HOST, "%s", strerror(errno));
  return result;
}

static enum p11s_err open_guard(const char *directory, struct p11s_store_file *file,
                                struct p11s_error *e)
{
  char *guard = beside(directory, "/signatures.guard");

  file->path = beside(directory, "/signatures.lmdb");
  if (guard == NULL || file->path == NULL) {
    free(guard);
    return p11s_error_set(e, P11S_ERR_NOMEM, "out of memory");
  }
  file->guard = open(guard, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (file->guard < 0)
    (void)p11s_error_set(e, P11S_ERR_HOST, "%s: %s", guard, strerror(errno));
  free(guard);
  return file->guard < 0 ? P11S_ERR_HOST : P11S_OK;
}

enum p11s_err p11s_store_file_prepare(const char *directory, struct p11s_store_file *ret,
                                      struct p11s_error *e)
{
  /* The one who prepares them may need that long itself. */
  uint64_t deadline_ms = p11s_now_ms() + P11S_STORE_FILE_MS + 5000;
  struct p11s_store_file file = {NULL, -1};
  enum p11s_err result = open_guard(directory, &file, e);
  enum guard got = GUARD_LATE;

  if (result == P11S_OK) {
    got = take_guard(file.guard, deadline_ms);
    if (got == GUARD_ALONE)
      result = prepare_alone(&file, e);
    if (result == P11S_OK &&
        (got == GUARD_LATE || (got == GUARD_ALONE && !share_guard(file.guard, deadline_ms))))
      result = p11s_error_set(e, P11S_ERR_HOST, "another process is preparing it");
  }
  if (result == P11S_OK)
    *ret = file;
  else
    p11s_store_file_release(&file, false);
  return result;
}

void p11s_store_file_release(struct p11s_store_file *file, bool clean)
{
  char mark[MARK_MAX];

  if (file->guard >= 0 && clean && flock(file->guard, LOCK_EX | LOCK_NB) == 0 &&
      describe(file->path, mark) &&
      pwrite(file->guard, mark, strlen(mark), 0) != (ssize_t)strlen(mark))
    p11s_log_debug("signature store %s: the guard cannot be written: %s", file->path,
                   strerror(errno));
  if (file->guard >= 0)
    (void)close(file->guard);
  file->guard = -1;
  free(file->path);
  file->path = NULL;
}

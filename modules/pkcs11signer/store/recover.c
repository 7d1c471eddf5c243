/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "store/recover.h"

#include "base/buf.h"
#include "base/child.h"
#include "base/lock.h"
#include "base/log.h"
#include "store/lmdb.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/fsuid.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOOK_EVERY_MS 20
#define MARK_MAX 160
#define INSIDE_AT 512 /* in the guard, behind the mark */
#define MARK_TRIES 10
#define GUARD_BYTES 4096
#define SAY_FIRST_MS 2000

void p11s_store_file_own(const char *directory)
{
  struct stat status;

  if (geteuid() != 0 || stat(directory, &status) != 0 || status.st_uid == 0)
    return;
  (void)setfsgid(status.st_gid);
  (void)setfsuid(status.st_uid);
}

void p11s_store_file_unown(void)
{
  (void)setfsuid(geteuid());
  (void)setfsgid(getegid());
}

/* -- the guard */

/* Changes with every write to the file. */
static bool describe(const char *path, char *mark)
{
  struct stat s;

  if (stat(path, &s) != 0)
    return false;
  (void)snprintf(mark, MARK_MAX,
                 "pkcs11signer store 2 %" PRIu64 " %" PRIu64 " %" PRId64 ".%09ld %" PRId64
                 ".%09ld\n",
                 (uint64_t)s.st_ino, (uint64_t)s.st_size, (int64_t)s.st_mtim.tv_sec,
                 s.st_mtim.tv_nsec, (int64_t)s.st_ctim.tv_sec, s.st_ctim.tv_nsec);
  return true;
}

static bool is_as_it_was_left(const struct p11s_store_file *file)
{
  char expected[MARK_MAX], found[MARK_MAX] = "";

  return describe(file->path, expected) && pread(file->guard, found, strlen(expected), 0) > 0 &&
         strcmp(found, expected) == 0 && atomic_load(file->inside) == 0;
}

/* Another process may write at the same time: the last one of all to look has seen that its mark is
   the right one. */
void p11s_store_file_mark(const struct p11s_store_file *file)
{
  char mark[MARK_MAX], now[MARK_MAX];
  bool changed = describe(file->path, mark);

  for (int tries = 0; changed && tries < MARK_TRIES; tries++) {
    if (pwrite(file->guard, mark, strlen(mark), 0) != (ssize_t)strlen(mark))
      p11s_log_debug("signature store %s: the guard cannot be written: %s", file->path,
                     strerror(errno));
    changed = describe(file->path, now) && strcmp(mark, now) != 0;
    memcpy(mark, now, sizeof mark);
  }
}

enum guard { GUARD_SHARED, GUARD_ALONE, GUARD_LATE };

/* Another process may be preparing the files, and flock() knows no deadline. */
static enum guard take_guard(int fd, bool alone, uint64_t deadline_ms)
{
  for (;;) {
    if (alone && flock(fd, LOCK_EX | LOCK_NB) == 0)
      return GUARD_ALONE;
    if (flock(fd, LOCK_SH | LOCK_NB) == 0)
      return GUARD_SHARED;
    if (p11s_now_ms() >= deadline_ms)
      return GUARD_LATE;
    p11s_pause(LOOK_EVERY_MS);
  }
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

/* What takes long is said, after two seconds, four, eight… */
struct progress {
  const char *path;
  uint64_t began_ms;
  uint64_t said_ms; /* how long it had taken then */
};

static bool is_to_be_said(struct progress *p)
{
  uint64_t took_ms = p11s_now_ms() - p->began_ms;

  if (took_ms < SAY_FIRST_MS || took_ms < p->said_ms * 2)
    return false;
  p->said_ms = took_ms;
  return true;
}

/* The last line of what the program has said; "" when it came to no end. */
static const char *last_words(struct p11s_buf *output)
{
  char *text = output->failed || output->len == 0 ? NULL : output->data, *line;

  if (text == NULL || text[output->len - 1] != '\n')
    return "";
  text[output->len - 1] = '\0';
  line = strrchr(text, '\n');
  return line != NULL ? line + 1 : text;
}

/* "at DONE of ALL", a line. */
static bool parse_progress(const char *line, uint64_t *done, uint64_t *all)
{
  char *end;

  if (strncmp(line, "at ", 3) != 0)
    return false;
  *done = strtoull(line + 3, &end, 10);
  if (strncmp(end, " of ", 4) != 0)
    return false;
  *all = strtoull(end + 4, &end, 10);
  return *end == '\n';
}

/* Takes the lines that only say how far it has come. */
static void follow(struct p11s_buf *output, void *arg)
{
  struct progress *p = arg;
  uint64_t done, all;
  size_t len = 0;
  char *end;

  if (output->failed)
    return;
  while ((end = memchr(output->data + len, '\n', output->len - len)) != NULL &&
         parse_progress(output->data + len, &done, &all)) {
    len = (size_t)(end - output->data) + 1;
    if (all > 0 && is_to_be_said(p))
      p11s_log_event(P11S_LOG_NOTICE,
                     "signature store %s was not left as it has to be and is copied: %" PRIu64
                     " of %" PRIu64
                     " records so far. Until then it is not looked into, and what it has is signed "
                     "anew",
                     p->path, done, all);
  }
  memmove(output->data, output->data + len, output->len - len);
  output->len -= len;
  output->data[output->len] = '\0';
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
                          "was not left as it has to be, and the copy cannot be written: "
                          "%s; make room and start again, or delete it",
                          words + 7);
  return set_aside(path, words[0] != '\0' ? words : "reading it crashed a program", e);
}

static enum p11s_err renew(const char *path, struct p11s_error *e)
{
  struct p11s_buf output = P11S_BUF_INIT;
  struct progress progress = {path, p11s_now_ms(), 0};
  char *copy = beside(path, ".new");
  const char *const argument[] = {"--copy-store", path, copy, NULL};
  struct p11s_error error;
  enum p11s_err result;

  if (copy == NULL)
    return p11s_error_no_memory(e);
  (void)unlink(copy);
  result =
      p11s_child_follow(argument, P11S_STORE_FILE_SILENCE_MS, follow, &progress, &output, &error);
  if (result == P11S_ERR_TIMEOUT) {
    (void)unlink(copy);
    (void)p11s_error_set(e, P11S_ERR_HOST,
                         "has to be copied, and reading it has not gone on for %d s: it is left as "
                         "it is, and tried again at the next start; see to the disk, or delete it",
                         P11S_STORE_FILE_SILENCE_MS / 1000);
    result = P11S_ERR_HOST;
  } else if (result == P11S_OK) {
    result = judge_copy(path, copy, last_words(&output), e);
  } else {
    (void)p11s_error_set(e, result, "was not left as it has to be, and cannot be looked at: %s",
                         error.text);
  }
  if (result == P11S_OK && progress.said_ms > 0)
    p11s_log_event(P11S_LOG_NOTICE, "signature store %s: copied after %" PRIu64 " s", path,
                   (p11s_now_ms() - progress.began_ms) / 1000);
  p11s_buf_clear(&output);
  free(copy);
  return result;
}

/* Opens a file that is to be mapped: a page that is first written to when the disk is full would
   end the process. 0, or the error. */
static int open_mapped(const char *name, int flags, size_t bytes, int *ret_fd)
{
  *ret_fd = open(name, flags | O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  return *ret_fd < 0 ? errno : posix_fallocate(*ret_fd, 0, (off_t)bytes);
}

static enum p11s_err make_lock_file(const char *path, struct p11s_error *e)
{
  char *name = beside(path, "-lock");
  int fd, error;

  if (name == NULL)
    return p11s_error_no_memory(e);
  (void)unlink(name);
  error = open_mapped(name, O_EXCL, P11S_LMDB_LOCK_BYTES, &fd);
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
  } else if (status.st_size > 0 && !is_as_it_was_left(file)) {
    result = renew(file->path, e);
    if (result == P11S_OK)
      p11s_store_file_mark(file);
  }
  if (result == P11S_OK)
    result = make_lock_file(file->path, e);
  if (result == P11S_OK)
    atomic_store(file->inside, 0);
  return result;
}

static int map_guard(struct p11s_store_file *file)
{
  unsigned char *map = mmap(NULL, GUARD_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, file->guard, 0);

  if (map == MAP_FAILED)
    return errno;
  file->inside = (atomic_uint *)(void *)(map + INSIDE_AT);
  return 0;
}

static enum p11s_err open_guard(const char *directory, struct p11s_store_file *file,
                                struct p11s_error *e)
{
  char *guard = beside(directory, "/signatures.guard");
  int error;

  file->path = beside(directory, "/signatures.lmdb");
  if (guard == NULL || file->path == NULL) {
    free(guard);
    return p11s_error_no_memory(e);
  }
  error = open_mapped(guard, 0, GUARD_BYTES, &file->guard);
  if (error == 0)
    error = map_guard(file);
  if (error != 0)
    (void)p11s_error_set(e, P11S_ERR_HOST, "%s: %s", guard, strerror(error));
  free(guard);
  return error != 0 ? P11S_ERR_HOST : P11S_OK;
}

enum p11s_err p11s_store_file_prepare(const char *directory, bool patient,
                                      struct p11s_store_file *ret, struct p11s_error *e)
{
  /* Who prepares them ends, or is ended, and gives the guard back. */
  uint64_t deadline_ms = patient ? UINT64_MAX : p11s_now_ms() + P11S_STORE_FILE_MS;
  struct p11s_store_file file = {NULL, -1, NULL};
  enum p11s_err result = open_guard(directory, &file, e);
  enum guard got = GUARD_LATE;

  if (result == P11S_OK)
    got = take_guard(file.guard, true, deadline_ms);
  if (got == GUARD_ALONE && (result = prepare_alone(&file, e)) == P11S_OK)
    got = take_guard(file.guard, false, deadline_ms);
  if (result == P11S_OK && got == GUARD_LATE)
    result = p11s_error_set(e, P11S_ERR_HOST, "another process is preparing it");
  if (result == P11S_OK)
    *ret = file;
  else
    p11s_store_file_free(&file);
  return result;
}

void p11s_store_file_release(struct p11s_store_file *file)
{
  if (file->guard >= 0)
    (void)close(file->guard);
  file->guard = -1;
}

void p11s_store_file_free(struct p11s_store_file *file)
{
  p11s_store_file_release(file);
  if (file->inside != NULL)
    (void)munmap((unsigned char *)file->inside - INSIDE_AT, GUARD_BYTES);
  file->inside = NULL;
  free(file->path);
  file->path = NULL;
}

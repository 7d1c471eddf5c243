/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pin/marks_file.h"

#include "base/file.h"
#include "base/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAME "refused-pins"
#define ASIDE NAME ".corrupt"
#define LOCK NAME ".lock"

static int open_dir(const char *dir)
{
  return open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void close_quietly(int fd)
{
  int saved = errno;

  if (fd >= 0)
    (void)close(fd);
  errno = saved;
}

static void fill_id(const struct stat *st, struct p11s_marks_file_id *id)
{
  memset(id, 0, sizeof *id);
  id->dev = st->st_dev;
  id->ino = st->st_ino;
  id->size = st->st_size;
  id->changed = st->st_ctim;
  id->modified = st->st_mtim;
}

bool p11s_marks_file_id(const char *dir, struct p11s_marks_file_id *ret_id)
{
  char path[4096];
  struct stat st;

  memset(ret_id, 0, sizeof *ret_id);
  if ((size_t)snprintf(path, sizeof path, "%s/" NAME, dir) >= sizeof path || lstat(path, &st) != 0)
    return false;
  fill_id(&st, ret_id);
  return true;
}

/* What root makes in somebody's directory is for that one to use. */
static bool hand_over(int fd, int dir_fd)
{
  struct stat st;

  if (geteuid() != 0)
    return true;
  return fstat(dir_fd, &st) == 0 && fchown(fd, st.st_uid, st.st_gid) == 0;
}

/* -- reading */

static enum p11s_marks_file_result read_fd(int fd, struct p11s_pin_marks *ret_marks,
                                           struct p11s_marks_file_id *ret_id)
{
  enum p11s_marks_file_result result = P11S_MARKS_FILE_UNUSABLE;
  enum p11s_err parsed = P11S_ERR_NOMEM;
  struct stat st;
  ssize_t len = 0;
  char *text;

  if (fstat(fd, &st) != 0)
    return P11S_MARKS_FILE_UNUSABLE;
  if (!S_ISREG(st.st_mode) || st.st_size > (off_t)P11S_PIN_MARKS_TEXT_MAX)
    return P11S_MARKS_FILE_CORRUPT;
  text = malloc((size_t)st.st_size + 2);
  if (text != NULL)
    len = p11s_file_read(fd, text, (size_t)st.st_size + 1); /* one more shows that it has grown */
  if (text != NULL && len >= 0) {
    text[len] = '\0';
    parsed = p11s_pin_marks_parse(text, (size_t)len, ret_marks);
    errno = ENOMEM;
  }
  if (parsed == P11S_OK) {
    fill_id(&st, ret_id);
    result = P11S_MARKS_FILE_OK;
  } else if (parsed != P11S_ERR_NOMEM) {
    result = P11S_MARKS_FILE_CORRUPT;
  }
  free(text);
  return result;
}

enum p11s_marks_file_result p11s_marks_file_read(const char *dir, struct p11s_pin_marks *ret_marks,
                                                 struct p11s_marks_file_id *ret_id)
{
  enum p11s_marks_file_result result = P11S_MARKS_FILE_UNUSABLE;
  int dir_fd = open_dir(dir);
  int fd = -1;

  if (dir_fd < 0)
    return result;
  fd = openat(dir_fd, NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
  if (fd >= 0)
    result = read_fd(fd, ret_marks, ret_id);
  else if (errno == ENOENT)
    result = P11S_MARKS_FILE_NONE;
  else if (errno == ELOOP)
    result = P11S_MARKS_FILE_CORRUPT;
  if (result == P11S_MARKS_FILE_CORRUPT && renameat(dir_fd, NAME, dir_fd, ASIDE) != 0)
    result = P11S_MARKS_FILE_UNUSABLE;
  close_quietly(fd);
  close_quietly(dir_fd);
  return result;
}

/* -- writing */

static bool write_all(int fd, const char *data, size_t len)
{
  while (len > 0) {
    ssize_t n = write(fd, data, len);
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      return false;
    data += n;
    len -= (size_t)n;
  }
  return true;
}

static bool write_new(int dir_fd, const char *temporary, const struct p11s_buf *text,
                      struct p11s_marks_file_id *ret_id)
{
  int fd = openat(dir_fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  struct stat st;
  bool good;

  if (fd < 0)
    return false;
  good = hand_over(fd, dir_fd) && write_all(fd, text->data, text->len) && fsync(fd) == 0 &&
         renameat(dir_fd, temporary, dir_fd, NAME) == 0 && fstat(fd, &st) == 0;
  if (good)
    fill_id(&st, ret_id);
  close_quietly(fd);
  return good;
}

enum p11s_marks_file_result p11s_marks_file_write(const char *dir,
                                                  const struct p11s_pin_marks *marks,
                                                  struct p11s_marks_file_id *ret_id)
{
  struct p11s_buf text = P11S_BUF_INIT;
  char temporary[64];
  int dir_fd = open_dir(dir);
  bool good = false;

  if (dir_fd < 0)
    return P11S_MARKS_FILE_UNUSABLE;
  p11s_pin_marks_format(marks, &text);
  /* Whoever writes holds the lock, so what stands there was left by one that died. */
  (void)snprintf(temporary, sizeof temporary, NAME ".new");
  (void)unlinkat(dir_fd, temporary, 0);
  if (text.failed) {
    errno = ENOMEM;
  } else {
    good = write_new(dir_fd, temporary, &text, ret_id);
    if (good)
      (void)fsync(dir_fd);
    else {
      int saved = errno;

      (void)unlinkat(dir_fd, temporary, 0);
      errno = saved;
    }
  }
  p11s_buf_clear(&text);
  close_quietly(dir_fd);
  return good ? P11S_MARKS_FILE_OK : P11S_MARKS_FILE_UNUSABLE;
}

/* -- locking */

static int open_lock(const char *dir)
{
  const int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
  int dir_fd = open_dir(dir);
  int fd;

  if (dir_fd < 0)
    return -1;
  fd = openat(dir_fd, LOCK, flags);
  if (fd < 0 && errno == ENOENT) {
    fd = openat(dir_fd, LOCK, flags | O_CREAT | O_EXCL, 0600);
    if (fd >= 0)
      (void)hand_over(fd, dir_fd);
    else if (errno == EEXIST) /* another one was quicker */
      fd = openat(dir_fd, LOCK, flags);
  }
  close_quietly(dir_fd);
  return fd;
}

int p11s_marks_file_lock(const char *dir, uint32_t what, uint64_t deadline_ms)
{
  struct flock range = {
      .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)what, .l_len = 1};
  int fd = open_lock(dir);

  if (fd < 0)
    return -1;
  /* An open file description's lock: threads of one process keep each other out as well. */
  while (fcntl(fd, F_OFD_SETLK, &range) != 0) {
    if ((errno != EAGAIN && errno != EACCES && errno != EINTR) || p11s_now_ms() >= deadline_ms) {
      close_quietly(fd);
      return -1;
    }
    p11s_pause(5);
  }
  return fd;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "admin/message_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct p11s_message_file {
  FILE *file;
  unsigned char *data;
  size_t room;
  bool failed;
};

/* Before the data. */
struct head {
  unsigned key;
  int week;
  size_t len;
};

static FILE *open_file(const char *directory)
{
  int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  FILE *file = fd >= 0 ? fdopen(fd, "w+") : tmpfile();

  if (file == NULL && fd >= 0)
    (void)close(fd);
  return file;
}

static enum p11s_err fail(struct p11s_error *e)
{
  return p11s_error_set(e, P11S_ERR_HOST, "a temporary file cannot be used: %s", strerror(errno));
}

enum p11s_err p11s_message_file_new(const char *directory, struct p11s_message_file **ret_file,
                                    struct p11s_error *e)
{
  struct p11s_message_file *s = calloc(1, sizeof *s);

  if (s == NULL)
    return p11s_error_no_memory(e);
  s->file = open_file(directory);
  if (s->file == NULL) {
    free(s);
    return fail(e);
  }
  *ret_file = s;
  return P11S_OK;
}

void p11s_message_file_free(struct p11s_message_file *s)
{
  if (s == NULL)
    return;
  (void)fclose(s->file);
  free(s->data);
  free(s);
}

enum p11s_err p11s_message_file_add(struct p11s_message_file *s, unsigned key, int week,
                                    const void *data, size_t len, struct p11s_error *e)
{
  const struct head head = {key, week, len}; /* without padding */

  if (fwrite(&head, sizeof head, 1, s->file) != 1 || fwrite(data, 1, len, s->file) != len)
    return fail(e);
  return P11S_OK;
}

enum p11s_err p11s_message_file_rewind(struct p11s_message_file *s, struct p11s_error *e)
{
  if (fflush(s->file) != 0 || fseek(s->file, 0, SEEK_SET) != 0)
    return fail(e);
  return P11S_OK;
}

bool p11s_message_file_next(struct p11s_message_file *s, struct p11s_message_file_record *ret)
{
  struct head head;
  unsigned char *data;

  if (fread(&head, sizeof head, 1, s->file) != 1) {
    s->failed = ferror(s->file) != 0;
    return false;
  }
  if (head.len > s->room || s->data == NULL) {
    data = realloc(s->data, head.len + 1);
    s->failed = data == NULL;
    if (data == NULL)
      return false;
    s->data = data;
    s->room = head.len;
  }
  s->failed = fread(s->data, 1, head.len, s->file) != head.len;
  *ret = (struct p11s_message_file_record){head.key, head.week, head.len, s->data};
  return !s->failed;
}

bool p11s_message_file_failed(const struct p11s_message_file *s)
{
  return s->failed;
}

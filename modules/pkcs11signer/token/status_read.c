/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What running servers say of their tokens (token/status_file.h). */
#include "token/status_file.h"

#include "token/status_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define TRIES 5
#define FIELDS 8
/* Behind them, from servers that say them: */
enum { RATE = FIELDS, ROOM, SEEN, SLOT, SERIAL, LABEL, MANUFACTURER, MODEL, FIELDS_MOST };

/* Splits at tabs, in place; returns how many fields there are, at most count. */
static size_t split(char *line, char **field, size_t count)
{
  for (size_t i = 0; i < count; i++) {
    field[i] = line;
    line = strchr(line, '\t');
    if (line == NULL)
      return i;
    *line++ = '\0';
  }
  return count;
}

static void copy(char *to, size_t size, const char *text)
{
  (void)snprintf(to, size, "%s", text);
}

static void parse_found(char *const *field, struct p11s_slot_info *found)
{
  found->id = strtoul(field[SLOT], NULL, 10);
  copy(found->serial, sizeof found->serial, field[SERIAL]);
  copy(found->label, sizeof found->label, field[LABEL]);
  copy(found->manufacturer, sizeof found->manufacturer, field[MANUFACTURER]);
  copy(found->model, sizeof found->model, field[MODEL]);
}

static bool parse_token(char *text, pid_t pid, struct p11s_status_line *line)
{
  char *field[FIELDS_MOST];
  size_t count = split(text, field, FIELDS_MOST);

  if (count < FIELDS)
    return false;
  *line = (struct p11s_status_line){
      .pid = pid,
      .module = field[0],
      .slot = field[1],
      .state = field[2],
      .since = strtoll(field[3], NULL, 10),
      .reconnects = strtoull(field[4], NULL, 10),
      .refused = strtoull(field[5], NULL, 10),
      .pin = field[6],
      .trouble = field[7],
  };
  if (count > ROOM && p11s_speed_parse(field[RATE], &line->rate))
    line->room = (unsigned)strtoul(field[ROOM], NULL, 10);
  if (count == FIELDS_MOST) {
    line->seen = strtoll(field[SEEN], NULL, 10);
    parse_found(field, &line->found);
  }
  return true;
}

/* Whether it begins as the file of a server does, and of which process. */
static bool parse_head(const char *head, pid_t *ret_pid)
{
  static const char begin[] = P11S_STATUS_HEAD "\t";
  char *end;
  long pid;

  if (strncmp(head, begin, sizeof begin - 1) != 0)
    return false;
  pid = strtol(head + sizeof begin - 1, &end, 10);
  *ret_pid = (pid_t)pid;
  return pid > 0 && *end == '\n';
}

struct reader {
  p11s_status_fn token; /* either may be NULL */
  p11s_status_settings_fn settings;
  void *arg;
  unsigned servers; /* that were read before */
};

static void read_line(char *text, pid_t pid, const struct reader *reader)
{
  struct p11s_status_line line;

  if (text[0] == '\t') {
    text[strcspn(text, "\n")] = '\0';
    if (reader->settings != NULL)
      reader->settings(pid, text + 1, reader->arg);
  } else if (reader->token != NULL && parse_token(text, pid, &line)) {
    line.server = reader->servers;
    reader->token(&line, reader->arg);
  }
}

static bool read_file(FILE *in, const struct reader *reader)
{
  char *text = NULL;
  size_t size = 0;
  bool is_ours;
  pid_t pid;

  is_ours = getline(&text, &size, in) > 0 && parse_head(text, &pid);
  while (is_ours && reader != NULL && getline(&text, &size, in) > 0)
    read_line(text, pid, reader);
  free(text);
  return is_ours;
}

/* Whether it is still the one of that name: its server may just have put another in its place. */
static bool is_named(int fd, int dir, const char *name)
{
  struct stat opened, named;

  return fstat(fd, &opened) == 0 && fstatat(dir, name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
         opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

/* Locked only by its server: who gets the lock has found what a server has left behind. */
static bool is_left_behind(int fd)
{
  return flock(fd, LOCK_SH | LOCK_NB) == 0;
}

/* Whether it is a running server's; a file that a server has left behind is removed. */
static bool look_at(int dir, const char *name, const struct reader *reader)
{
  for (int tries = 0; tries < TRIES; tries++) {
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    bool running = false, replaced = false;
    FILE *in = fd >= 0 ? fdopen(fd, "r") : NULL;

    if (in == NULL) {
      if (fd >= 0)
        (void)close(fd);
      return false;
    }
    if (!is_left_behind(fd))
      running = read_file(in, reader);
    else if (is_named(fd, dir, name))
      (void)unlinkat(dir, name, 0);
    else
      replaced = true;
    (void)fclose(in);
    if (!replaced)
      return running;
  }
  return false;
}

static bool begins_with(const char *name, const char *prefix)
{
  return strncmp(name, prefix, strlen(prefix)) == 0;
}

static enum p11s_err read_all(const char *state_dir, struct reader *reader, struct p11s_error *e)
{
  DIR *dir = opendir(state_dir);
  const struct dirent *entry;

  if (dir == NULL)
    return p11s_error_set(e, P11S_ERR_HOST,
                          "state directory %s cannot be read: %s; without it a running server's "
                          "tokens are only seen in its statistics (pdns_control show '*')",
                          state_dir, strerror(errno));
  while ((entry = readdir(dir)) != NULL) {
    if (begins_with(entry->d_name, P11S_STATUS_PREFIX))
      reader->servers += look_at(dirfd(dir), entry->d_name, reader);
    else if (begins_with(entry->d_name, "." P11S_STATUS_PREFIX))
      (void)look_at(dirfd(dir), entry->d_name, NULL);
  }
  (void)closedir(dir);
  return P11S_OK;
}

enum p11s_err p11s_status_read(const char *state_dir, p11s_status_fn fn, void *arg,
                               unsigned *ret_servers, struct p11s_error *e)
{
  struct reader reader = {fn, NULL, arg, 0};
  enum p11s_err err = read_all(state_dir, &reader, e);

  if (err == P11S_OK)
    *ret_servers = reader.servers;
  return err;
}

void p11s_status_each_settings(const char *state_dir, p11s_status_settings_fn fn, void *arg)
{
  struct reader reader = {NULL, fn, arg, 0};

  (void)read_all(state_dir, &reader, NULL);
}

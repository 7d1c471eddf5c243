/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What running servers say of their tokens (report.h). */
#include "report.h"

#include "report_internal.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PREFIX "status."
#define FIELDS 8
#define FIELDS_MORE 2 /* rate and room, from servers that say them */

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

static bool parse_token(char *text, pid_t pid, struct p11s_report_line *line)
{
  char *field[FIELDS + FIELDS_MORE];
  size_t count = split(text, field, FIELDS + FIELDS_MORE);

  if (count < FIELDS)
    return false;
  *line = (struct p11s_report_line){
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
  if (count == FIELDS + FIELDS_MORE && p11s_rate_parse(field[FIELDS], &line->rate))
    line->room = (unsigned)strtoul(field[FIELDS + 1], NULL, 10);
  return true;
}

/* Whether the file's first line names a process that runs. */
static bool is_running(const char *head, pid_t *ret_pid)
{
  static const char begin[] = P11S_REPORT_HEAD "\t";
  unsigned long long start;
  char *end;
  long pid;

  if (strncmp(head, begin, sizeof begin - 1) != 0)
    return false;
  pid = strtol(head + sizeof begin - 1, &end, 10);
  if (pid <= 0 || *end != '\t')
    return false;
  start = strtoull(end + 1, NULL, 10);
  *ret_pid = (pid_t)pid;
  return start != 0 && p11s_report_start_time(*ret_pid) == start;
}

static bool read_file(const char *path, p11s_report_fn fn, void *arg)
{
  struct p11s_report_line line;
  FILE *in = fopen(path, "re");
  bool running = false;
  char *text = NULL;
  size_t size = 0;
  pid_t pid = 0;

  if (in == NULL)
    return false;
  if (getline(&text, &size, in) > 0)
    running = is_running(text, &pid);
  while (running && getline(&text, &size, in) > 0)
    if (parse_token(text, pid, &line))
      fn(&line, arg);
  free(text);
  (void)fclose(in);
  if (!running)
    (void)unlink(path);
  return running;
}

enum p11s_err p11s_report_read(const char *state_dir, p11s_report_fn fn, void *arg,
                               unsigned *ret_servers, struct p11s_error *e)
{
  DIR *dir = opendir(state_dir);
  const struct dirent *entry;
  unsigned servers = 0;
  char path[4096];

  if (dir == NULL)
    return p11s_error_set(e, P11S_ERR_HOST,
                          "state directory %s cannot be read: %s; without it a running server's "
                          "tokens are only seen in its statistics (pdns_control show '*')",
                          state_dir, strerror(errno));
  while ((entry = readdir(dir)) != NULL)
    if (strncmp(entry->d_name, PREFIX, sizeof PREFIX - 1) == 0 &&
        snprintf(path, sizeof path, "%s/%s", state_dir, entry->d_name) < (int)sizeof path &&
        read_file(path, fn, arg))
      servers++;
  (void)closedir(dir);
  *ret_servers = servers;
  return P11S_OK;
}

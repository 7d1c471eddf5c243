/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/configuration.h"

#include "base/buf.h"
#include "pkcs11signer-config.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Without the blanks at both ends, in place. */
static char *trim(char *text)
{
  char *end = text + strlen(text);

  while (end > text && isspace((unsigned char)end[-1]))
    end--;
  *end = '\0';
  return text + strspn(text, " \t\r\n");
}

static void take_setting(char *line, struct p11s_configuration *c)
{
  const struct {
    const char *name;
    char *value;
    size_t size;
  } settings[] = {
      {"setuid", c->setuid, sizeof c->setuid},
      {"pkcs11signer-state-dir", c->state_dir, sizeof c->state_dir},
      {"include-dir", c->include_dir, sizeof c->include_dir},
  };
  char *comment = strchr(line, '#');
  char *value;

  if (comment != NULL && (comment == line || isspace((unsigned char)comment[-1])))
    *comment = '\0';
  value = strchr(line, '=');
  if (value == NULL)
    return;
  *value++ = '\0';
  for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
    if (strcmp(trim(line), settings[i].name) == 0)
      (void)snprintf(settings[i].value, settings[i].size, "%s", trim(value));
  }
}

static bool read_file(const char *path, struct p11s_configuration *c)
{
  struct p11s_buf line = P11S_BUF_INIT;
  FILE *file = fopen(path, "re");
  char *part = NULL;
  size_t size = 0;

  if (file == NULL)
    return false;
  while (getline(&part, &size, file) >= 0) {
    char *text = trim(part);
    size_t len = strlen(text);
    bool goes_on = len > 0 && text[len - 1] == '\\';

    p11s_buf_add(&line, text, len - goes_on);
    if (goes_on)
      continue;
    if (line.data != NULL)
      take_setting(line.data, c);
    p11s_buf_clear(&line);
  }
  p11s_buf_clear(&line);
  free(part);
  (void)fclose(file);
  return true;
}

static int is_included(const struct dirent *entry)
{
  size_t len = strlen(entry->d_name);

  return entry->d_name[0] != '.' && len > 5 && strcmp(entry->d_name + len - 5, ".conf") == 0;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
  return strcasecmp((*a)->d_name, (*b)->d_name);
}

static bool read_included(struct p11s_configuration *c)
{
  char dir[PATH_MAX], path[PATH_MAX];
  struct dirent **entry = NULL;
  bool good = true;
  int count;

  memcpy(dir, c->include_dir, sizeof dir);
  count = scandir(dir, &entry, is_included, by_name);
  for (int i = 0; i < count; i++) {
    good = snprintf(path, sizeof path, "%s/%s", dir, entry[i]->d_name) < (int)sizeof path &&
           read_file(path, c) && good;
    free(entry[i]);
  }
  free(entry);
  return good && count >= 0;
}

bool p11s_configuration_read(const char *dir, const char *name, struct p11s_configuration *ret)
{
  char path[PATH_MAX];
  int len = snprintf(path, sizeof path, "%s/pdns%s%s.conf", dir, name[0] != '\0' ? "-" : "", name);

  *ret = (struct p11s_configuration){.state_dir = P11S_STATE_DIR};
  if (len >= (int)sizeof path || !read_file(path, ret))
    return false;
  return ret->include_dir[0] == '\0' || read_included(ret);
}

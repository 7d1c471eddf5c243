/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/user.h"

#include "cli/configuration.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum p11s_err p11s_user_find(const char *name, const struct passwd **ret_user, struct p11s_error *e)
{
  char *end = NULL;
  unsigned long number = strtoul(name, &end, 10);

  *ret_user = getpwnam(name);
  if (*ret_user == NULL && name[0] != '\0' && *end == '\0')
    *ret_user = getpwuid((uid_t)number);
  if (*ret_user == NULL)
    return p11s_error_set(e, P11S_ERR_SYNTAX, "there is no user '%s'", name);
  return P11S_OK;
}

/* In a process of its own, which comes to nothing else. */
static bool may_read(const struct passwd *user, const char *dir, const char *name)
{
  struct p11s_configuration ignored;
  int status = 1;
  pid_t child = fork();

  if (child == 0)
    _exit(p11s_user_become(user, NULL) != P11S_OK || p11s_configuration_read(dir, name, &ignored));
  return child < 0 || waitpid(child, &status, 0) != child || status != 0;
}

enum p11s_err p11s_user_of_server(const char *dir, const char *name, const struct passwd **ret_user,
                                  struct p11s_error *e)
{
  static struct passwd nameless = {.pw_name = "", .pw_dir = "/"};
  struct p11s_configuration configuration;
  struct stat status;
  enum p11s_err err = P11S_OK;
  bool readable = p11s_configuration_read(dir, name, &configuration);

  *ret_user = NULL;
  if (configuration.setuid[0] != '\0') {
    err = p11s_user_find(configuration.setuid, ret_user, e);
    if (err != P11S_OK)
      p11s_error_prefix(e, "setting setuid");
  } else if (stat(configuration.state_dir, &status) == 0) {
    *ret_user = getpwuid(status.st_uid);
    nameless.pw_uid = status.st_uid;
    nameless.pw_gid = status.st_gid;
    if (*ret_user == NULL)
      *ret_user = &nameless;
  }
  if (*ret_user != NULL &&
      ((*ret_user)->pw_uid == 0 || (readable && !may_read(*ret_user, dir, name))))
    *ret_user = NULL;
  return err;
}

enum p11s_err p11s_user_become(const struct passwd *user, struct p11s_error *e)
{
  int groups =
      user->pw_name[0] != '\0' ? initgroups(user->pw_name, user->pw_gid) : setgroups(0, NULL);

  if (groups != 0 || setgid(user->pw_gid) != 0 || setuid(user->pw_uid) != 0)
    return p11s_error_set(e, P11S_ERR_HOST,
                          "root may not become user %s (%s); with --user=root it stays root",
                          user->pw_name, strerror(errno));
  (void)setenv("HOME", user->pw_dir, 1);
  (void)setenv("USER", user->pw_name, 1);
  (void)setenv("LOGNAME", user->pw_name, 1);
  return P11S_OK;
}

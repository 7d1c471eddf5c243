/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/owner.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The C library's functions change all threads of the process, the kernel's calls one. */
#ifdef SYS_setresuid32
#define SET_USERS SYS_setresuid32
#define SET_GROUP_IDS SYS_setresgid32
#define SET_GROUPS SYS_setgroups32
#else
#define SET_USERS SYS_setresuid
#define SET_GROUP_IDS SYS_setresgid
#define SET_GROUPS SYS_setgroups
#endif

#define NAME_SIZE 320

struct rights {
  uid_t uid;
  gid_t gid;
  gid_t *groups;
  int group_count;
};

/* Written by p11s_owner_set() only. */
static struct {
  bool set;
  struct rights root;
  struct rights owner;
  char name[NAME_SIZE];
} state;

/* The thread must have root's user. Saved user and group stay root's, so that the thread can go
   back; execve() replaces them by the effective ones. */
static bool take(const struct rights *rights)
{
  return syscall(SET_GROUPS, rights->group_count, rights->groups) == 0 &&
         syscall(SET_GROUP_IDS, rights->gid, rights->gid, -1) == 0 &&
         syscall(SET_USERS, rights->uid, rights->uid, 0) == 0;
}

static bool take_root(void)
{
  return syscall(SET_USERS, 0, 0, 0) == 0 && take(&state.root);
}

/* The groups that initgroups() would give; none for a user without a name. */
static bool find_groups(const char *directory, struct rights *owner)
{
  struct passwd entry, *found = NULL;
  char text[4096];
  int capacity = 16;

  (void)snprintf(state.name, sizeof state.name, "user %u, whom %s belongs to", (unsigned)owner->uid,
                 directory);
  if (getpwuid_r(owner->uid, &entry, text, sizeof text, &found) != 0 || found == NULL)
    return true;
  (void)snprintf(state.name, sizeof state.name, "user %s, whom %s belongs to", entry.pw_name,
                 directory);
  owner->gid = entry.pw_gid;
  do {
    gid_t *groups = realloc(owner->groups, (size_t)capacity * sizeof *groups);

    if (groups == NULL)
      return false;
    owner->groups = groups;
    owner->group_count = capacity;
  } while (getgrouplist(entry.pw_name, entry.pw_gid, owner->groups, &owner->group_count) < 0 &&
           (capacity = owner->group_count) > 0);
  return true;
}

static bool find_own_groups(struct rights *root)
{
  int count = getgroups(0, NULL);

  root->gid = getegid();
  root->groups = calloc((size_t)(count > 0 ? count : 1), sizeof *root->groups);
  root->group_count = root->groups != NULL ? getgroups(count, root->groups) : -1;
  return root->group_count >= 0;
}

bool p11s_owner_set(const char *state_dir)
{
  struct stat status;

  free(state.root.groups);
  free(state.owner.groups);
  memset(&state, 0, sizeof state);
  if (geteuid() != 0 || state_dir == NULL || stat(state_dir, &status) != 0 || status.st_uid == 0)
    return true;
  state.owner.uid = status.st_uid;
  state.owner.gid = status.st_gid;
  if (!find_groups(state_dir, &state.owner) || !find_own_groups(&state.root))
    return false;
  state.set = take(&state.owner);
  if (!state.set) {
    int why = errno;

    (void)take_root(); /* as far as it went */
    errno = why;
    return false;
  }
  return take_root();
}

const char *p11s_owner_name(void)
{
  return state.set && geteuid() == state.owner.uid ? state.name : NULL;
}

bool p11s_owner_act(bool as_owner)
{
  bool before = p11s_owner_name() != NULL;

  if (state.set && as_owner && !before)
    (void)take(&state.owner); /* it went well in p11s_owner_set() */
  else if (state.set && !as_owner && before)
    (void)take_root();
  return before;
}

void p11s_owner_explain(struct p11s_error *e)
{
  const char *name = p11s_owner_name();

  if (e == NULL || name == NULL)
    return;
  switch (e->code) {
  case P11S_ERR_NO_MODULE:
  case P11S_ERR_NO_SLOTS:
  case P11S_ERR_NO_TOKEN:
  case P11S_ERR_NO_KEY:
  case P11S_ERR_NO_PIN:
  case P11S_ERR_TOKEN:
    break;
  default:
    return;
  }
  p11s_error_reword(e, "%s (as %s)", e->text, name);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ahead/key_locks.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void p11s_key_locks_drop(struct p11s_key_locks *locks)
{
  if (locks->fd >= 0)
    (void)close(locks->fd);
  locks->fd = -1;
}

void p11s_key_locks_renew(struct p11s_key_locks *locks, const char *directory)
{
  char path[4096];

  p11s_key_locks_drop(locks);
  if (snprintf(path, sizeof path, "%s/ahead.lock", directory) < (int)sizeof path)
    locks->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
}

bool p11s_key_locks_take(struct p11s_key_locks *locks, const unsigned char *key_id)
{
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
  uint64_t place;

  memcpy(&place, key_id, sizeof place);
  lock.l_start = (off_t)(place >> 2); /* not negative, nor at the very end */
  if (locks->fd < 0 || fcntl(locks->fd, F_OFD_SETLK, &lock) == 0)
    return true;
  /* A file system that knows no such locks must not keep anybody from signing. */
  return errno != EAGAIN && errno != EACCES;
}

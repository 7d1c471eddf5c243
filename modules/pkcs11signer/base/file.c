/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/file.h"

#include <errno.h>
#include <unistd.h>

ssize_t p11s_file_read(int fd, void *to, size_t size)
{
  size_t len = 0;

  while (len < size) {
    ssize_t n = read(fd, (char *)to + len, size - len);

    if (n == 0)
      break;
    if (n > 0)
      len += (size_t)n;
    else if (errno != EINTR)
      return -1;
  }
  return (ssize_t)len;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stddef.h>
#include <sys/types.h>

/* Reads until the end of the file, or until size bytes are read. Returns how many, or -1 with
   errno. Blocks as read() does. No locks. */
ssize_t p11s_file_read(int fd, void *to, size_t size);

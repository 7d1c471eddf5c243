/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "pin/marks.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

/*
 * STATE_DIR/refused-pins, where marks (pin/marks.h) outlive the process and are shared by servers
 * and pdnsutil, and STATE_DIR/refused-pins.lock, which they lock each other out with. Both have
 * mode 0600; what root makes belongs to the owner of the directory, so that the server can use it.
 *
 * Replaced as a whole (temporary file, fsync, rename), so a reader finds the old text or the new
 * one. One with anything else in it is renamed to refused-pins.corrupt. Calls may block on the
 * disk: never made under a lock. No locks of its own but the file's.
 */

/* Which version of the file one has seen. All zeros: there is none. */
struct p11s_marks_file_id {
  dev_t dev;
  ino_t ino;
  off_t size;
  struct timespec changed, modified;
};
/* false when there is no file; *ret_id is then all zeros. */
bool p11s_marks_file_id(const char *dir, struct p11s_marks_file_id *ret_id);

enum p11s_marks_file_result {
  P11S_MARKS_FILE_OK,
  P11S_MARKS_FILE_NONE,     /* there is no such file, but the directory is there */
  P11S_MARKS_FILE_CORRUPT,  /* it was put aside */
  P11S_MARKS_FILE_UNUSABLE, /* errno says why */
};
/* *ret_marks is the caller's to clear, when the result is OK. */
enum p11s_marks_file_result p11s_marks_file_read(const char *dir, struct p11s_pin_marks *ret_marks,
                                                 struct p11s_marks_file_id *ret_id);
/* OK or UNUSABLE; the old file is then as it was. */
enum p11s_marks_file_result p11s_marks_file_write(const char *dir,
                                                  const struct p11s_pin_marks *marks,
                                                  struct p11s_marks_file_id *ret_id);

/* What one holds a lock for: changing the file, or (any other number) a login to one token. A lock
   keeps out other processes and other holders in this one. */
#define P11S_MARKS_FILE_CHANGE 0
/* A descriptor to be closed when done; -1 with errno, EAGAIN when deadline_ms (p11s_now_ms) came
   first. Looks again every few milliseconds. Ends with the process, however that ends. */
int p11s_marks_file_lock(const char *dir, uint32_t what, uint64_t deadline_ms);

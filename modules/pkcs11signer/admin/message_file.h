/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * A list that may become longer than memory is large: records in a file without a name, which is
 * gone with the process. Written first, then read any number of times, in order. For one thread.
 */
struct p11s_message_file;

struct p11s_message_file_record {
  unsigned key; /* the writer's number for it */
  int week;
  size_t len;
  unsigned char *data; /* the file's: may be changed, valid until the next call */
};

/* In the directory, or in the system's for temporary files when that will not do. P11S_ERR_HOST. */
enum p11s_err p11s_message_file_new(const char *directory, struct p11s_message_file **ret_file,
                                    struct p11s_error *e);
/* NULL is allowed. */
void p11s_message_file_free(struct p11s_message_file *file);

enum p11s_err p11s_message_file_add(struct p11s_message_file *file, unsigned key, int week,
                                    const void *data, size_t len, struct p11s_error *e);
/* What is read next is the first. P11S_ERR_HOST when what was written did not get to the file. */
enum p11s_err p11s_message_file_rewind(struct p11s_message_file *file, struct p11s_error *e);
/* false: that was the last, or the file cannot be read (then p11s_message_file_failed()). */
bool p11s_message_file_next(struct p11s_message_file *file, struct p11s_message_file_record *ret);
bool p11s_message_file_failed(const struct p11s_message_file *file);

/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/err.h"

#include <stdatomic.h>
#include <stdbool.h>

/*
 * The store's files in the state directory, and whether what is in them may be mapped.
 *
 *   signatures.lmdb          LMDB's
 *   signatures.lmdb-lock     LMDB's: readers and writers
 *   signatures.guard         ours: flock()ed shared by each process that uses the others,
 *                            exclusively by the one that prepares them; and what it remembers
 *   signatures.lmdb.new      a copy being made
 *   signatures.lmdb.broken   what was found and could not be used
 *
 * LMDB believes every page that it maps, so a damaged file may crash the process. A process that
 * has written leaves in the guard what stat() then says of signatures.lmdb. A number in the guard,
 * mapped by all, counts the threads that read or write at this moment. A process that opens the
 * files while nobody else has them compares both: when the file is as it was left, and nobody was
 * killed inside, it is used as it is.
 *
 * Otherwise pkcs11signer-probe, a process that may crash or hang, copies all records to a fresh
 * file. So LMDB has written all of the new file, whatever the old one was. A copy that takes longer
 * than two seconds is reported in the log, in ever longer intervals. A damaged file is set aside
 * with one line in the log, and the store begins empty. When reading does not go on, the file is
 * left alone, and there is no store until the next start. A file that others have open is taken to
 * be good.
 *
 * As root, files are opened with the rights of the state directory's owner, whose they become.
 *
 * No locks of the process's own; one caller at a time.
 */
struct p11s_store_file {
  char *path; /* signatures.lmdb */
  int guard;
  atomic_uint *inside; /* mapped from the guard */
};

/* Until when another process may prepare the files, unless the caller has time. */
#define P11S_STORE_FILE_MS 20000
/* The disk may be silent that long while they are read. */
#define P11S_STORE_FILE_SILENCE_MS 60000

/* Takes the guard and makes the files fit to be opened by LMDB. patient: waits for another process
   that prepares them as long as that takes. P11S_ERR_HOST when they cannot be made, or checked. */
enum p11s_err p11s_store_file_prepare(const char *directory, bool patient,
                                      struct p11s_store_file *ret, struct p11s_error *e);

/* After this process has written: the file is good as it is. */
void p11s_store_file_mark(const struct p11s_store_file *file);

/* Gives the guard back; what is mapped of it stays until p11s_store_file_free(). */
void p11s_store_file_release(struct p11s_store_file *file);
void p11s_store_file_free(struct p11s_store_file *file);

/* This thread opens files as the directory's owner from now on, when it runs as root. */
void p11s_store_file_own(const char *directory);
/* And again with the rights that it runs with. */
void p11s_store_file_unown(void);

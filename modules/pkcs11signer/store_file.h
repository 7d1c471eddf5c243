/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef P11S_STORE_FILE_H
#define P11S_STORE_FILE_H

#include "err.h"

#include <stdbool.h>

/*
 * The store's files in the state directory, and whether what is in them may be mapped.
 *
 *   signatures.lmdb          LMDB's
 *   signatures.lmdb-lock     LMDB's: readers and writers
 *   signatures.guard         ours: flock()ed shared by each process that uses the others,
 *                            exclusively by the one that prepares them
 *   signatures.lmdb.new      a copy being made
 *   signatures.lmdb.broken   what was found and could not be used
 *
 * LMDB believes every page that it maps, so a damaged file may crash the process. The last one who
 * closes the files leaves in the guard what stat() says of signatures.lmdb. Who opens them first
 * and finds something else there (the process was killed, another program wrote) has
 * pkcs11signer-probe copy all records to a fresh file, in a process that may crash or hang:
 * what comes out of that has been written by LMDB, whatever was there before. When the copy cannot
 * be finished, the old file is set aside, with one line in the log, and the store begins empty.
 * A file that others have open and use is taken to be good.
 *
 * As root, files are opened with the rights of the state directory's owner, whose they become.
 *
 * No locks of the process's own; one caller at a time.
 */
struct p11s_store_file {
  char *path; /* signatures.lmdb */
  int guard;
};

/* Until when another process may prepare the files, or the copy may take. */
#define P11S_STORE_FILE_MS 15000

/* Takes the guard and makes the files fit to be opened by LMDB. P11S_ERR_HOST when they cannot be
   made, or checked. */
enum p11s_err p11s_store_file_prepare(const char *directory, struct p11s_store_file *ret,
                                      struct p11s_error *e);

/* Gives the guard back; clean: all that this process has written is good. */
void p11s_store_file_release(struct p11s_store_file *file, bool clean);

/* Opens files as the directory's owner from now on, in this thread, when it runs as root. Returns
   what p11s_store_file_unown() needs. */
struct p11s_store_owner {
  unsigned uid;
  unsigned gid;
  bool changed;
};
struct p11s_store_owner p11s_store_file_own(const char *directory);
void p11s_store_file_unown(struct p11s_store_owner before);

#endif

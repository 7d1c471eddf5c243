/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef P11S_STORE_RECOVER_H
#define P11S_STORE_RECOVER_H

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
 * LMDB believes every page that it maps, so a damaged file may crash the process. Whoever has
 * written leaves in the guard what stat() says of signatures.lmdb since then; and a number in the
 * guard, mapped by all, says how many are reading or writing at this moment. Who opens the files
 * while nobody else has them finds there whether they are as they were left, by processes that were
 * not killed in the middle of it: then they are used as they are, however these processes ended.
 * Else (killed while it wrote, crashed by what it read, another program wrote) pkcs11signer-probe
 * copies all records to a fresh file, in a process that may crash or hang: what comes out of that
 * has been written by LMDB, whatever was there before. That takes as long as it takes, and what
 * takes longer than two seconds is said in the log, in ever longer intervals. When the file is
 * damaged it is set aside, with one line in the log, and the store begins empty. When reading it
 * does not go on, it is left alone, and there is no store until the next start. A file that others
 * have open and use is taken to be good.
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

/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/lock.h"
#include "store/lmdb.h"

#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

/* Shared by store/lmdb.c (the file, reading) and store/lmdb_write.c; nobody else includes it. */

#define P11S_LMDB_POOL 32

struct p11s_lmdb {
  MDB_env *env; /* immutable, like file, fd and tables */
  const struct p11s_store_file *file;
  int fd;
  MDB_dbi table[P11S_LMDB_TABLES];
  atomic_uint inside; /* of this process; file->inside counts them all */
  atomic_bool stopped;
  atomic_bool broken;
  atomic_llong file_bytes; /* the largest size seen */

  struct p11s_mutex lock; /* guards the rest */
  MDB_txn *pool[P11S_LMDB_POOL];
  unsigned pooled;
};

/* What LMDB returned. When it means that the file is spoilt, that is said in the log, once, and the
   file is left alone from now on. */
void p11s_lmdb_note_trouble(struct p11s_lmdb *db, int rc);

/* Around each use of what is mapped; false: it may not be used. */
bool p11s_lmdb_enter(struct p11s_lmdb *db);
void p11s_lmdb_leave(struct p11s_lmdb *db);

/* A read transaction of the pool; NULL: none is to be had. Each is given back. */
MDB_txn *p11s_lmdb_begin_read(struct p11s_lmdb *db);
void p11s_lmdb_end_read(struct p11s_lmdb *db, MDB_txn *txn);
/* Returns 0, or LMDB's error; *ret is NULL then. In both cases p11s_lmdb_finish() follows: it
   commits when rc is 0, else it undoes what was written, and says why. */
int p11s_lmdb_begin_write(struct p11s_lmdb *db, MDB_txn **ret);
enum p11s_err p11s_lmdb_finish(struct p11s_lmdb *db, MDB_txn *txn, int rc, struct p11s_error *e);

/* A key of that table, as LMDB has it. Borrowed from key. */
static inline MDB_val p11s_lmdb_val(enum p11s_lmdb_table table, const unsigned char *key)
{
  return (MDB_val){table == P11S_SIGNATURES ? P11S_RECORD_KEY_LEN : P11S_STORE_ID_LEN, (void *)key};
}

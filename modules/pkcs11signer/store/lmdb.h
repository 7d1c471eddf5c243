/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "store/store.h"
#include "store/recover.h"
#include "store/op.h"

/*
 * The records of store/store.h in an LMDB file, and nothing of queues and threads.
 *
 * Three named tables; their names carry the version of the format. The file's map is as large as
 * any store may get, so that processes with different limits can share it; the limit is kept by
 * deleting in time (store/evict.c).
 *
 * db->lock guards a few read transactions kept for the next look-up; it is held for no call.
 * Reading makes no system call but fstat(). Writing waits for whoever else writes, in this process
 * or another.
 */
struct p11s_lmdb;

#define P11S_LMDB_SIGNATURES "signatures 1"
#define P11S_LMDB_PUBLIC "public keys 1"
#define P11S_LMDB_LOSSES "losses 1"
#define P11S_LMDB_TABLES 3
#define P11S_LMDB_MAP_BYTES (sizeof(size_t) > 4 ? (size_t)1 << 36 : (size_t)1 << 30)
#define P11S_LMDB_LOCK_BYTES 65536 /* the lock file: room for a thousand readers */

enum p11s_lmdb_table { P11S_SIGNATURES, P11S_PUBLIC_KEYS, P11S_LOSSES };

/* The file is one that LMDB has written (store/recover.h), or does not exist. It is borrowed. It
   counts who is inside, and is marked after each write. A thread that finds it damaged is counted
   as inside for good. */
enum p11s_err p11s_lmdb_open(const struct p11s_store_file *file, struct p11s_lmdb **ret,
                             struct p11s_error *e);
/* NULL is allowed. */
void p11s_lmdb_close(struct p11s_lmdb *db);

/* Nobody begins to read or write any more; waits for those who have, until the deadline. */
bool p11s_lmdb_stop(struct p11s_lmdb *db, uint64_t deadline_ms);

/* false: something is wrong with the file; nothing is read or written any more. */
bool p11s_lmdb_is_usable(const struct p11s_lmdb *db);

/* Calls fn with the signature of that key, P11S_RECORD_KEY_LEN bytes; returns what fn returned.
   false: there is none that can be read. fn NULL: whether there is one. */
bool p11s_lmdb_read(struct p11s_lmdb *db, const unsigned char *key, p11s_store_fn fn, void *arg);
/* *len: the size of data, then the length. false: there is none that fits. */
bool p11s_lmdb_read_public(struct p11s_lmdb *db, const unsigned char *ref_id, unsigned char *data,
                           size_t *len);

/* Writes all of them in one transaction, or none. P11S_ERR_HOST with the reason. */
enum p11s_err p11s_lmdb_write(struct p11s_lmdb *db, const struct p11s_ops *ops,
                              struct p11s_error *e);

/* Where a walk has come to; all zeros: to begin. */
struct p11s_lmdb_place {
  bool begun;
  bool at_end;
  unsigned char key[P11S_RECORD_KEY_LEN];
};
/* Calls fn, in one short transaction, for the next signatures, at most so many, until it returns
   false. That one counts as seen. key_id is the whole key; the message of one that cannot be read
   is NULL. false: reading failed. */
bool p11s_lmdb_walk(struct p11s_lmdb *db, struct p11s_lmdb_place *place, unsigned most,
                    p11s_store_fn fn, void *arg);

/* Deletes those of the signatures that are there; keys: P11S_RECORD_KEY_LEN bytes each. */
enum p11s_err p11s_lmdb_delete(struct p11s_lmdb *db, const unsigned char *keys, size_t count,
                               uint64_t *ret_deleted, struct p11s_error *e);
/* These zones, in wire format, have lost so many more signatures for want of room. A zone may be
   listed more than once. Zones whose last loss is P11S_STORE_LOSS_S ago are forgotten: what they
   have lost would have expired. */
struct p11s_lmdb_loss {
  const unsigned char *name;
  size_t len;
  uint64_t lost;
};
enum p11s_err p11s_lmdb_add_losses(struct p11s_lmdb *db, const struct p11s_lmdb_loss *losses,
                                   size_t count, uint32_t now, struct p11s_error *e);
/* Those that are not forgotten, now. false: reading failed. */
bool p11s_lmdb_each_loss(struct p11s_lmdb *db, uint32_t now, p11s_store_loss_fn fn, void *arg);

/* Everything. */
enum p11s_err p11s_lmdb_empty(struct p11s_lmdb *db, uint64_t *ret_deleted, struct p11s_error *e);

/* The members that are about the file, but for the limit; the others are zero. */
struct p11s_store_stats p11s_lmdb_stats(struct p11s_lmdb *db);

/* Frees what processes that were killed have left in the lock file. */
void p11s_lmdb_tidy(struct p11s_lmdb *db);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Write transactions, for the store's thread and commands (store/lmdb.h). */
#include "store/lmdb_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int put(MDB_txn *txn, MDB_dbi table, MDB_val key, const struct p11s_op *op)
{
  MDB_val value = {op->len, (void *)op->value}, old;

  /* Servers say at each start which public keys they have found. */
  if (op->kind == P11S_OP_PUT_PUBLIC && mdb_get(txn, table, &key, &old) == 0 &&
      old.mv_size == op->len && memcmp(old.mv_data, op->value, op->len) == 0)
    return 0;
  return mdb_put(txn, table, &key, &value, 0);
}

static int note_use(MDB_txn *txn, MDB_dbi table, MDB_val key)
{
  struct p11s_store_record record;
  unsigned char *copy;
  MDB_val value;
  int rc = mdb_get(txn, table, &key, &value);

  if (rc != 0 ||
      !p11s_record_parse(key.mv_data, key.mv_size, value.mv_data, value.mv_size, &record))
    return rc;
  if (!p11s_record_is_stale(&record, p11s_record_now()))
    return 0; /* another thread or process has noted it */
  record.last_used = p11s_record_now();
  record.days_used++;
  copy = malloc(value.mv_size);
  if (copy == NULL)
    return ENOMEM;
  p11s_record_format(&record, copy);
  value.mv_data = copy;
  rc = mdb_put(txn, table, &key, &value, 0);
  free(copy);
  return rc;
}

static int apply(struct p11s_lmdb *db, MDB_txn *txn, const struct p11s_op *op)
{
  enum p11s_lmdb_table table = op->kind == P11S_OP_PUT_PUBLIC ? P11S_PUBLIC_KEYS : P11S_SIGNATURES;
  MDB_val key = p11s_lmdb_val(table, op->key);
  int rc;

  if (op->kind == P11S_OP_FORGET)
    rc = mdb_del(txn, db->table[table], &key, NULL);
  else if (op->kind == P11S_OP_USED)
    rc = note_use(txn, db->table[table], key);
  else
    rc = put(txn, db->table[table], key, op);
  return rc == MDB_NOTFOUND ? 0 : rc;
}

int p11s_lmdb_begin_write(struct p11s_lmdb *db, MDB_txn **ret)
{
  int rc;

  *ret = NULL;
  if (!p11s_lmdb_enter(db))
    return p11s_lmdb_is_usable(db) ? EAGAIN : MDB_CORRUPTED;
  rc = mdb_txn_begin(db->env, NULL, 0, ret);
  if (rc != 0)
    p11s_lmdb_leave(db);
  return rc;
}

enum p11s_err p11s_lmdb_finish(struct p11s_lmdb *db, MDB_txn *txn, int rc, struct p11s_error *e)
{
  if (rc == 0)
    rc = mdb_txn_commit(txn);
  else if (txn != NULL)
    mdb_txn_abort(txn);
  if (txn != NULL) {
    p11s_store_file_mark(db->file);
    p11s_lmdb_leave(db);
  }
  if (rc == 0)
    return P11S_OK;
  p11s_lmdb_note_trouble(db, rc);
  return p11s_error_set(e, rc == ENOMEM ? P11S_ERR_NOMEM : P11S_ERR_HOST, "%s", mdb_strerror(rc));
}

enum p11s_err p11s_lmdb_write(struct p11s_lmdb *db, const struct p11s_ops *ops,
                              struct p11s_error *e)
{
  const struct p11s_op *op = STAILQ_FIRST(ops);
  MDB_txn *txn;
  int rc = p11s_lmdb_begin_write(db, &txn);

  for (; rc == 0 && op != NULL; op = STAILQ_NEXT(op, link))
    rc = apply(db, txn, op);
  return p11s_lmdb_finish(db, txn, rc, e);
}

enum p11s_err p11s_lmdb_delete(struct p11s_lmdb *db, const unsigned char *keys, size_t count,
                               uint64_t *ret_deleted, struct p11s_error *e)
{
  uint64_t deleted = 0;
  enum p11s_err result;
  MDB_txn *txn;
  int rc = p11s_lmdb_begin_write(db, &txn);

  for (size_t i = 0; rc == 0 && i < count; i++) {
    MDB_val key = p11s_lmdb_val(P11S_SIGNATURES, keys + i * P11S_RECORD_KEY_LEN);

    rc = mdb_del(txn, db->table[P11S_SIGNATURES], &key, NULL);
    deleted += rc == 0;
    if (rc == MDB_NOTFOUND)
      rc = 0;
  }
  result = p11s_lmdb_finish(db, txn, rc, e);
  if (result == P11S_OK)
    *ret_deleted = deleted;
  return result;
}

enum p11s_err p11s_lmdb_empty(struct p11s_lmdb *db, uint64_t *ret_deleted, struct p11s_error *e)
{
  enum p11s_err result;
  MDB_stat stat = {0};
  MDB_txn *txn;
  int rc = p11s_lmdb_begin_write(db, &txn);

  if (rc == 0)
    rc = mdb_stat(txn, db->table[P11S_SIGNATURES], &stat);
  for (int i = 0; rc == 0 && i < P11S_LMDB_TABLES; i++)
    rc = mdb_drop(txn, db->table[i], 0);
  result = p11s_lmdb_finish(db, txn, rc, e);
  if (result == P11S_OK)
    *ret_deleted = stat.ms_entries;
  return result;
}

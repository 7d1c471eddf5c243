/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which zones have lost signatures for want of room (store/lmdb.h). */
#include "store/lmdb_internal.h"

#include <string.h>

/* As it stands in the file, of the machine's own byte order as LMDB's pages are. */
struct entry {
  uint64_t lost;
  uint32_t first, last; /* seconds since 1970 */
};

static bool read_entry(const MDB_val *value, uint32_t now, struct entry *ret)
{
  if (value->mv_size != sizeof *ret)
    return false;
  memcpy(ret, value->mv_data, sizeof *ret);
  return now < ret->last || now - ret->last < P11S_STORE_LOSS_S;
}

static int forget_old(MDB_txn *txn, MDB_dbi table, uint32_t now)
{
  MDB_val key, value;
  MDB_cursor *cursor;
  struct entry entry;
  int rc = mdb_cursor_open(txn, table, &cursor);

  if (rc != 0)
    return rc;
  while ((rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0)
    if (!read_entry(&value, now, &entry) && (rc = mdb_cursor_del(cursor, 0)) != 0)
      break;
  mdb_cursor_close(cursor);
  return rc == MDB_NOTFOUND ? 0 : rc;
}

static int add(MDB_txn *txn, MDB_dbi table, const struct p11s_lmdb_loss *loss, uint32_t now)
{
  MDB_val key = {loss->len, (void *)loss->name}, value;
  struct entry entry = {0, now, now};

  if (mdb_get(txn, table, &key, &value) == 0)
    (void)read_entry(&value, now, &entry);
  entry.lost += loss->lost;
  entry.last = now;
  value = (MDB_val){sizeof entry, &entry};
  return mdb_put(txn, table, &key, &value, 0);
}

enum p11s_err p11s_lmdb_add_losses(struct p11s_lmdb *db, const struct p11s_lmdb_loss *losses,
                                   size_t count, uint32_t now, struct p11s_error *e)
{
  MDB_txn *txn;
  int rc = p11s_lmdb_begin_write(db, &txn);

  if (rc == 0)
    rc = forget_old(txn, db->table[P11S_LOSSES], now);
  for (size_t i = 0; rc == 0 && i < count; i++)
    rc = add(txn, db->table[P11S_LOSSES], &losses[i], now);
  return p11s_lmdb_finish(db, txn, rc, e);
}

bool p11s_lmdb_each_loss(struct p11s_lmdb *db, uint32_t now, p11s_store_loss_fn fn, void *arg)
{
  MDB_txn *txn = p11s_lmdb_begin_read(db);
  MDB_cursor *cursor;
  MDB_val key, value;
  struct entry entry;
  int rc;

  if (txn == NULL)
    return false;
  rc = mdb_cursor_open(txn, db->table[P11S_LOSSES], &cursor);
  if (rc == 0) {
    while ((rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0)
      if (read_entry(&value, now, &entry))
        fn(key.mv_data, key.mv_size, &(struct p11s_store_loss){entry.lost, entry.first}, arg);
    mdb_cursor_close(cursor);
  }
  p11s_lmdb_end_read(db, txn);
  return rc == MDB_NOTFOUND;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "store/lmdb_internal.h"

#include "base/lock.h"
#include "base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* -- trouble */

/* Nothing wrong with the file itself: the next batch may fare better. */
static bool is_passing(int rc)
{
  return rc == ENOSPC || rc == EDQUOT || rc == ENOMEM || rc == EAGAIN || rc == EIO || rc == EFBIG ||
         rc == MDB_MAP_FULL || rc == MDB_TXN_FULL || rc == MDB_READERS_FULL;
}

void p11s_lmdb_note_trouble(struct p11s_lmdb *db, int rc)
{
  if (rc == 0 || rc == MDB_NOTFOUND || is_passing(rc) || atomic_exchange(&db->broken, true))
    return;
  atomic_fetch_add(db->file->inside, 1);
  p11s_log_event(P11S_LOG_ERROR,
                 "signature store %s: %s: nothing is looked up or kept there any more; "
                 "restart the server, and what is unusable is set aside",
                 db->file->path, mdb_strerror(rc));
}

/* Reading beyond the end of a file would end the process. The size seen before is read first: after
   it, another thread may see a file that has grown since. */
static bool has_shrunk(struct p11s_lmdb *db)
{
  long long seen = atomic_load_explicit(&db->file_bytes, memory_order_acquire);
  struct stat status;

  if (fstat(db->fd, &status) != 0 || status.st_size < seen)
    return true;
  while (seen < status.st_size &&
         !atomic_compare_exchange_weak(&db->file_bytes, &seen, status.st_size))
    ;
  return false;
}

bool p11s_lmdb_is_usable(const struct p11s_lmdb *db)
{
  return !atomic_load_explicit(&db->broken, memory_order_relaxed);
}

static bool may_use(struct p11s_lmdb *db)
{
  if (!p11s_lmdb_is_usable(db))
    return false;
  if (!has_shrunk(db))
    return true;
  p11s_lmdb_note_trouble(db, MDB_CORRUPTED);
  return false;
}

bool p11s_lmdb_enter(struct p11s_lmdb *db)
{
  atomic_fetch_add(&db->inside, 1);
  if (!atomic_load(&db->stopped) && may_use(db)) {
    atomic_fetch_add(db->file->inside, 1);
    return true;
  }
  atomic_fetch_sub(&db->inside, 1);
  return false;
}

void p11s_lmdb_leave(struct p11s_lmdb *db)
{
  atomic_fetch_sub(db->file->inside, 1);
  atomic_fetch_sub(&db->inside, 1);
}

bool p11s_lmdb_stop(struct p11s_lmdb *db, uint64_t deadline_ms)
{
  atomic_store(&db->stopped, true);
  while (atomic_load(&db->inside) > 0) {
    if (p11s_now_ms() >= deadline_ms)
      return false;
    p11s_pause(1);
  }
  return true;
}

/* -- opening */

static int open_tables(struct p11s_lmdb *db)
{
  static const char *const names[] = {P11S_LMDB_SIGNATURES, P11S_LMDB_PUBLIC, P11S_LMDB_LOSSES};
  MDB_txn *txn;
  int rc = mdb_txn_begin(db->env, NULL, 0, &txn);

  if (rc != 0)
    return rc;
  for (int i = 0; rc == 0 && i < P11S_LMDB_TABLES; i++)
    rc = mdb_dbi_open(txn, names[i], MDB_CREATE, &db->table[i]);
  if (rc == 0)
    return mdb_txn_commit(txn);
  mdb_txn_abort(txn);
  return rc;
}

static int open_env(struct p11s_lmdb *db)
{
  int rc = mdb_env_create(&db->env);

  if (rc == 0)
    rc = mdb_env_set_maxdbs(db->env, P11S_LMDB_TABLES);
  if (rc == 0)
    rc = mdb_env_set_mapsize(db->env, P11S_LMDB_MAP_BYTES);
  /* A read transaction belongs to who has it, not to a thread. */
  if (rc == 0)
    rc = mdb_env_open(db->env, db->file->path, MDB_NOSUBDIR | MDB_NOTLS | MDB_NOMETASYNC, 0600);
  if (rc == 0)
    rc = mdb_env_get_fd(db->env, &db->fd);
  if (rc == 0)
    rc = open_tables(db);
  return rc;
}

enum p11s_err p11s_lmdb_open(const struct p11s_store_file *file, struct p11s_lmdb **ret,
                             struct p11s_error *e)
{
  struct p11s_lmdb *db = calloc(1, sizeof *db);
  int rc;

  if (db == NULL)
    return p11s_error_no_memory(e);
  p11s_mutex_init(&db->lock, P11S_RANK_ALONE);
  db->file = file;
  atomic_fetch_add(file->inside, 1);
  rc = open_env(db);
  p11s_store_file_mark(file); /* it may have made the tables */
  atomic_fetch_sub(file->inside, 1);
  if (rc != 0) {
    p11s_lmdb_close(db);
    return p11s_error_set(e, rc == ENOMEM ? P11S_ERR_NOMEM : P11S_ERR_HOST, "%s", mdb_strerror(rc));
  }
  (void)has_shrunk(db);
  p11s_lmdb_tidy(db);
  *ret = db;
  return P11S_OK;
}

void p11s_lmdb_close(struct p11s_lmdb *db)
{
  if (db == NULL)
    return;
  while (db->pooled > 0)
    mdb_txn_abort(db->pool[--db->pooled]);
  if (db->env != NULL)
    mdb_env_close(db->env);
  p11s_mutex_destroy(&db->lock);
  free(db);
}

void p11s_lmdb_tidy(struct p11s_lmdb *db)
{
  int dead;

  (void)mdb_reader_check(db->env, &dead);
}

/* -- reading */

MDB_txn *p11s_lmdb_begin_read(struct p11s_lmdb *db)
{
  MDB_txn *txn = NULL;
  int rc;

  if (!p11s_lmdb_enter(db))
    return NULL;
  p11s_lock(&db->lock);
  if (db->pooled > 0)
    txn = db->pool[--db->pooled];
  p11s_unlock(&db->lock);
  if (txn == NULL) {
    rc = mdb_txn_begin(db->env, NULL, MDB_RDONLY, &txn);
  } else {
    rc = mdb_txn_renew(txn);
    if (rc != 0)
      mdb_txn_abort(txn);
  }
  p11s_lmdb_note_trouble(db, rc);
  if (rc == 0)
    return txn;
  p11s_lmdb_leave(db);
  return NULL;
}

void p11s_lmdb_end_read(struct p11s_lmdb *db, MDB_txn *txn)
{
  mdb_txn_reset(txn);
  p11s_lock(&db->lock);
  if (db->pooled < P11S_LMDB_POOL) {
    db->pool[db->pooled++] = txn;
    txn = NULL;
  }
  p11s_unlock(&db->lock);
  if (txn != NULL)
    mdb_txn_abort(txn);
  p11s_lmdb_leave(db);
}

/* What is in that table; it is valid until the transaction is given back. false: nothing, and none
   is to be given back. */
static bool get(struct p11s_lmdb *db, enum p11s_lmdb_table table, const unsigned char *key,
                MDB_txn **txn, MDB_val *value)
{
  MDB_val name = p11s_lmdb_val(table, key);
  int rc;

  if ((*txn = p11s_lmdb_begin_read(db)) == NULL)
    return false;
  rc = mdb_get(*txn, db->table[table], &name, value);
  p11s_lmdb_note_trouble(db, rc);
  if (rc != 0)
    p11s_lmdb_end_read(db, *txn);
  return rc == 0;
}

bool p11s_lmdb_read(struct p11s_lmdb *db, const unsigned char *key, p11s_store_fn fn, void *arg)
{
  struct p11s_store_record record;
  MDB_val value;
  MDB_txn *txn;
  bool good;

  if (!get(db, P11S_SIGNATURES, key, &txn, &value))
    return false;
  good = p11s_record_parse(key, P11S_RECORD_KEY_LEN, value.mv_data, value.mv_size, &record) &&
         (fn == NULL || fn(&record, arg));
  p11s_lmdb_end_read(db, txn);
  return good;
}

bool p11s_lmdb_read_public(struct p11s_lmdb *db, const unsigned char *ref_id, unsigned char *data,
                           size_t *len)
{
  MDB_val value;
  MDB_txn *txn;
  bool fits;

  if (!get(db, P11S_PUBLIC_KEYS, ref_id, &txn, &value))
    return false;
  fits = value.mv_size <= *len;
  if (fits) {
    memcpy(data, value.mv_data, value.mv_size);
    *len = value.mv_size;
  }
  p11s_lmdb_end_read(db, txn);
  return fits;
}

static int walk(MDB_cursor *cursor, struct p11s_lmdb_place *place, unsigned most, p11s_store_fn fn,
                void *arg)
{
  MDB_val key = p11s_lmdb_val(P11S_SIGNATURES, place->key), value;
  int rc = mdb_cursor_get(cursor, &key, &value, place->begun ? MDB_SET_RANGE : MDB_FIRST);

  if (rc == 0 && place->begun && key.mv_size == sizeof place->key &&
      memcmp(key.mv_data, place->key, sizeof place->key) == 0)
    rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
  for (; rc == 0 && most > 0; most--) {
    struct p11s_store_record record = {.key_id = key.mv_data};

    if (key.mv_size != sizeof place->key)
      return MDB_CORRUPTED;
    memcpy(place->key, key.mv_data, sizeof place->key);
    place->begun = true;
    (void)p11s_record_parse(key.mv_data, key.mv_size, value.mv_data, value.mv_size, &record);
    if (!fn(&record, arg))
      return 0;
    rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
  }
  place->at_end = rc == MDB_NOTFOUND;
  return place->at_end ? 0 : rc;
}

bool p11s_lmdb_walk(struct p11s_lmdb *db, struct p11s_lmdb_place *place, unsigned most,
                    p11s_store_fn fn, void *arg)
{
  MDB_cursor *cursor;
  MDB_txn *txn;
  int rc;

  if ((txn = p11s_lmdb_begin_read(db)) == NULL)
    return false;
  rc = mdb_cursor_open(txn, db->table[P11S_SIGNATURES], &cursor);
  if (rc == 0) {
    rc = walk(cursor, place, most, fn, arg);
    mdb_cursor_close(cursor);
  }
  p11s_lmdb_note_trouble(db, rc);
  p11s_lmdb_end_read(db, txn);
  return rc == 0;
}

static void add_table(MDB_txn *txn, MDB_dbi table, uint64_t *ret_entries,
                      struct p11s_store_stats *ret)
{
  MDB_stat stat;

  if (mdb_stat(txn, table, &stat) != 0)
    return;
  *ret_entries = stat.ms_entries;
  ret->used_bytes +=
      stat.ms_psize * (stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages);
}

struct p11s_store_stats p11s_lmdb_stats(struct p11s_lmdb *db)
{
  struct p11s_store_stats stats = {.off = !may_use(db)};
  MDB_envinfo info;
  MDB_txn *txn;
  MDB_stat stat;

  if (stats.off || (txn = p11s_lmdb_begin_read(db)) == NULL)
    return stats;
  add_table(txn, db->table[P11S_SIGNATURES], &stats.records, &stats);
  add_table(txn, db->table[P11S_PUBLIC_KEYS], &stats.public_keys, &stats);
  p11s_lmdb_end_read(db, txn);
  if (mdb_env_info(db->env, &info) == 0 && mdb_env_stat(db->env, &stat) == 0)
    stats.file_bytes = (info.me_last_pgno + 1) * (uint64_t)stat.ms_psize;
  return stats;
}

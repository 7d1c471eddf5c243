/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "store_lmdb.h"

#include "log.h"

#include <errno.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define POOL 32

struct p11s_lmdb {
  MDB_env *env; /* immutable, like path, fd and tables */
  char *path;
  int fd;
  MDB_dbi table[2];
  atomic_bool broken;
  atomic_llong file_bytes; /* the largest size seen */

  pthread_mutex_t lock; /* guards the rest */
  MDB_txn *pool[POOL];
  unsigned pooled;
};

/* -- trouble */

/* Nothing wrong with the file itself: the next batch may fare better. */
static bool is_passing(int rc)
{
  return rc == ENOSPC || rc == EDQUOT || rc == ENOMEM || rc == EAGAIN || rc == EIO || rc == EFBIG ||
         rc == MDB_MAP_FULL || rc == MDB_TXN_FULL || rc == MDB_READERS_FULL;
}

static void note_trouble(struct p11s_lmdb *db, int rc)
{
  if (rc != 0 && rc != MDB_NOTFOUND && !is_passing(rc) && !atomic_exchange(&db->broken, true))
    p11s_log_event(P11S_LOG_ERROR,
                   "signature store %s: %s: nothing is looked up or kept there any more; "
                   "restart the server, and what is unusable is set aside",
                   db->path, mdb_strerror(rc));
}

static enum p11s_err fail(struct p11s_lmdb *db, int rc, struct p11s_error *e)
{
  note_trouble(db, rc);
  return p11s_error_set(e, rc == ENOMEM ? P11S_ERR_NOMEM : P11S_ERR_HOST, "%s", mdb_strerror(rc));
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
  note_trouble(db, MDB_CORRUPTED);
  return false;
}

/* -- opening */

static int open_tables(struct p11s_lmdb *db)
{
  MDB_txn *txn;
  int rc = mdb_txn_begin(db->env, NULL, 0, &txn);

  if (rc != 0)
    return rc;
  rc = mdb_dbi_open(txn, P11S_LMDB_SIGNATURES, MDB_CREATE, &db->table[P11S_SIGNATURES]);
  if (rc == 0)
    rc = mdb_dbi_open(txn, P11S_LMDB_PUBLIC, MDB_CREATE, &db->table[P11S_PUBLIC_KEYS]);
  if (rc == 0)
    return mdb_txn_commit(txn);
  mdb_txn_abort(txn);
  return rc;
}

static int open_env(struct p11s_lmdb *db)
{
  int rc = mdb_env_create(&db->env);

  if (rc == 0)
    rc = mdb_env_set_maxdbs(db->env, 2);
  if (rc == 0)
    rc = mdb_env_set_mapsize(db->env, P11S_LMDB_MAP_BYTES);
  /* A read transaction belongs to who has it, not to a thread. */
  if (rc == 0)
    rc = mdb_env_open(db->env, db->path, MDB_NOSUBDIR | MDB_NOTLS | MDB_NOMETASYNC, 0600);
  if (rc == 0)
    rc = mdb_env_get_fd(db->env, &db->fd);
  if (rc == 0)
    rc = open_tables(db);
  return rc;
}

enum p11s_err p11s_lmdb_open(const char *path, struct p11s_lmdb **ret, struct p11s_error *e)
{
  struct p11s_lmdb *db = calloc(1, sizeof *db);
  int rc;

  if (db == NULL)
    return p11s_error_set(e, P11S_ERR_NOMEM, "out of memory");
  pthread_mutex_init(&db->lock, NULL);
  db->path = strdup(path);
  rc = db->path != NULL ? open_env(db) : ENOMEM;
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
  pthread_mutex_destroy(&db->lock);
  free(db->path);
  free(db);
}

void p11s_lmdb_tidy(struct p11s_lmdb *db)
{
  int dead;

  (void)mdb_reader_check(db->env, &dead);
}

/* -- reading */

static MDB_txn *begin_read(struct p11s_lmdb *db)
{
  MDB_txn *txn = NULL;
  int rc;

  pthread_mutex_lock(&db->lock);
  if (db->pooled > 0)
    txn = db->pool[--db->pooled];
  pthread_mutex_unlock(&db->lock);
  if (txn == NULL) {
    rc = mdb_txn_begin(db->env, NULL, MDB_RDONLY, &txn);
  } else {
    rc = mdb_txn_renew(txn);
    if (rc != 0)
      mdb_txn_abort(txn);
  }
  note_trouble(db, rc);
  return rc == 0 ? txn : NULL;
}

static void end_read(struct p11s_lmdb *db, MDB_txn *txn)
{
  mdb_txn_reset(txn);
  pthread_mutex_lock(&db->lock);
  if (db->pooled < POOL) {
    db->pool[db->pooled++] = txn;
    txn = NULL;
  }
  pthread_mutex_unlock(&db->lock);
  if (txn != NULL)
    mdb_txn_abort(txn);
}

static MDB_val as_val(enum p11s_lmdb_table table, const unsigned char *key)
{
  return (MDB_val){table == P11S_SIGNATURES ? P11S_RECORD_KEY_LEN : P11S_STORE_ID_LEN, (void *)key};
}

bool p11s_lmdb_get(struct p11s_lmdb *db, enum p11s_lmdb_table table, const unsigned char *key,
                   p11s_lmdb_fn fn, void *arg)
{
  MDB_val name = as_val(table, key), value;
  bool found;
  MDB_txn *txn;
  int rc;

  if (!may_use(db) || (txn = begin_read(db)) == NULL)
    return false;
  rc = mdb_get(txn, db->table[table], &name, &value);
  note_trouble(db, rc);
  found = rc == 0 && fn(key, value.mv_data, value.mv_size, arg);
  end_read(db, txn);
  return found;
}

static int walk(MDB_cursor *cursor, struct p11s_place *place, unsigned most, p11s_lmdb_fn fn,
                void *arg)
{
  MDB_val key = as_val(P11S_SIGNATURES, place->key), value;
  int rc = mdb_cursor_get(cursor, &key, &value, place->begun ? MDB_SET_RANGE : MDB_FIRST);

  if (rc == 0 && place->begun && key.mv_size == sizeof place->key &&
      memcmp(key.mv_data, place->key, sizeof place->key) == 0)
    rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
  for (; rc == 0 && most > 0; most--) {
    if (key.mv_size != sizeof place->key)
      return MDB_CORRUPTED;
    memcpy(place->key, key.mv_data, sizeof place->key);
    place->begun = true;
    if (!fn(key.mv_data, value.mv_data, value.mv_size, arg))
      return 0;
    rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
  }
  place->at_end = rc == MDB_NOTFOUND;
  return place->at_end ? 0 : rc;
}

bool p11s_lmdb_walk(struct p11s_lmdb *db, struct p11s_place *place, unsigned most, p11s_lmdb_fn fn,
                    void *arg)
{
  MDB_cursor *cursor;
  MDB_txn *txn;
  int rc;

  if (!may_use(db) || (txn = begin_read(db)) == NULL)
    return false;
  rc = mdb_cursor_open(txn, db->table[P11S_SIGNATURES], &cursor);
  if (rc == 0) {
    rc = walk(cursor, place, most, fn, arg);
    mdb_cursor_close(cursor);
  }
  note_trouble(db, rc);
  end_read(db, txn);
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

void p11s_lmdb_get_stats(struct p11s_lmdb *db, struct p11s_store_stats *ret)
{
  MDB_envinfo info;
  MDB_txn *txn;
  MDB_stat stat;

  ret->off = !may_use(db);
  if (ret->off || (txn = begin_read(db)) == NULL)
    return;
  add_table(txn, db->table[P11S_SIGNATURES], &ret->records, ret);
  add_table(txn, db->table[P11S_PUBLIC_KEYS], &ret->public_keys, ret);
  end_read(db, txn);
  if (mdb_env_info(db->env, &info) == 0 && mdb_env_stat(db->env, &stat) == 0)
    ret->file_bytes = (info.me_last_pgno + 1) * (uint64_t)stat.ms_psize;
}

/* -- writing */

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
  MDB_val key = as_val(table, op->key);
  int rc;

  if (op->kind == P11S_OP_FORGET)
    rc = mdb_del(txn, db->table[table], &key, NULL);
  else if (op->kind == P11S_OP_USED)
    rc = note_use(txn, db->table[table], key);
  else
    rc = put(txn, db->table[table], key, op);
  return rc == MDB_NOTFOUND ? 0 : rc;
}

/* A transaction that cannot be finished is undone. */
static enum p11s_err finish(struct p11s_lmdb *db, MDB_txn *txn, int rc, struct p11s_error *e)
{
  if (rc == 0)
    rc = mdb_txn_commit(txn);
  else
    mdb_txn_abort(txn);
  return rc == 0 ? P11S_OK : fail(db, rc, e);
}

static int begin_write(struct p11s_lmdb *db, MDB_txn **ret)
{
  return may_use(db) ? mdb_txn_begin(db->env, NULL, 0, ret) : MDB_CORRUPTED;
}

enum p11s_err p11s_lmdb_write(struct p11s_lmdb *db, const struct p11s_op *ops, struct p11s_error *e)
{
  MDB_txn *txn;
  int rc = begin_write(db, &txn);

  if (rc != 0)
    return fail(db, rc, e);
  for (; rc == 0 && ops != NULL; ops = ops->next)
    rc = apply(db, txn, ops);
  return finish(db, txn, rc, e);
}

enum p11s_err p11s_lmdb_delete(struct p11s_lmdb *db, const unsigned char *keys, size_t count,
                               uint64_t *ret_deleted, struct p11s_error *e)
{
  uint64_t deleted = 0;
  enum p11s_err result;
  MDB_txn *txn;
  int rc = begin_write(db, &txn);

  if (rc != 0)
    return fail(db, rc, e);
  for (size_t i = 0; rc == 0 && i < count; i++) {
    MDB_val key = as_val(P11S_SIGNATURES, keys + i * P11S_RECORD_KEY_LEN);

    rc = mdb_del(txn, db->table[P11S_SIGNATURES], &key, NULL);
    deleted += rc == 0;
    if (rc == MDB_NOTFOUND)
      rc = 0;
  }
  result = finish(db, txn, rc, e);
  if (result == P11S_OK)
    *ret_deleted = deleted;
  return result;
}

enum p11s_err p11s_lmdb_empty(struct p11s_lmdb *db, uint64_t *ret_deleted, struct p11s_error *e)
{
  enum p11s_err result;
  MDB_stat stat = {0};
  MDB_txn *txn;
  int rc = begin_write(db, &txn);

  if (rc != 0)
    return fail(db, rc, e);
  rc = mdb_stat(txn, db->table[P11S_SIGNATURES], &stat);
  for (int i = 0; rc == 0 && i < 2; i++)
    rc = mdb_drop(txn, db->table[i], 0);
  result = finish(db, txn, rc, e);
  if (result == P11S_OK)
    *ret_deleted = stat.ms_entries;
  return result;
}

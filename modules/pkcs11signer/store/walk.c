/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What administrators ask of a store (store/store.h). */
#include "store/store.h"

#include "base/buf.h"
#include "base/lock.h"
#include "store/internal.h"

#include <stdlib.h>
#include <string.h>

#define STEP 500
#define SAMPLE 8 /* of one key */
#define STEP_BYTES ((size_t)1 << 20)
#define FLUSH_MS 10000

struct walk {
  struct p11s_lmdb *db;
  struct p11s_lmdb_place place;
  struct p11s_buf copied; /* the records of a step: struct, key, signature, message of each */
  p11s_store_fn fn;
  void *arg;
  bool end; /* there are no more, or fn wants no more */
};

static struct walk begin(struct p11s_store *store, p11s_store_fn fn, void *arg)
{
  return (struct walk){.db = p11s_store_db(store), .fn = fn, .arg = arg};
}

static bool copy(const struct p11s_store_record *record, void *arg)
{
  struct p11s_buf *copied = arg;

  if (record->message == NULL)
    return true;
  p11s_buf_add(copied, record, sizeof *record);
  p11s_buf_add(copied, record->key_id, P11S_RECORD_KEY_LEN);
  p11s_buf_add(copied, record->signature, record->signature_len);
  p11s_buf_add(copied, record->message, record->message_len);
  return !copied->failed && copied->len < STEP_BYTES;
}

/* false: fn wants no more. */
static bool visit_copied(const struct walk *w)
{
  const unsigned char *at = (const unsigned char *)p11s_buf_text(&w->copied),
                      *end = at + w->copied.len;
  struct p11s_store_record record;

  while (at < end) {
    memcpy(&record, at, sizeof record);
    record.key_id = at + sizeof record;
    record.signature = record.key_id + P11S_RECORD_KEY_LEN;
    record.message = record.signature + record.signature_len;
    at = record.message + record.message_len;
    if (!w->fn(&record, w->arg))
      return false;
  }
  return true;
}

/* Copies the next records, at most so many, and visits them. false: they cannot be read. */
static bool visit_some(struct walk *w, unsigned most)
{
  w->copied.len = 0;
  if (!p11s_lmdb_walk(w->db, &w->place, most, copy, &w->copied) || w->copied.failed)
    return false;
  w->end = !visit_copied(w) || w->place.at_end;
  return true;
}

bool p11s_store_read(struct p11s_store *store, const unsigned char *key_id,
                     const unsigned char *message_id, p11s_store_fn fn, void *arg)
{
  struct walk w = begin(store, fn, arg);
  unsigned char key[P11S_RECORD_KEY_LEN];
  bool good;

  memcpy(key, key_id, P11S_STORE_ID_LEN);
  memcpy(key + P11S_STORE_ID_LEN, message_id, sizeof key - P11S_STORE_ID_LEN);
  good = w.db != NULL && p11s_lmdb_read(w.db, key, copy, &w.copied) && visit_copied(&w);
  p11s_buf_clear(&w.copied);
  return good;
}

bool p11s_store_each(struct p11s_store *store, p11s_store_fn fn, void *arg)
{
  struct walk w = begin(store, fn, arg);
  bool good = w.db != NULL;

  while (good && !w.end)
    good = visit_some(&w, STEP);
  p11s_buf_clear(&w.copied);
  return good;
}

bool p11s_store_each_key(struct p11s_store *store, p11s_store_fn fn, void *arg)
{
  struct walk w = begin(store, fn, arg);
  bool good = w.db != NULL;

  while (good && !w.end) {
    good = visit_some(&w, SAMPLE);
    /* Behind the last record of this key. */
    memset(w.place.key + P11S_STORE_ID_LEN, 0xff, sizeof w.place.key - P11S_STORE_ID_LEN);
  }
  p11s_buf_clear(&w.copied);
  return good;
}

/* -- deleting */

struct purge {
  p11s_store_fn fn;
  void *arg;
  size_t count;
  unsigned char keys[STEP * P11S_RECORD_KEY_LEN]; /* of those to be deleted */
};

static bool mark(const struct p11s_store_record *record, void *arg)
{
  struct purge *purge = arg;

  if (purge->fn(record, purge->arg))
    memcpy(purge->keys + purge->count++ * P11S_RECORD_KEY_LEN, record->key_id, P11S_RECORD_KEY_LEN);
  return true;
}

static enum p11s_err purge_some(struct p11s_store *store, struct purge *purge,
                                uint64_t *ret_deleted, struct p11s_error *e)
{
  struct walk w = begin(store, mark, purge);
  enum p11s_err result = P11S_OK;
  uint64_t deleted = 0;

  while (result == P11S_OK && !w.end) {
    purge->count = 0;
    if (!visit_some(&w, STEP))
      result = p11s_error_set(e, P11S_ERR_HOST, "the signature store cannot be read");
    else if (purge->count > 0)
      result = p11s_lmdb_delete(w.db, purge->keys, purge->count, &deleted, e);
    *ret_deleted += deleted;
    deleted = 0;
  }
  p11s_buf_clear(&w.copied);
  return result;
}

enum p11s_err p11s_store_purge(struct p11s_store *store, p11s_store_fn fn, void *arg,
                               uint64_t *ret_deleted, struct p11s_error *e)
{
  struct purge purge = {.fn = fn, .arg = arg};
  struct p11s_lmdb *db = p11s_store_db(store);

  *ret_deleted = 0;
  if (db == NULL)
    return p11s_error_set(e, P11S_ERR_HOST, "the signature store is not open");
  (void)p11s_store_flush(store, p11s_now_ms() + FLUSH_MS);
  return fn != NULL ? purge_some(store, &purge, ret_deleted, e)
                    : p11s_lmdb_empty(db, ret_deleted, e);
}

/* -- the fleet's */

enum p11s_err p11s_store_each_fleet(struct p11s_store *store, p11s_store_fn fn, void *arg,
                                    struct p11s_error *e)
{
  return p11s_fleet_walk(p11s_store_fleet(store), fn, arg, NULL, e);
}

enum p11s_err p11s_store_purge_fleet(struct p11s_store *store, p11s_store_fn fn, void *arg,
                                     uint64_t *ret_deleted, struct p11s_error *e)
{
  return p11s_fleet_walk(p11s_store_fleet(store), fn, arg, ret_deleted, e);
}

/* -- losses */

bool p11s_store_each_loss(struct p11s_store *store, p11s_store_loss_fn fn, void *arg)
{
  struct p11s_lmdb *db = p11s_store_db(store);

  return db != NULL && p11s_lmdb_each_loss(db, p11s_record_now(), fn, arg);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What administrators ask of a store (store/store.h). */
#include "store/store.h"

#include "base/lock.h"
#include "store/internal.h"

#include <stdlib.h>
#include <string.h>

#define STEP 500
#define SAMPLE 8 /* of one key */
#define STEP_BYTES ((size_t)1 << 20)
#define FLUSH_MS 10000

/* Records copied out of the file; they stand one behind the other, each with its length first. */
struct copied {
  unsigned char *data;
  size_t len;
  size_t room;
  bool failed;
};

static bool copy(const unsigned char *key, const unsigned char *value, size_t len, void *arg)
{
  struct copied *c = arg;
  size_t needed = c->len + sizeof len + P11S_RECORD_KEY_LEN + len;

  if (needed > c->room) {
    unsigned char *bigger = realloc(c->data, needed * 2);

    c->failed = bigger == NULL;
    if (c->failed)
      return false;
    c->data = bigger;
    c->room = needed * 2;
  }
  memcpy(c->data + c->len, &len, sizeof len);
  memcpy(c->data + c->len + sizeof len, key, P11S_RECORD_KEY_LEN);
  memcpy(c->data + c->len + sizeof len + P11S_RECORD_KEY_LEN, value, len);
  c->len = needed;
  return c->len < STEP_BYTES;
}

struct visit {
  p11s_store_fn fn;
  void *arg;
  bool (*each)(const unsigned char *key, const struct p11s_store_record *record,
               struct visit *visit);
  unsigned char *keys; /* of those to be deleted */
  size_t count;
};

/* false: each() did not want to go on. */
static bool visit_copied(const struct copied *c, struct visit *visit)
{
  struct p11s_store_record record;
  size_t at = 0, len;

  while (at < c->len) {
    const unsigned char *key = c->data + at + sizeof len;

    memcpy(&len, c->data + at, sizeof len);
    at += sizeof len + P11S_RECORD_KEY_LEN + len;
    if (p11s_record_parse(key, P11S_RECORD_KEY_LEN, key + P11S_RECORD_KEY_LEN, len, &record) &&
        !visit->each(key, &record, visit))
      return false;
  }
  return true;
}

/* Reads the next records, at most so many, and visits them. *ret_end: there are no more, or no more
   are wanted. */
static bool visit_some(struct p11s_lmdb *db, struct p11s_place *place, unsigned most,
                       struct copied *c, struct visit *visit, bool *ret_end)
{
  c->len = 0;
  if (!p11s_lmdb_walk(db, place, most, copy, c) || c->failed)
    return false;
  *ret_end = !visit_copied(c, visit) || place->at_end;
  return true;
}

static bool show(const unsigned char *key, const struct p11s_store_record *record,
                 struct visit *visit)
{
  (void)key;
  return visit->fn(record, visit->arg);
}

static bool copy_one(const unsigned char *key, const unsigned char *value, size_t len, void *arg)
{
  struct copied *c = arg;

  (void)copy(key, value, len, c);
  return !c->failed;
}

bool p11s_store_read(struct p11s_store *store, const unsigned char *key_id,
                     const unsigned char *message_id, p11s_store_fn fn, void *arg)
{
  struct visit visit = {fn, arg, show, NULL, 0};
  struct p11s_lmdb *db = p11s_store_db(store);
  struct copied copied = {NULL, 0, 0, false};
  unsigned char key[P11S_RECORD_KEY_LEN];
  bool good;

  memcpy(key, key_id, P11S_STORE_ID_LEN);
  memcpy(key + P11S_STORE_ID_LEN, message_id, sizeof key - P11S_STORE_ID_LEN);
  good = db != NULL && p11s_lmdb_get(db, P11S_SIGNATURES, key, copy_one, &copied) &&
         visit_copied(&copied, &visit);
  free(copied.data);
  return good;
}

static bool each(struct p11s_store *store, unsigned step, bool all, struct visit *visit)
{
  struct p11s_lmdb *db = p11s_store_db(store);
  struct p11s_place place = {false, false, {0}};
  struct copied copied = {NULL, 0, 0, false};
  bool good = db != NULL, end = false;

  while (good && !end) {
    good = visit_some(db, &place, step, &copied, visit, &end);
    if (!all) /* behind the last record of this key */
      memset(place.key + P11S_STORE_ID_LEN, 0xff, sizeof place.key - P11S_STORE_ID_LEN);
  }
  free(copied.data);
  return good;
}

bool p11s_store_each(struct p11s_store *store, p11s_store_fn fn, void *arg)
{
  struct visit visit = {fn, arg, show, NULL, 0};

  return each(store, STEP, true, &visit);
}

bool p11s_store_each_key(struct p11s_store *store, p11s_store_fn fn, void *arg)
{
  struct visit visit = {fn, arg, show, NULL, 0};

  return each(store, SAMPLE, false, &visit);
}

static bool mark(const unsigned char *key, const struct p11s_store_record *record,
                 struct visit *visit)
{
  if (visit->fn(record, visit->arg))
    memcpy(visit->keys + visit->count++ * P11S_RECORD_KEY_LEN, key, P11S_RECORD_KEY_LEN);
  return true;
}

static enum p11s_err purge_some(struct p11s_lmdb *db, p11s_store_fn fn, void *arg,
                                uint64_t *ret_deleted, struct p11s_error *e)
{
  struct visit visit = {fn, arg, mark, malloc((size_t)STEP * P11S_RECORD_KEY_LEN), 0};
  struct p11s_place place = {false, false, {0}};
  struct copied copied = {NULL, 0, 0, false};
  enum p11s_err result = P11S_OK;
  bool end = visit.keys == NULL;
  uint64_t deleted = 0;

  if (end)
    result = p11s_error_set(e, P11S_ERR_NOMEM, "out of memory");
  while (result == P11S_OK && !end) {
    visit.count = 0;
    if (!visit_some(db, &place, STEP, &copied, &visit, &end))
      result = p11s_error_set(e, P11S_ERR_HOST, "the signature store cannot be read");
    else if (visit.count > 0)
      result = p11s_lmdb_delete(db, visit.keys, visit.count, &deleted, e);
    *ret_deleted += deleted;
    deleted = 0;
  }
  free(visit.keys);
  free(copied.data);
  return result;
}

enum p11s_err p11s_store_purge(struct p11s_store *store, p11s_store_fn fn, void *arg,
                               uint64_t *ret_deleted, struct p11s_error *e)
{
  struct p11s_lmdb *db = p11s_store_db(store);
  enum p11s_err result;
  uint64_t deleted = 0;

  if (db == NULL)
    return p11s_error_set(e, P11S_ERR_HOST, "the signature store is not open");
  (void)p11s_store_flush(store, p11s_now_ms() + FLUSH_MS);
  result = fn != NULL ? purge_some(db, fn, arg, &deleted, e) : p11s_lmdb_empty(db, &deleted, e);
  *ret_deleted = deleted;
  return result;
}

static enum p11s_err walk_fleet(struct p11s_store *store, p11s_store_fn fn, void *arg,
                                uint64_t *ret_deleted, struct p11s_error *e)
{
  struct p11s_fleet *fleet = p11s_store_fleet(store);

  if (fleet == NULL)
    return p11s_error_set(e, P11S_ERR_HOST, "there is no fleet store");
  return p11s_fleet_walk(fleet, fn, arg, ret_deleted, e);
}

enum p11s_err p11s_store_each_fleet(struct p11s_store *store, p11s_store_fn fn, void *arg,
                                    struct p11s_error *e)
{
  return walk_fleet(store, fn, arg, NULL, e);
}

enum p11s_err p11s_store_purge_fleet(struct p11s_store *store, p11s_store_fn fn, void *arg,
                                     uint64_t *ret_deleted, struct p11s_error *e)
{
  return walk_fleet(store, fn, arg, ret_deleted, e);
}

bool p11s_store_each_loss(struct p11s_store *store, p11s_store_loss_fn fn, void *arg)
{
  struct p11s_lmdb *db = p11s_store_db(store);

  return db != NULL && p11s_lmdb_each_loss(db, p11s_record_now(), fn, arg);
}

void p11s_store_get_stats(struct p11s_store *store, struct p11s_store_stats *ret)
{
  struct p11s_fleet *fleet = p11s_store_fleet(store);
  struct p11s_lmdb *db = p11s_store_db(store);
  struct p11s_fleet_stats of_fleet;

  memset(ret, 0, sizeof *ret);
  p11s_fleet_get_stats(fleet, &of_fleet);
  ret->fleet = fleet != NULL;
  ret->connected = of_fleet.connected;
  ret->fleet_queued = of_fleet.queued;
  ret->off = db == NULL;
  if (db == NULL)
    return;
  p11s_lmdb_get_stats(db, ret);
  p11s_store_get_queue(store, ret);
}

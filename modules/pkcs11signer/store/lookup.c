/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What threads that answer queries do with a store (store/store.h). */
#include "base/crypto.h"
#include "store/internal.h"

#include <stdlib.h>
#include <string.h>

static bool make_key(const unsigned char *key_id, const unsigned char *message, size_t len,
                     unsigned char *ret_key)
{
  memcpy(ret_key, key_id, P11S_STORE_ID_LEN);
  return p11s_sha256(message, len, ret_key + P11S_STORE_ID_LEN);
}

struct lookup {
  const unsigned char *message;
  size_t message_len;
  unsigned char *signature;
  size_t *signature_len;
  bool stale;
};

static bool take_signature(const unsigned char *key, const unsigned char *value, size_t len,
                           void *arg)
{
  struct lookup *l = arg;
  struct p11s_store_record record;

  if (!p11s_record_parse(key, P11S_RECORD_KEY_LEN, value, len, &record) ||
      record.message_len != l->message_len || record.signature_len > *l->signature_len ||
      memcmp(record.message, l->message, l->message_len) != 0)
    return false;
  memcpy(l->signature, record.signature, record.signature_len);
  *l->signature_len = record.signature_len;
  l->stale = p11s_record_is_stale(&record, p11s_record_now());
  return true;
}

static struct p11s_op *make_op(enum p11s_op_kind kind, const unsigned char *key, size_t key_len,
                               size_t len)
{
  struct p11s_op *op = malloc(sizeof *op + len);

  if (op == NULL)
    return NULL;
  op->next = NULL;
  op->kind = kind;
  memset(op->key, 0, sizeof op->key);
  memcpy(op->key, key, key_len);
  op->len = len;
  return op;
}

static struct p11s_op *make_put(const unsigned char *key, const struct p11s_store_record *record)
{
  struct p11s_op *op = make_op(P11S_OP_PUT, key, P11S_RECORD_KEY_LEN,
                               p11s_record_size(record->message_len, record->signature_len));

  if (op != NULL)
    p11s_record_format(record, op->value);
  return op;
}

bool p11s_store_find_here(struct p11s_store *s, const unsigned char *key_id,
                          const unsigned char *message, size_t message_len,
                          unsigned char *signature, size_t *signature_len)
{
  struct lookup lookup = {message, message_len, signature, signature_len, false};
  struct p11s_lmdb *db = p11s_store_db(s);
  unsigned char key[P11S_RECORD_KEY_LEN];

  if (db == NULL || !make_key(key_id, message, message_len, key) ||
      !p11s_lmdb_get(db, P11S_SIGNATURES, key, take_signature, &lookup))
    return false;
  if (lookup.stale) {
    p11s_store_queue(s, make_op(P11S_OP_USED, key, P11S_RECORD_KEY_LEN, 0));
    p11s_fleet_used(p11s_store_fleet(s), key);
  }
  return true;
}

bool p11s_store_has_fleet(struct p11s_store *s)
{
  return p11s_store_fleet(s) != NULL;
}

enum p11s_store_found p11s_store_find_in_fleet(struct p11s_store *s, const unsigned char *key_id,
                                               const unsigned char *message, size_t message_len,
                                               const struct p11s_store_ask *ask,
                                               unsigned char *signature, size_t *signature_len)
{
  struct p11s_fleet *fleet = p11s_store_fleet(s);
  unsigned char key[P11S_RECORD_KEY_LEN];
  enum p11s_store_found found;

  if (fleet == NULL || !make_key(key_id, message, message_len, key))
    return P11S_STORE_ABSENT;
  found = p11s_fleet_find(fleet, key, message, message_len, ask, signature, signature_len);
  if (found == P11S_STORE_FOUND) {
    const struct p11s_store_record record = {
        key_id, message, message_len, signature, *signature_len, p11s_record_now(), !ask->ahead};

    p11s_store_queue(s, make_put(key, &record));
  }
  return found;
}

static bool is_of_message(const unsigned char *key, const unsigned char *value, size_t len,
                          void *arg)
{
  const struct lookup *l = arg;
  struct p11s_store_record record;

  return p11s_record_parse(key, P11S_RECORD_KEY_LEN, value, len, &record) &&
         record.message_len == l->message_len &&
         memcmp(record.message, l->message, l->message_len) == 0;
}

bool p11s_store_has(struct p11s_store *s, const unsigned char *key_id, const unsigned char *message,
                    size_t message_len)
{
  struct lookup lookup = {message, message_len, NULL, NULL, false};
  struct p11s_lmdb *db = p11s_store_db(s);
  unsigned char key[P11S_RECORD_KEY_LEN];

  return db != NULL && make_key(key_id, message, message_len, key) &&
         p11s_lmdb_get(db, P11S_SIGNATURES, key, is_of_message, &lookup);
}

static void put(struct p11s_store *s, const unsigned char *key_id, const unsigned char *message,
                size_t message_len, const unsigned char *signature, size_t signature_len,
                uint32_t days)
{
  const struct p11s_store_record record = {key_id,        message,           message_len, signature,
                                           signature_len, p11s_record_now(), days};
  unsigned char key[P11S_RECORD_KEY_LEN];
  bool fits = message_len <= P11S_STORE_MAX_MESSAGE && signature_len <= P11S_STORE_MAX_SIGNATURE;

  if (p11s_store_db(s) == NULL)
    return;
  fits = fits && make_key(key_id, message, message_len, key);
  if (fits)
    p11s_fleet_put(p11s_store_fleet(s), key, &record);
  p11s_store_queue(s, fits ? make_put(key, &record) : NULL);
}

void p11s_store_abandon(struct p11s_store *s, const unsigned char *key_id,
                        const unsigned char *message, size_t message_len)
{
  unsigned char key[P11S_RECORD_KEY_LEN];

  if (p11s_store_fleet(s) != NULL && make_key(key_id, message, message_len, key))
    p11s_fleet_abandon(p11s_store_fleet(s), key);
}

void p11s_store_put(struct p11s_store *s, const unsigned char *key_id, const unsigned char *message,
                    size_t message_len, const unsigned char *signature, size_t signature_len)
{
  put(s, key_id, message, message_len, signature, signature_len, 1);
}

void p11s_store_put_ahead(struct p11s_store *s, const unsigned char *key_id,
                          const unsigned char *message, size_t message_len,
                          const unsigned char *signature, size_t signature_len)
{
  put(s, key_id, message, message_len, signature, signature_len, 0);
}

void p11s_store_forget(struct p11s_store *s, const unsigned char *key_id,
                       const unsigned char *message, size_t message_len)
{
  unsigned char key[P11S_RECORD_KEY_LEN];

  if (p11s_store_db(s) == NULL || !make_key(key_id, message, message_len, key))
    return;
  p11s_store_queue(s, make_op(P11S_OP_FORGET, key, sizeof key, 0));
  p11s_fleet_forget(p11s_store_fleet(s), key);
}

struct public_lookup {
  unsigned char *data;
  size_t *len;
};

static bool take_public(const unsigned char *key, const unsigned char *value, size_t len, void *arg)
{
  struct public_lookup *l = arg;

  (void)key;
  if (len > *l->len)
    return false;
  memcpy(l->data, value, len);
  *l->len = len;
  return true;
}

bool p11s_store_find_public(struct p11s_store *s, const unsigned char *ref_id, unsigned char *data,
                            size_t *data_len)
{
  struct public_lookup lookup = {data, data_len};
  struct p11s_lmdb *db = p11s_store_db(s);

  return db != NULL && p11s_lmdb_get(db, P11S_PUBLIC_KEYS, ref_id, take_public, &lookup);
}

void p11s_store_put_public(struct p11s_store *s, const unsigned char *ref_id,
                           const unsigned char *data, size_t data_len)
{
  struct p11s_op *op = NULL;

  if (p11s_store_db(s) == NULL)
    return;
  if (data_len <= P11S_STORE_MAX_PUBLIC)
    op = make_op(P11S_OP_PUT_PUBLIC, ref_id, P11S_STORE_ID_LEN, data_len);
  if (op != NULL)
    memcpy(op->value, data, data_len);
  p11s_store_queue(s, op);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What threads that answer queries do with a store (store/store.h). */
#include "base/crypto.h"
#include "store/internal.h"

#include <stdlib.h>
#include <string.h>

bool p11s_question_init(struct p11s_question *q, const unsigned char *key_id,
                        const unsigned char *message, size_t len)
{
  memcpy(q->key, key_id, P11S_STORE_ID_LEN);
  q->message = message;
  q->len = len;
  return p11s_sha256(message, len, q->key + P11S_STORE_ID_LEN);
}

/* -- finding */

struct lookup {
  const struct p11s_question *question;
  unsigned char *signature; /* NULL: not wanted */
  size_t *signature_len;
  bool stale;
};

static bool take_signature(const struct p11s_store_record *record, void *arg)
{
  struct lookup *l = arg;

  if (record->message_len != l->question->len ||
      memcmp(record->message, l->question->message, record->message_len) != 0)
    return false;
  if (l->signature == NULL)
    return true;
  if (record->signature_len > *l->signature_len)
    return false;
  memcpy(l->signature, record->signature, record->signature_len);
  *l->signature_len = record->signature_len;
  l->stale = p11s_record_is_stale(record, p11s_record_now());
  return true;
}

static bool look_up(struct p11s_store *s, struct lookup *lookup)
{
  struct p11s_lmdb *db = p11s_store_db(s);

  return db != NULL && p11s_lmdb_read(db, lookup->question->key, take_signature, lookup);
}

/* For the file and for the fleet. */
static void queue(struct p11s_store *s, enum p11s_op_kind kind, const struct p11s_question *q)
{
  p11s_store_queue(s, p11s_op_new(kind, q->key, sizeof q->key, NULL, 0));
  p11s_fleet_queue(p11s_store_fleet(s), kind, q->key);
}

bool p11s_store_find_here(struct p11s_store *s, const struct p11s_question *q,
                          unsigned char *signature, size_t *signature_len)
{
  struct lookup lookup = {q, signature, signature_len, false};
  bool found = look_up(s, &lookup);

  if (lookup.stale)
    queue(s, P11S_OP_USED, q);
  return found;
}

bool p11s_store_has(struct p11s_store *s, const struct p11s_question *q)
{
  struct lookup lookup = {q, NULL, NULL, false};

  return look_up(s, &lookup);
}

bool p11s_store_has_fleet(struct p11s_store *s)
{
  return p11s_store_fleet(s) != NULL;
}

static struct p11s_store_record record_of(const struct p11s_question *q,
                                          const unsigned char *signature, size_t signature_len,
                                          bool ahead)
{
  return (struct p11s_store_record){q->key,        q->message,        q->len, signature,
                                    signature_len, p11s_record_now(), !ahead};
}

enum p11s_store_found p11s_store_find_in_fleet(struct p11s_store *s, const struct p11s_question *q,
                                               const struct p11s_store_ask *ask,
                                               unsigned char *signature, size_t *signature_len)
{
  enum p11s_store_found found =
      p11s_fleet_find(p11s_store_fleet(s), q, ask, signature, signature_len);

  if (found == P11S_STORE_FOUND) {
    const struct p11s_store_record record = record_of(q, signature, *signature_len, ask->ahead);

    p11s_store_queue(s, p11s_op_new_put(q->key, &record));
  }
  return found;
}

/* -- changing */

void p11s_store_put(struct p11s_store *s, const struct p11s_question *q,
                    const unsigned char *signature, size_t signature_len, bool ahead)
{
  const struct p11s_store_record record = record_of(q, signature, signature_len, ahead);
  bool fits = q->len <= P11S_STORE_MAX_MESSAGE && signature_len <= P11S_STORE_MAX_SIGNATURE;

  if (p11s_store_db(s) == NULL)
    return;
  if (fits)
    p11s_fleet_put(p11s_store_fleet(s), q->key, &record);
  p11s_store_queue(s, fits ? p11s_op_new_put(q->key, &record) : NULL);
}

void p11s_store_abandon(struct p11s_store *s, const struct p11s_question *q)
{
  p11s_fleet_queue(p11s_store_fleet(s), P11S_OP_ABANDON, q->key);
}

void p11s_store_forget(struct p11s_store *s, const struct p11s_question *q)
{
  if (p11s_store_db(s) != NULL)
    queue(s, P11S_OP_FORGET, q);
}

/* -- public keys */

bool p11s_store_find_public(struct p11s_store *s, const unsigned char *ref_id, unsigned char *data,
                            size_t *data_len)
{
  struct p11s_lmdb *db = p11s_store_db(s);

  return db != NULL && p11s_lmdb_read_public(db, ref_id, data, data_len);
}

void p11s_store_put_public(struct p11s_store *s, const unsigned char *ref_id,
                           const unsigned char *data, size_t data_len)
{
  struct p11s_op *op = NULL;

  if (p11s_store_db(s) == NULL)
    return;
  if (data_len <= P11S_STORE_MAX_PUBLIC)
    op = p11s_op_new(P11S_OP_PUT_PUBLIC, ref_id, P11S_STORE_ID_LEN, data, data_len);
  p11s_store_queue(s, op);
}

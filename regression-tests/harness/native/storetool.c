/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Does to a signature store what nobody should, and leaves a good LMDB file:
 *
 *   storetool FILE swap     each two records exchange their places: one stands under the other's
 * key storetool FILE forge    each two records exchange their signatures storetool FILE garble
 * values are anything storetool FILE late     all inceptions are an hour later, in records that are
 * whole otherwise
 */
#include <lmdb.h>
#include <openssl/sha.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEAD 16 /* store/record.h; the signature follows, its length is at 2 */
#define KEY_ID 32
#define INCEPTION 12 /* format/message.h */
#define MANY 10000

static void check(int rc)
{
  if (rc != 0) {
    fprintf(stderr, "storetool: %s\n", mdb_strerror(rc));
    exit(1);
  }
}

static MDB_val copy(MDB_val value)
{
  MDB_val result = {value.mv_size, malloc(value.mv_size)};

  memcpy(result.mv_data, value.mv_data, value.mv_size);
  return result;
}

static size_t signature_len(MDB_val value)
{
  const unsigned char *data = value.mv_data;

  return (size_t)data[2] << 8 | data[3];
}

static void change(const char *how, MDB_val *a, MDB_val *b)
{
  unsigned char *x = a->mv_data, *y = b->mv_data, swap;
  MDB_val swapped;

  if (strcmp(how, "swap") == 0) {
    swapped = *a;
    *a = *b;
    *b = swapped;
  } else if (strcmp(how, "forge") == 0) {
    if (signature_len(*a) != signature_len(*b))
      return;
    for (size_t i = HEAD; i < HEAD + signature_len(*a); i++) {
      swap = x[i];
      x[i] = y[i];
      y[i] = swap;
    }
  } else {
    for (size_t i = 0; i < a->mv_size; i++)
      x[i] = (unsigned char)rand();
    b->mv_size /= 2;
  }
}

static void make_late(MDB_val *key, MDB_val *value)
{
  unsigned char *message = (unsigned char *)value->mv_data + HEAD + signature_len(*value);
  size_t len = value->mv_size - HEAD - signature_len(*value);
  unsigned char *at = message + INCEPTION;
  unsigned when = (unsigned)at[0] << 24 | at[1] << 16 | at[2] << 8 | at[3];

  when += 3600;
  for (int i = 0; i < 4; i++)
    at[i] = (unsigned char)(when >> (24 - 8 * i));
  SHA256(message, len, (unsigned char *)key->mv_data + KEY_ID);
}

static void make_all_late(MDB_txn *txn, MDB_dbi table, MDB_cursor *cursor)
{
  static MDB_val keys[MANY], values[MANY];
  MDB_val key, value;
  unsigned count = 0;

  while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0 && count < MANY) {
    keys[count] = copy(key);
    values[count] = copy(value);
    make_late(&keys[count], &values[count]);
    count++;
  }
  check(mdb_drop(txn, table, 0));
  while (count-- > 0)
    check(mdb_put(txn, table, &keys[count], &values[count], 0));
}

static void change_all(MDB_txn *txn, MDB_dbi table, MDB_cursor *cursor, const char *how)
{
  MDB_val key, value, keys[2], values[2];
  unsigned have = 0;

  while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0) {
    keys[have] = copy(key);
    values[have++] = copy(value);
    if (have < 2)
      continue;
    have = 0;
    change(how, &values[0], &values[1]);
    for (int i = 0; i < 2; i++)
      check(mdb_put(txn, table, &keys[i], &values[i], 0));
    check(mdb_cursor_get(cursor, &keys[1], &value, MDB_SET));
  }
}

int main(int argc, char **argv)
{
  MDB_env *env;
  MDB_txn *txn;
  MDB_dbi table;
  MDB_cursor *cursor;

  if (argc != 3)
    return 2;
  check(mdb_env_create(&env));
  check(mdb_env_set_maxdbs(env, 2));
  check(mdb_env_open(env, argv[1], MDB_NOSUBDIR | MDB_NOLOCK, 0600));
  check(mdb_txn_begin(env, NULL, 0, &txn));
  check(mdb_dbi_open(txn, "signatures 1", 0, &table));
  check(mdb_cursor_open(txn, table, &cursor));
  if (strcmp(argv[2], "late") == 0)
    make_all_late(txn, table, cursor);
  else
    change_all(txn, table, cursor, argv[2]);
  mdb_cursor_close(cursor);
  check(mdb_txn_commit(txn));
  mdb_env_close(env);
  return 0;
}

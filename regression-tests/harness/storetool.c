/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Does to a signature store what nobody should, and leaves a good LMDB file:
 *
 *   storetool FILE swap     each two records exchange their places: one stands under the other's
 * key storetool FILE forge    each two records exchange their signatures storetool FILE garble
 * values are anything
 */
#include <lmdb.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEAD 16 /* store_record.h; the signature follows, its length is at 2 */

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

int main(int argc, char **argv)
{
  MDB_env *env;
  MDB_txn *txn;
  MDB_dbi table;
  MDB_cursor *cursor;
  MDB_val key, value, keys[2], values[2];
  unsigned have = 0;
  int rc;

  if (argc != 3)
    return 2;
  check(mdb_env_create(&env));
  check(mdb_env_set_maxdbs(env, 2));
  check(mdb_env_open(env, argv[1], MDB_NOSUBDIR | MDB_NOLOCK, 0600));
  check(mdb_txn_begin(env, NULL, 0, &txn));
  check(mdb_dbi_open(txn, "signatures 1", 0, &table));
  check(mdb_cursor_open(txn, table, &cursor));
  while ((rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
    keys[have] = copy(key);
    values[have++] = copy(value);
    if (have < 2)
      continue;
    have = 0;
    change(argv[2], &values[0], &values[1]);
    for (int i = 0; i < 2; i++)
      check(mdb_put(txn, table, &keys[i], &values[i], 0));
    check(mdb_cursor_get(cursor, &keys[1], &value, MDB_SET));
  }
  mdb_cursor_close(cursor);
  check(mdb_txn_commit(txn));
  mdb_env_close(env);
  return 0;
}

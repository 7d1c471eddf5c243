/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "probe/copy_store.h"

#include "store/lmdb.h"

#include <errno.h>
#include <grp.h>
#include <lmdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* Records in a transaction: what it has changed is in memory. */
#define BATCH 20000
#define LOOK_EVERY 500 /* records */
#define SAY_EVERY_MS 200

struct copy {
  MDB_env *from, *to;
  MDB_txn *read, *write;
  bool to_failed; /* the error is the copy's */
  size_t all, done;
  int64_t said_ms;
};

static int64_t now_ms(void)
{
  struct timespec now;

  (void)clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* It goes on: so it may go on. */
static void say_progress(struct copy *c)
{
  const struct itimerval stall = {.it_value = {.tv_sec = P11S_PROBE_STALL_S}};

  (void)setitimer(ITIMER_PROF, &stall, NULL);
  if (now_ms() - c->said_ms < SAY_EVERY_MS)
    return;
  c->said_ms = now_ms();
  printf("at %zu of %zu\n", c->done, c->all);
  (void)fflush(stdout);
}

static bool become_owner(const char *path)
{
  struct stat status;

  if (geteuid() != 0)
    return true;
  return stat(path, &status) == 0 && setgroups(0, NULL) == 0 &&
         setresgid(status.st_gid, status.st_gid, status.st_gid) == 0 &&
         setresuid(status.st_uid, status.st_uid, status.st_uid) == 0;
}

static int open_env(MDB_env **env, const char *path, unsigned flags)
{
  int rc = mdb_env_create(env);

  if (rc == 0)
    rc = mdb_env_set_maxdbs(*env, P11S_LMDB_TABLES);
  if (rc == 0 && (flags & MDB_RDONLY) == 0)
    rc = mdb_env_set_mapsize(*env, P11S_LMDB_MAP_BYTES);
  if (rc == 0)
    rc = mdb_env_open(*env, path, MDB_NOSUBDIR | MDB_NOLOCK | flags, 0600);
  return rc;
}

static int to_write(struct copy *c, int rc)
{
  c->to_failed = rc != 0;
  return rc;
}

/* Writes what has been copied. */
static int commit(struct copy *c)
{
  MDB_txn *done = c->write;
  int rc;

  c->write = NULL;
  rc = to_write(c, mdb_txn_commit(done));
  if (rc == 0)
    rc = to_write(c, mdb_txn_begin(c->to, NULL, 0, &c->write));
  return rc;
}

/* Keys that are not in order make MDB_APPEND fail: then it is the file read that is wrong. */
static int copy_record(struct copy *c, MDB_dbi to, MDB_val *key, MDB_val *value)
{
  int rc = mdb_put(c->write, to, key, value, MDB_APPEND);

  if (rc == MDB_KEYEXIST || rc == MDB_BAD_VALSIZE)
    return MDB_CORRUPTED;
  return to_write(c, rc);
}

static int copy_table(struct copy *c, const char *name)
{
  MDB_cursor *cursor = NULL;
  MDB_dbi from, to;
  MDB_val key, value;
  MDB_stat stat;
  size_t count = 0;
  int rc = to_write(c, mdb_dbi_open(c->write, name, MDB_CREATE, &to));

  if (rc == 0)
    rc = mdb_dbi_open(c->read, name, 0, &from);
  if (rc == MDB_NOTFOUND)
    return 0;
  if (rc == 0)
    rc = mdb_stat(c->read, from, &stat);
  if (rc == 0)
    rc = mdb_cursor_open(c->read, from, &cursor);
  if (rc == 0)
    c->all += stat.ms_entries;
  while (rc == 0 && (rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
    if (++count > stat.ms_entries)
      rc = MDB_CORRUPTED;
    if (++c->done % LOOK_EVERY == 0)
      say_progress(c);
    if (rc == 0)
      rc = copy_record(c, to, &key, &value);
    if (rc == 0 && count % BATCH == 0)
      rc = commit(c);
  }
  if (cursor != NULL)
    mdb_cursor_close(cursor);
  if (rc == MDB_NOTFOUND)
    rc = count == stat.ms_entries ? 0 : MDB_CORRUPTED;
  return rc;
}

static bool is_named(const MDB_val *key, const char *name)
{
  return key->mv_size == strlen(name) && memcmp(key->mv_data, name, key->mv_size) == 0;
}

/* LMDB files are many programs'. */
static int check_names(struct copy *c, bool *ret_foreign)
{
  MDB_cursor *cursor;
  MDB_val key, value;
  MDB_dbi names;
  int rc = mdb_dbi_open(c->read, NULL, 0, &names);

  if (rc == 0)
    rc = mdb_cursor_open(c->read, names, &cursor);
  if (rc != 0)
    return rc;
  while ((rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0 && !*ret_foreign)
    *ret_foreign = !is_named(&key, P11S_LMDB_SIGNATURES) && !is_named(&key, P11S_LMDB_PUBLIC) &&
                   !is_named(&key, P11S_LMDB_LOSSES);
  mdb_cursor_close(cursor);
  return rc == MDB_NOTFOUND ? 0 : rc;
}

static int copy_all(struct copy *c, const char *from, const char *to, bool *ret_foreign)
{
  int rc = open_env(&c->from, from, MDB_RDONLY);

  if (rc == 0)
    rc = mdb_txn_begin(c->from, NULL, MDB_RDONLY, &c->read);
  if (rc == 0)
    rc = check_names(c, ret_foreign);
  if (rc != 0 || *ret_foreign)
    return rc;
  /* Whether it has reached the disk does not matter: until it is closed it counts as damaged. */
  rc = to_write(c, open_env(&c->to, to, MDB_NOSYNC));
  if (rc == 0)
    rc = to_write(c, mdb_txn_begin(c->to, NULL, 0, &c->write));
  if (rc == 0)
    rc = copy_table(c, P11S_LMDB_SIGNATURES);
  if (rc == 0)
    rc = copy_table(c, P11S_LMDB_PUBLIC);
  if (rc == 0)
    rc = copy_table(c, P11S_LMDB_LOSSES);
  return rc == 0 ? to_write(c, mdb_txn_commit(c->write)) : rc;
}

/* Nothing is closed: it may be what crashes, and the process ends anyway. */
int p11s_probe_copy_store(const char *from, const char *to)
{
  struct copy copy = {.said_ms = now_ms()};
  bool foreign = false;
  int rc;

  (void)umask(077);
  say_progress(&copy);
  if (!become_owner(from)) {
    printf("space: %s\n", strerror(errno));
    return 1;
  }
  rc = copy_all(&copy, from, to, &foreign);
  if (rc != 0)
    printf("%s%s\n", copy.to_failed ? "space: " : "", mdb_strerror(rc));
  else
    printf("%s\n", foreign ? "it is another program's, or another version's" : "good");
  return fflush(stdout) == 0 && rc == 0 ? 0 : 1;
}

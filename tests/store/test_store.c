/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is kept is found again, by whoever opens the file next, and whatever was done to it. */
#include "base/lock.h"
#include "rig/rig.h"
#include "base/counters.h"
#include "store/store.h"
#include "store/lmdb.h"
#include "store/record.h"
#include "rig/store_rig.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* -- keeping and finding */

static void what_is_put_is_found(void **state)
{
  struct p11s_store *store = store_rig_open(8);

  (void)state;
  for (unsigned i = 0; i < 1200; i++)
    store_rig_put(store, 1, i, store_rig_later());
  store_rig_flush(store);
  for (unsigned i = 0; i < 1200; i++)
    assert_true(store_rig_has(store, 1, i, store_rig_later()));
  assert_false(store_rig_has(store, 2, 1, store_rig_later()));     /* another key */
  assert_false(store_rig_has(store, 1, 1, store_rig_later() + 1)); /* another message */
  store_rig_close(store);
  store = store_rig_open(8);
  for (unsigned i = 0; i < 1200; i++)
    assert_true(store_rig_has(store, 1, i, store_rig_later()));
  store_rig_close(store);
}

/* Whoever may write to the file can put what was signed for one message in the place of another's.
 */
static void a_record_of_another_message_is_not_used(void **state)
{
  struct p11s_store *store = store_rig_open(8);
  unsigned char message[STORE_RIG_MESSAGE], other[STORE_RIG_MESSAGE], found[8];
  size_t len = store_rig_message(message, 1, store_rig_later()), found_len = sizeof found;
  const struct p11s_question asked = *store_rig_question(store_rig_key(1), message, len);
  struct p11s_question forged = asked;

  (void)state;
  memcpy(other, message, len);
  other[len - 1] ^= 1;
  forged.message = other;
  p11s_store_put(store, &forged, (const unsigned char *)"forged", 6, false);
  store_rig_flush(store);
  assert_true(p11s_store_find_here(store, &forged, found, &found_len)); /* so it does stand there */
  assert_false(p11s_store_find_here(store, &asked, found, &found_len));
  assert_false(p11s_store_has(store, &asked));
  store_rig_close(store);
}

static void what_is_written_last_counts(void **state)
{
  struct p11s_store *store = store_rig_open(8);
  unsigned char message[STORE_RIG_MESSAGE], found[8];
  size_t len = store_rig_message(message, 1, store_rig_later()), found_len;

  (void)state;
  p11s_store_put(store, store_rig_question(store_rig_key(1), message, len),
                 (const unsigned char *)"old", 3, false);
  p11s_store_put(store, store_rig_question(store_rig_key(1), message, len),
                 (const unsigned char *)"newer", 5, false);
  store_rig_flush(store);
  found_len = sizeof found;
  assert_true(p11s_store_find_here(store, store_rig_question(store_rig_key(1), message, len), found,
                                   &found_len));
  assert_int_equal(found_len, 5);
  assert_memory_equal(found, "newer", 5);
  found_len = 4; /* no room */
  assert_false(p11s_store_find_here(store, store_rig_question(store_rig_key(1), message, len),
                                    found, &found_len));
  p11s_store_forget(store, store_rig_question(store_rig_key(1), message, len));
  store_rig_flush(store);
  found_len = sizeof found;
  assert_false(p11s_store_find_here(store, store_rig_question(store_rig_key(1), message, len),
                                    found, &found_len));
  store_rig_close(store);
}

static void public_keys_are_kept(void **state)
{
  struct p11s_store *store = store_rig_open(8);
  unsigned char data[64];
  size_t len = sizeof data;

  (void)state;
  assert_false(p11s_store_find_public(store, store_rig_key(1), data, &len));
  p11s_store_put_public(store, store_rig_key(1), (const unsigned char *)"a key", 5);
  store_rig_close(store);
  store = store_rig_open(8);
  assert_true(p11s_store_find_public(store, store_rig_key(1), data, &len));
  assert_int_equal(len, 5);
  assert_memory_equal(data, "a key", 5);
  p11s_store_put_public(store, store_rig_key(1), (const unsigned char *)"another", 7);
  store_rig_flush(store);
  len = sizeof data;
  assert_true(p11s_store_find_public(store, store_rig_key(1), data, &len));
  assert_int_equal(len, 7);
  store_rig_close(store);
}

static void without_a_store_nothing_is_found(void **state)
{
  unsigned char found[8];
  size_t len = sizeof found;

  (void)state;
  store_rig_put(NULL, 1, 1, store_rig_later());
  assert_false(store_rig_has(NULL, 1, 1, store_rig_later()));
  assert_false(p11s_store_find_public(NULL, store_rig_key(1), found, &len));
  assert_true(p11s_store_stop(NULL, 0));
  p11s_store_close(NULL, 0);
}

static void a_process_has_one(void **state)
{
  struct p11s_store *store = store_rig_open(8), *other = NULL;
  struct p11s_store_config config = {store_rig_directory(), 8, NULL, false};

  (void)state;
  assert_int_equal(p11s_store_open(&config, &other, NULL), P11S_ERR_EXISTS);
  store_rig_close(store);
}

static void after_stop_nothing_is_found_or_kept(void **state)
{
  struct p11s_store *store = store_rig_open(8);

  (void)state;
  store_rig_put(store, 1, 1, store_rig_later());
  assert_true(p11s_store_stop(store, rig_later()));
  assert_false(store_rig_has(store, 1, 1, store_rig_later()));
  store_rig_put(store, 1, 2, store_rig_later());
  store_rig_close(store);
  store = store_rig_open(8);
  assert_true(store_rig_has(store, 1, 1, store_rig_later()));
  assert_false(store_rig_has(store, 1, 2, store_rig_later()));
  store_rig_close(store);
}

static void what_is_too_large_is_dropped(void **state)
{
  struct p11s_store *store = store_rig_open(8);
  unsigned char *message = calloc(1, P11S_STORE_MAX_MESSAGE + 1),
                signature[P11S_STORE_MAX_SIGNATURE];
  uint64_t dropped = p11s_counter_get(P11S_STAT_STORE_DROPPED);
  size_t len = sizeof signature;

  (void)state;
  assert_non_null(message);
  memset(signature, 7, sizeof signature);
  p11s_store_put(store, store_rig_question(store_rig_key(1), message, P11S_STORE_MAX_MESSAGE + 1),
                 signature, 1, false);
  assert_int_equal(p11s_counter_get(P11S_STAT_STORE_DROPPED), dropped + 1);
  p11s_store_put(store, store_rig_question(store_rig_key(1), message, P11S_STORE_MAX_MESSAGE),
                 signature, len, false);
  store_rig_flush(store);
  assert_true(p11s_store_find_here(
      store, store_rig_question(store_rig_key(1), message, P11S_STORE_MAX_MESSAGE), signature,
      &len));
  free(message);
  store_rig_close(store);
}

static bool count_one(const struct p11s_store_record *record, void *arg)
{
  unsigned *count = arg;

  assert_int_equal(record->days_used, 1);
  return ++*count < 700;
}

static bool is_of_key_2(const struct p11s_store_record *record, void *arg)
{
  (void)arg;
  return memcmp(record->key_id, store_rig_key(2), P11S_STORE_ID_LEN) == 0;
}

static void all_can_be_seen_and_some_deleted(void **state)
{
  struct p11s_store *store = store_rig_open(8);
  struct p11s_store_stats stats;
  uint64_t deleted = 0;
  unsigned count = 0;

  (void)state;
  for (unsigned i = 0; i < 900; i++)
    store_rig_put(store, 1 + i % 3, i, store_rig_later());
  store_rig_flush(store);
  assert_true(p11s_store_each(store, count_one, &count));
  assert_int_equal(count, 700);
  assert_int_equal(p11s_store_purge(store, is_of_key_2, NULL, &deleted, NULL), P11S_OK);
  assert_int_equal(deleted, 300);
  p11s_store_get_stats(store, &stats);
  assert_int_equal(stats.records, 600);
  assert_int_equal(p11s_store_purge(store, NULL, NULL, &deleted, NULL), P11S_OK);
  assert_int_equal(deleted, 600);
  p11s_store_get_stats(store, &stats);
  assert_int_equal(stats.records + stats.public_keys, 0);
  store_rig_close(store);
}

/* -- bounds */

static uint64_t count_records(struct p11s_store *store)
{
  struct p11s_store_stats stats;

  p11s_store_get_stats(store, &stats);
  assert_true(stats.file_bytes <= stats.limit_bytes);
  return stats.records;
}

static bool count_key(const struct p11s_store_record *record, void *arg)
{
  unsigned *counts = arg;

  counts[record->key_id[0]]++;
  return true;
}

/* What goes makes room for what comes, and no more than that; and it is every key's turn. */
static void a_full_store_makes_room(void **state)
{
  struct p11s_store *store = store_rig_open(4);
  uint64_t evicted = p11s_counter_get(P11S_STAT_STORE_EVICTED), most = 0;
  unsigned best[5] = {0};

  (void)state;
  for (unsigned i = 0; i < 40000; i++) {
    store_rig_put(store, 1 + i % 4, i, store_rig_later());
    if (i % 400 == 399) {
      unsigned counts[256] = {0};
      uint64_t records;

      store_rig_flush(store);
      records = count_records(store);
      most = records > most ? records : most;
      assert_true(records * 3 >= most * 2);
      assert_true(p11s_store_each(store, count_key, counts));
      for (unsigned key = 1; i >= 20000 && key <= 4; key++)
        best[key] = counts[key] > best[key] ? counts[key] : best[key];
    }
  }
  assert_true(most > 2000 && most < 10000);
  assert_true(p11s_counter_get(P11S_STAT_STORE_EVICTED) > evicted);
  assert_int_equal(p11s_counter_get(P11S_STAT_STORE_FAILED), 0);
  assert_true(store_rig_has(store, 4, 39999, store_rig_later()));
  for (unsigned key = 1; key <= 4; key++)
    assert_true(best[key] * 8 >= most);
  store_rig_close(store);
}

/* Pages that are half empty are no reason to delete the rest of what is in them. */
static void a_full_store_half_of_which_expires_keeps_the_rest(void **state)
{
  struct p11s_store *store = store_rig_open(4);
  unsigned full = 0;

  (void)state;
  for (unsigned i = 0; i < 40000; i++) {
    store_rig_put(store, 1, i, i % 2 == 0 ? store_rig_later() : 1000);
    if (i % 400 == 399) {
      uint64_t records;

      store_rig_flush(store);
      records = count_records(store);
      full += records > 2500;
      assert_true(full == 0 || records > 1000);
    }
  }
  assert_true(full > 0);
  assert_int_equal(p11s_counter_get(P11S_STAT_STORE_FAILED), 0);
  assert_true(store_rig_has(store, 1, 39998, store_rig_later()));
  store_rig_close(store);
}

/* Ahead of anything else, those that have expired. */
static void the_expired_go_first(void **state)
{
  struct p11s_store *store = store_rig_open(4);
  unsigned kept = 0, i;

  (void)state;
  for (i = 0; i < 600; i++)
    store_rig_put(store, 1, i, store_rig_later());
  store_rig_flush(store);
  for (; i < 20000; i++) {
    store_rig_put(store, 1, i, 1000);
    if (i % 400 == 399)
      store_rig_flush(store);
  }
  for (i = 0; i < 600; i++)
    kept += store_rig_has(store, 1, i, store_rig_later());
  assert_int_equal(kept, 600);
  store_rig_close(store);
}

static void the_expired_always_go(void **state)
{
  struct p11s_store *store = store_rig_open(8);
  uint64_t before = p11s_counter_get(P11S_STAT_STORE_EXPIRED);

  (void)state;
  for (unsigned i = 0; i < 100; i++)
    store_rig_put(store, 1, i, i < 60 ? 1000 : store_rig_later());
  store_rig_close(store);
  store = store_rig_open(8);
  usleep(3000000);                                                     /* it looks each second */
  assert_int_equal(p11s_counter_get(P11S_STAT_STORE_EXPIRED), before); /* not in the first hour */
  store_rig_set_uptime(3601);
  while (p11s_counter_get(P11S_STAT_STORE_EXPIRED) < before + 60)
    usleep(10000); /* the program's watchdog ends it */
  assert_false(store_rig_has(store, 1, 0, 1000));
  assert_true(store_rig_has(store, 1, 60, store_rig_later()));
  store_rig_close(store);
}

/* -- killed */

static _Noreturn void write_until_killed(int ready)
{
  struct p11s_store_config config = {store_rig_directory(), 8, NULL, false};
  struct p11s_store *store = NULL;

  if (p11s_store_open(&config, &store, NULL) != P11S_OK)
    _exit(1);
  if (write(ready, "", 1) != 1)
    _exit(1);
  for (unsigned i = 0;; i++) {
    store_rig_put(store, (unsigned)getpid() % 50, i, store_rig_later());
    if (i % 50 == 49)
      (void)p11s_store_flush(store, rig_later());
  }
}

static void a_file_is_good_whenever_its_writer_is_killed(void **state)
{
  struct p11s_store *store;
  uint64_t most = 0;

  (void)state;
  for (unsigned i = 0; i < 100; i++) {
    struct p11s_store_stats stats;
    int fds[2], status;
    char byte;
    pid_t pid;

    assert_int_equal(pipe(fds), 0);
    pid = fork();
    if (pid == 0)
      write_until_killed(fds[1]);
    (void)close(fds[1]);
    assert_int_equal(read(fds[0], &byte, 1), 1);
    (void)close(fds[0]);
    usleep(i * 300); /* at any moment */
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_false(store_rig_exists("signatures.lmdb.broken"));
    if (i % 10 != 9)
      continue; /* the next writer opens it */
    store = store_rig_open(8);
    assert_false(store_rig_exists("signatures.lmdb.broken"));
    p11s_store_get_stats(store, &stats);
    assert_false(stats.off);
    assert_true(stats.records >= most || stats.records > 1000);
    most = stats.records;
    store_rig_close(store);
  }
  assert_true(most > 0);
}

/* Nobody waits for it, and nothing of it is lost. */
static void two_processes_share_it(void **state)
{
  struct p11s_store *store = store_rig_open(8);
  int status;
  pid_t pid;

  (void)state;
#ifdef __SANITIZE_THREAD__
  store_rig_close(store);
  skip(); /* its runtime starts no thread in a child of a process that had some */
#endif
  store_rig_put(store, 1, 1, store_rig_later());
  store_rig_flush(store);
  pid = fork();
  if (pid == 0) {
    struct p11s_store *own = NULL;
    struct p11s_store_config config = {store_rig_directory(), 8, NULL, false};

    if (store_rig_has(store, 1, 1, store_rig_later()))
      _exit(1); /* the parent's */
    if (p11s_store_open(&config, &own, NULL) != P11S_OK)
      _exit(2);
    if (!store_rig_has(own, 1, 1, store_rig_later()))
      _exit(3);
    store_rig_put(own, 1, 2, store_rig_later());
    p11s_store_close(own, rig_later());
    _exit(0);
  }
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_int_equal(status, 0);
  assert_true(store_rig_has(store, 1, 2, store_rig_later()));
  store_rig_close(store);
}

struct seen {
  unsigned of_key[3];
};

static bool see(const struct p11s_store_record *record, void *arg)
{
  struct seen *seen = arg;

  for (unsigned i = 0; i < 3; i++)
    if (memcmp(record->key_id, store_rig_key(i), P11S_STORE_ID_LEN) == 0)
      seen->of_key[i]++;
  return true;
}

static void each_key_is_seen_by_a_few_records(void **state)
{
  struct p11s_store *store = store_rig_open(4);
  struct seen seen = {{0}};

  (void)state;
  for (unsigned key = 0; key < 3; key++)
    for (unsigned i = 0; i < (key == 1 ? 1 : 300); i++)
      store_rig_put(store, key, i, store_rig_later());
  store_rig_flush(store);
  assert_true(p11s_store_each_key(store, see, &seen));
  for (unsigned key = 0; key < 3; key++)
    assert_in_range(seen.of_key[key], 1, 20);
  assert_false(p11s_store_each_key(NULL, see, &seen));
  store_rig_close(store);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(what_is_put_is_found, store_rig_empty),
      cmocka_unit_test_setup(a_record_of_another_message_is_not_used, store_rig_empty),
      cmocka_unit_test_setup(what_is_written_last_counts, store_rig_empty),
      cmocka_unit_test_setup(public_keys_are_kept, store_rig_empty),
      cmocka_unit_test_setup(without_a_store_nothing_is_found, store_rig_empty),
      cmocka_unit_test_setup(a_process_has_one, store_rig_empty),
      cmocka_unit_test_setup(after_stop_nothing_is_found_or_kept, store_rig_empty),
      cmocka_unit_test_setup(what_is_too_large_is_dropped, store_rig_empty),
      cmocka_unit_test_setup(all_can_be_seen_and_some_deleted, store_rig_empty),
      cmocka_unit_test_setup(a_full_store_makes_room, store_rig_empty),
      cmocka_unit_test_setup(a_full_store_half_of_which_expires_keeps_the_rest, store_rig_empty),
      cmocka_unit_test_setup(the_expired_go_first, store_rig_empty),
      cmocka_unit_test_setup(the_expired_always_go, store_rig_empty),
      cmocka_unit_test_setup(each_key_is_seen_by_a_few_records, store_rig_empty),
      cmocka_unit_test_setup(a_file_is_good_whenever_its_writer_is_killed, store_rig_empty),
      cmocka_unit_test_setup(two_processes_share_it, store_rig_empty),
  };

  return cmocka_run_group_tests(tests, store_rig_setup, store_rig_teardown);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files that something has happened to: the store opens, and this process lives. */
#include "base/log.h"
#include "rig/rig.h"
#include "store/recover.h"
#include "rig/store_rig.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define FILE_NAME "signatures.lmdb"
#define BROKEN FILE_NAME ".broken"
#define RECORDS 3000
#define PAGE 4096

static unsigned set_aside, said_progress;

static void sink(enum p11s_log_level level, const char *line)
{
  (void)level;
  if (strstr(line, "cannot be used") != NULL)
    set_aside++;
  if (strstr(line, " of 9 records so far") != NULL)
    said_progress++;
}

static int start(void **state)
{
  set_aside = said_progress = 0;
  p11s_log_set_sink(sink);
  return store_rig_empty(state);
}

static void fill(void)
{
  struct p11s_store *store = store_rig_open(8);

  for (unsigned i = 0; i < RECORDS; i++) {
    store_rig_put(store, 1, i, store_rig_later());
    if (i % 1000 == 999)
      store_rig_flush(store);
  }
  for (unsigned i = 0; i < RECORDS; i += 7) { /* and a list of free pages */
    unsigned char message[STORE_RIG_MESSAGE];
    size_t len = store_rig_message(message, i, store_rig_later());

    p11s_store_forget(store, store_rig_question(store_rig_key(1), message, len));
  }
  store_rig_close(store);
}

static off_t size_of(const char *name)
{
  struct stat status;

  assert_int_equal(stat(store_rig_path(name), &status), 0);
  return status.st_size;
}

static void overwrite(off_t at, const void *data, size_t len)
{
  int fd = open(store_rig_path(FILE_NAME), O_WRONLY);

  assert_true(fd >= 0);
  assert_int_equal(pwrite(fd, data, len, at), len);
  assert_int_equal(close(fd), 0);
}

/* Opens it, looks all up, writes, and opens it again: nothing that is found is wrong. */
static unsigned use_it(void)
{
  struct p11s_store *store = store_rig_open(8);
  unsigned found = 0;

  for (unsigned i = 0; i < RECORDS; i++)
    found += store_rig_has(store, 1, i, store_rig_later());
  for (unsigned i = 0; i < RECORDS; i++)
    store_rig_put(store, 2, i, store_rig_later());
  store_rig_close(store);
  store = store_rig_open(8);
  assert_true(store_rig_has(store, 2, RECORDS - 1, store_rig_later()));
  store_rig_close(store);
  return found;
}

static void a_good_file_is_opened_as_it_is(void **state)
{
  struct stat before, after;

  (void)state;
  fill();
  assert_int_equal(stat(store_rig_path(FILE_NAME), &before), 0);
  assert_int_equal(before.st_mode & 0777, 0600);
  setenv("PKCS11SIGNER_PROBE", "/bin/false", 1); /* not needed */
  store_rig_close(store_rig_open(8));
  assert_int_equal(stat(store_rig_path(FILE_NAME), &after), 0);
  assert_int_equal(before.st_ino, after.st_ino);
  assert_int_equal(set_aside, 0);
}

/* Killed, but not in the middle of anything: it is opened as it is. */
static void a_file_whose_process_was_killed_is_opened_as_it_is(void **state)
{
  struct p11s_store_config config = {store_rig_directory(), 8, NULL, false};
  struct p11s_store *store = NULL;
  struct stat before, after;
  int fds[2], status;
  char byte;
  pid_t pid;

  (void)state;
#ifdef __SANITIZE_THREAD__
  skip(); /* its runtime starts no thread in a child of a process that had some */
#endif
  assert_int_equal(pipe(fds), 0);
  pid = fork();
  if (pid == 0) {
    if (p11s_store_open(&config, &store, NULL) != P11S_OK)
      _exit(1);
    for (unsigned i = 0; i < RECORDS; i++)
      store_rig_put(store, 1, i, store_rig_later());
    if (!p11s_store_flush(store, rig_later()) || write(fds[1], "", 1) != 1)
      _exit(2);
    for (;;)
      (void)pause();
  }
  assert_int_equal(read(fds[0], &byte, 1), 1);
  assert_int_equal(kill(pid, SIGKILL), 0);
  assert_int_equal(waitpid(pid, &status, 0), pid);
  (void)close(fds[0]);
  (void)close(fds[1]);
  assert_int_equal(stat(store_rig_path(FILE_NAME), &before), 0);
  setenv("PKCS11SIGNER_PROBE", "/bin/false", 1); /* not needed */
  store = store_rig_open(8);
  for (unsigned i = 0; i < RECORDS; i++)
    assert_true(store_rig_has(store, 1, i, store_rig_later()));
  store_rig_close(store);
  assert_int_equal(stat(store_rig_path(FILE_NAME), &after), 0);
  assert_int_equal(before.st_ino, after.st_ino);
  assert_int_equal(set_aside, 0);
}

/* What it was reading may be what has killed it. */
static void a_file_whose_process_ended_in_the_middle_of_reading_is_copied(void **state)
{
  struct p11s_store_file file;
  struct stat before, after;

  (void)state;
  fill();
  assert_int_equal(stat(store_rig_path(FILE_NAME), &before), 0);
  assert_int_equal(p11s_store_file_prepare(store_rig_directory(), false, &file, NULL), P11S_OK);
  atomic_fetch_add(file.inside, 1);
  p11s_store_file_free(&file);
  assert_int_equal(use_it(), RECORDS - (RECORDS + 6) / 7);
  assert_int_equal(stat(store_rig_path(FILE_NAME), &after), 0);
  assert_true(before.st_ino != after.st_ino);
  assert_int_equal(set_aside, 0);
  setenv("PKCS11SIGNER_PROBE", "/bin/false", 1);
  store_rig_close(store_rig_open(8)); /* and is good from then on */
  assert_int_equal(set_aside, 0);
}

/* A slow disk: it says how far it has come, and may take its time. */
static void a_copy_that_takes_long_is_said(void **state)
{
  FILE *script;

  (void)state;
  fill();
  assert_int_equal(truncate(store_rig_path("signatures.guard"), 0), 0);
  script = fopen(store_rig_path("probe"), "w");
  assert_non_null(script);
  (void)fprintf(script,
                "#!/bin/sh\nfor i in 1 2 3 4 5 6; do echo at $i of 9; sleep 0.5; done\n"
                "exec %s \"$@\"\n",
                getenv("PKCS11SIGNER_PROBE"));
  assert_int_equal(fclose(script), 0);
  assert_int_equal(chmod(store_rig_path("probe"), 0755), 0);
  setenv("PKCS11SIGNER_PROBE", store_rig_path("probe"), 1);
  assert_int_equal(use_it(), RECORDS - (RECORDS + 6) / 7);
  assert_int_equal(set_aside, 0);
  assert_true(said_progress >= 1 && said_progress <= 3);
}

/* What is left when nobody has marked it: the copy has all of it. */
static void a_file_that_was_not_closed_is_copied(void **state)
{
  (void)state;
  fill();
  assert_int_equal(truncate(store_rig_path("signatures.guard"), 0), 0);
  assert_int_equal(use_it(), RECORDS - (RECORDS + 6) / 7);
  assert_int_equal(set_aside, 0);
  assert_false(store_rig_exists(BROKEN));
  assert_false(store_rig_exists(FILE_NAME ".new"));
}

static void without_the_program_there_is_no_store(void **state)
{
  struct p11s_store_config config = {store_rig_directory(), 8, NULL, false};
  struct p11s_store *store = NULL;
  struct p11s_error e;

  (void)state;
  fill();
  assert_int_equal(truncate(store_rig_path("signatures.guard"), 0), 0);
  setenv("PKCS11SIGNER_PROBE", "/nonexistent/probe", 1);
  assert_int_equal(p11s_store_open(&config, &store, &e), P11S_ERR_HOST);
  assert_non_null(strstr(e.text, "/nonexistent/probe"));
  assert_true(store_rig_exists(FILE_NAME));
  assert_false(store_rig_exists(BROKEN));
}

static void one_that_cannot_be_read_is_set_aside(void **state)
{
  static const char *const says[] = {"it is damaged\\n", "", "kill"};

  (void)state;
  for (size_t i = 0; i < sizeof says / sizeof says[0]; i++) {
    FILE *script;

    start(NULL);
    fill();
    assert_int_equal(truncate(store_rig_path("signatures.guard"), 0), 0);
    script = fopen(store_rig_path("probe"), "w");
    assert_non_null(script);
    if (strcmp(says[i], "kill") == 0)
      (void)fprintf(script, "#!/bin/sh\nkill -SEGV $$\n");
    else
      (void)fprintf(script, "#!/bin/sh\nprintf '%s'\n", says[i]);
    assert_int_equal(fclose(script), 0);
    assert_int_equal(chmod(store_rig_path("probe"), 0755), 0);
    setenv("PKCS11SIGNER_PROBE", store_rig_path("probe"), 1);
    store_rig_close(store_rig_open(8));
    assert_int_equal(set_aside, 1);
    assert_true(store_rig_exists(BROKEN));
  }
}

static void other_files_are_set_aside(void **state)
{
  char text[3 * PAGE];

  (void)state;
  for (unsigned i = 0; i < 3; i++) {
    int fd;

    start(NULL);
    memset(text, i == 0 ? 0 : 'x', sizeof text);
    fd = open(store_rig_path(FILE_NAME), O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, i == 2 ? 1 : sizeof text), i == 2 ? 1 : (ssize_t)sizeof text);
    (void)close(fd);
    assert_int_equal(use_it(), 0);
    assert_int_equal(set_aside, 1);
  }
}

static void an_empty_file_is_a_new_one(void **state)
{
  int fd = open(store_rig_path(FILE_NAME), O_WRONLY | O_CREAT, 0600);

  (void)state;
  (void)close(fd);
  assert_int_equal(use_it(), 0);
  assert_int_equal(set_aside, 0);
}

static void a_file_cut_off_anywhere(void **state)
{
  off_t full;

  (void)state;
  fill();
  full = size_of(FILE_NAME);
  for (unsigned i = 1; i < 12; i++) {
    start(NULL);
    fill();
    assert_int_equal(truncate(store_rig_path(FILE_NAME), full * i / 12 + (i % 2 == 0 ? 100 : 0)),
                     0);
    (void)use_it();
  }
}

/* Pages with random bytes in them, those that describe the file too. */
static void random_bytes(void **state)
{
  unsigned seed = 4711;

  (void)state;
  for (unsigned i = 0; i < 60; i++) {
    unsigned char bytes[64];
    off_t pages;

    start(NULL);
    fill();
    pages = size_of(FILE_NAME) / PAGE;
    for (unsigned spot = 0; spot < 1 + i % 4; spot++) {
      off_t page = i % 10 == 0 ? spot % 2 : rand_r(&seed) % pages;
      off_t at = i % 3 == 0 ? 0 : rand_r(&seed) % (PAGE - (int)sizeof bytes);

      for (size_t j = 0; j < sizeof bytes; j++)
        bytes[j] = (unsigned char)rand_r(&seed);
      overwrite(page * PAGE + at, bytes, i % 3 == 1 ? 2 : sizeof bytes);
    }
    (void)use_it();
  }
}

static void a_directory_that_is_not_there(void **state)
{
  struct p11s_store_config config = {"/nonexistent/state", 8, NULL, false};
  struct p11s_store *store = NULL;
  struct p11s_error e;

  (void)state;
  assert_int_equal(p11s_store_open(&config, &store, &e), P11S_ERR_HOST);
  assert_non_null(strstr(e.text, "/nonexistent/state"));
}

static void a_link_is_not_followed(void **state)
{
  struct p11s_store_config config = {store_rig_directory(), 8, NULL, false};
  struct p11s_store *store = NULL;

  (void)state;
  assert_int_equal(symlink("/etc/hostname", store_rig_path(FILE_NAME)), 0);
  assert_int_equal(p11s_store_open(&config, &store, NULL), P11S_ERR_HOST);
}

/* As pdnsutil does it: what it makes belongs to the server's user. */
static void root_makes_files_of_the_directory_s_owner(void **state)
{
  static const char *const names[] = {FILE_NAME, FILE_NAME "-lock", "signatures.guard"};
  struct stat status;

  (void)state;
  if (geteuid() != 0)
    skip();
  assert_int_equal(chown(store_rig_directory(), 12345, 12346), 0);
  fill();
  assert_int_equal(truncate(store_rig_path("signatures.guard"), 0), 0);
  (void)use_it();
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    assert_int_equal(stat(store_rig_path(names[i]), &status), 0);
    assert_int_equal(status.st_uid, 12345);
    assert_int_equal(status.st_gid, 12346);
    assert_int_equal(status.st_mode & 0777, 0600);
  }
  assert_int_equal(set_aside, 0);
  assert_int_equal(chown(store_rig_directory(), 0, 0), 0);
}

static char probe[1024];

static int start_with_probe(void **state)
{
  assert_int_equal(setenv("PKCS11SIGNER_PROBE", probe, 1), 0);
  return start(state);
}

static int setup(void **state)
{
  int result = store_rig_setup(state);

  (void)snprintf(probe, sizeof probe, "%s", getenv("PKCS11SIGNER_PROBE"));
  return result;
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(a_good_file_is_opened_as_it_is, start_with_probe),
      cmocka_unit_test_setup(a_file_whose_process_was_killed_is_opened_as_it_is, start_with_probe),
      cmocka_unit_test_setup(a_file_whose_process_ended_in_the_middle_of_reading_is_copied,
                             start_with_probe),
      cmocka_unit_test_setup(a_copy_that_takes_long_is_said, start_with_probe),
      cmocka_unit_test_setup(a_file_that_was_not_closed_is_copied, start_with_probe),
      cmocka_unit_test_setup(without_the_program_there_is_no_store, start_with_probe),
      cmocka_unit_test_setup(one_that_cannot_be_read_is_set_aside, start_with_probe),
      cmocka_unit_test_setup(other_files_are_set_aside, start_with_probe),
      cmocka_unit_test_setup(an_empty_file_is_a_new_one, start_with_probe),
      cmocka_unit_test_setup(a_file_cut_off_anywhere, start_with_probe),
      cmocka_unit_test_setup(random_bytes, start_with_probe),
      cmocka_unit_test_setup(a_directory_that_is_not_there, start_with_probe),
      cmocka_unit_test_setup(a_link_is_not_followed, start_with_probe),
      cmocka_unit_test_setup(root_makes_files_of_the_directory_s_owner, start_with_probe),
  };

  return cmocka_run_group_tests(tests, setup, store_rig_teardown);
}

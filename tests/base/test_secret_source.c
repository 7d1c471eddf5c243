/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/secret_source.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Stands for the PIN; no message may hold it. */
#define PIN "Geheim"

/* A private directory, and the path of a file in it. */
struct place {
  char directory[64];
  char path[512];
  char source[600];
  unsigned open_files;
};

static unsigned count_open_files(void)
{
  DIR *d = opendir("/proc/self/fd");
  unsigned n = 0;

  assert_non_null(d);
  while (readdir(d) != NULL)
    n++;
  closedir(d);
  return n;
}

static int setup(void **state)
{
  struct place *p = calloc(1, sizeof *p);

  if (p == NULL)
    return -1;
  strcpy(p->directory, "/tmp/p11s-test-pin-XXXXXX");
  if (mkdtemp(p->directory) == NULL)
    return -1;
  (void)snprintf(p->path, sizeof p->path, "%s/pin", p->directory);
  (void)snprintf(p->source, sizeof p->source, "file:%s", p->path);
  p->open_files = count_open_files();
  (void)unsetenv("CREDENTIALS_DIRECTORY");
  *state = p;
  return 0;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
  (void)st;
  (void)flag;
  (void)ftw;
  return remove(path);
}

static int teardown(void **state)
{
  struct place *p = *state;
  unsigned open_files = count_open_files();
  int leaked = open_files != p->open_files;

  (void)nftw(p->directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
  free(p);
  return leaked;
}

static void write_file(const char *path, const char *data, size_t len, mode_t mode)
{
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

  assert_true(fd >= 0);
  assert_int_equal(write(fd, data, len), len);
  assert_int_equal(fchmod(fd, mode), 0);
  assert_int_equal(close(fd), 0);
}

static enum p11s_err get(const char *given, const char *setting, const char *label,
                         struct p11s_secret **ret_pin, struct p11s_error *e)
{
  struct p11s_secret *s = given == NULL ? NULL : p11s_secret_new(given, strlen(given));
  enum p11s_err err = p11s_pin_get(s, setting, label, ret_pin, e);

  p11s_secret_release(s);
  return err;
}

static void assert_gives(const char *given, const char *setting, const char *label,
                         const char *expected)
{
  struct p11s_secret *pin = NULL;
  struct p11s_error e = {0};

  if (get(given, setting, label, &pin, &e) != P11S_OK)
    fail_msg("%s", e.text);
  assert_int_equal(p11s_secret_len(pin), strlen(expected));
  assert_memory_equal(p11s_secret_data(pin), expected, strlen(expected));
  p11s_secret_release(pin);
}

static void assert_refused(const char *given, const char *setting, const char *label,
                           const char *said)
{
  struct p11s_secret *pin = NULL;
  struct p11s_error e = {0};

  assert_int_equal(get(given, setting, label, &pin, &e), P11S_ERR_NO_PIN);
  assert_int_equal(e.code, P11S_ERR_NO_PIN);
  assert_null(pin);
  if (strstr(e.text, said) == NULL)
    fail_msg("\"%s\" does not say \"%s\"", e.text, said);
  assert_null(strstr(e.text, PIN));
  assert_int_equal(get(given, setting, label, &pin, NULL), P11S_ERR_NO_PIN);
}

/* Memory that is locked, in kB: secrets are, where that is allowed. */
static unsigned long locked_kb(void)
{
  FILE *f = fopen("/proc/self/status", "re");
  unsigned long kb = 0;
  char line[256];

  assert_non_null(f);
  while (fgets(line, sizeof line, f) != NULL)
    if (strncmp(line, "VmLck:", 6) == 0)
      kb = strtoul(line + 6, NULL, 10);
  (void)fclose(f);
  return kb;
}

/* Thousands of rows may name one file: they lock nothing. */
static void test_sources_are_no_secrets(void **state)
{
  struct p11s_secret *s[100];
  unsigned long before = locked_kb();

  (void)state;
  for (size_t i = 0; i < 100; i++) {
    s[i] = p11s_pin_new(i % 2 == 0 ? "file:/etc/hsm-pin" : "credential:hsm-pin", 17);
    assert_non_null(s[i]);
  }
  assert_int_equal(locked_kb(), before);
  assert_memory_equal(p11s_secret_data(s[1]), "credential:hsm-pi", 18);
  for (size_t i = 0; i < 100; i++)
    p11s_secret_release(s[i]);
}

static void test_is_source(void **state)
{
  (void)state;
  assert_true(p11s_pin_is_source("file:/x"));
  assert_true(p11s_pin_is_source("env:X"));
  assert_true(p11s_pin_is_source("credential:x"));
  assert_true(p11s_pin_is_source("file:"));
  assert_false(p11s_pin_is_source(NULL));
  assert_false(p11s_pin_is_source(""));
  assert_false(p11s_pin_is_source("1234"));
  assert_false(p11s_pin_is_source("fil"));
  assert_false(p11s_pin_is_source("File:/x"));
  assert_false(p11s_pin_is_source(" file:/x"));
}

static void test_literal(void **state)
{
  struct p11s_secret *given = p11s_secret_new(PIN, strlen(PIN));
  struct p11s_secret *pin = NULL;

  (void)state;
  assert_non_null(given);
  assert_int_equal(p11s_pin_get(given, "file:/nowhere", "t", &pin, NULL), P11S_OK);
  assert_ptr_equal(pin, given);
  p11s_secret_release(given);
  assert_string_equal((const char *)p11s_secret_data(pin), PIN);
  p11s_secret_release(pin);
}

static void test_none(void **state)
{
  (void)state;
  assert_refused(NULL, NULL, "t", "pkcs11signer-pin-source");
  assert_refused("", "", "t", "pkcs11signer-pin-source");
  assert_refused(NULL, PIN, "t", "must begin with file:");
}

static void test_file(void **state)
{
  const struct place *p = *state;

  write_file(p->path, PIN "\n", strlen(PIN) + 1, 0600);
  assert_gives(p->source, NULL, NULL, PIN);
  assert_gives(NULL, p->source, "t", PIN);
  assert_gives("", p->source, "t", PIN);
  /* what the reference says goes first */
  assert_gives("other", p->source, "t", "other");
  /* readable by the group is how a server shares it */
  write_file(p->path, PIN "\r\n", strlen(PIN) + 2, 0640);
  assert_gives(p->source, NULL, NULL, PIN);
  write_file(p->path, PIN, strlen(PIN), 0400);
  assert_gives(p->source, NULL, NULL, PIN);
  /* blanks belong to it */
  write_file(p->path, " 1 2 \n", 6, 0600);
  assert_gives(p->source, NULL, NULL, " 1 2 ");
  write_file(p->path, "p\xc3\xa4n\n", 5, 0600);
  assert_gives(p->source, NULL, NULL, "p\xc3\xa4n");
}

static void test_file_read_anew(void **state)
{
  const struct place *p = *state;

  write_file(p->path, "first", 5, 0600);
  assert_gives(p->source, NULL, NULL, "first");
  write_file(p->path, "second", 6, 0600);
  assert_gives(p->source, NULL, NULL, "second");
}

static void test_file_content_refused(void **state)
{
  const struct place *p = *state;

  write_file(p->path, "", 0, 0600);
  assert_refused(p->source, NULL, NULL, "empty");
  write_file(p->path, "\n", 1, 0600);
  assert_refused(p->source, NULL, NULL, "empty");
  write_file(p->path, "\r\n", 2, 0600);
  assert_refused(p->source, NULL, NULL, "empty");
  write_file(p->path, PIN "\n\n", strlen(PIN) + 2, 0600);
  assert_refused(p->source, NULL, NULL, "line break");
  write_file(p->path, PIN "\n" PIN "\n", 2 * strlen(PIN) + 2, 0600);
  assert_refused(p->source, NULL, NULL, "line break");
  write_file(p->path, PIN "\0" PIN, 2 * strlen(PIN) + 1, 0600);
  assert_refused(p->source, NULL, NULL, "control character");
}

static void test_file_size(void **state)
{
  const struct place *p = *state;
  char text[1026];

  memset(text, '7', sizeof text - 1);
  text[sizeof text - 1] = '\0';
  write_file(p->path, text, 1025, 0600);
  assert_refused(p->source, NULL, NULL, "1025 bytes");
  write_file(p->path, text, 1024, 0600);
  text[1024] = '\0';
  assert_gives(p->source, NULL, NULL, text);
}

static void test_file_mode(void **state)
{
  const struct place *p = *state;
  mode_t other;

  for (other = 1; other <= 7; other++) {
    write_file(p->path, PIN, strlen(PIN), 0600 | other);
    assert_refused(p->source, NULL, NULL, "open to all users");
  }
}

static void test_file_owner(void **state)
{
  const struct place *p = *state;

  if (geteuid() != 0) {
    print_message("skipped: only root can give a file away\n");
    return;
  }
  write_file(p->path, PIN, strlen(PIN), 0600);
  assert_int_equal(chown(p->path, 12345, 0), 0);
  assert_refused(p->source, NULL, NULL, "belongs to user 12345");
}

static void test_not_a_file(void **state)
{
  const struct place *p = *state;
  char source[600];
  char fifo[512];

  assert_refused(p->source, NULL, NULL, "No such file");
  (void)snprintf(source, sizeof source, "file:%s", p->directory);
  assert_refused(source, NULL, NULL, "not a regular file");
  assert_refused("file:/dev/null", NULL, NULL, "not a regular file");
  (void)snprintf(fifo, sizeof fifo, "%s", p->path);
  /* with nobody at the other end this must not wait */
  assert_int_equal(mkfifo(fifo, 0600), 0);
  (void)alarm(20);
  assert_refused(p->source, NULL, NULL, "not a regular file");
  (void)alarm(0);
  assert_refused("file:", NULL, NULL, "absolute");
  assert_refused("file:relative/pin", NULL, NULL, "absolute");
  assert_refused(NULL, "file:./pin", "t", "absolute");
}

/* systemd hands files out by symbolic links. */
static void test_symlink(void **state)
{
  const struct place *p = *state;
  char link[600];
  char source[700];

  (void)snprintf(link, sizeof link, "%s/link", p->directory);
  (void)snprintf(source, sizeof source, "file:%s", link);
  assert_int_equal(symlink("pin", link), 0);
  assert_refused(source, NULL, NULL, "No such file");
  write_file(p->path, PIN, strlen(PIN), 0600);
  assert_gives(source, NULL, NULL, PIN);
}

static void test_env(void **state)
{
  (void)state;
  (void)unsetenv("P11S_TEST_PIN");
  assert_refused("env:P11S_TEST_PIN", NULL, NULL, "no environment variable");
  assert_refused("env:", NULL, NULL, "no environment variable");
  (void)setenv("P11S_TEST_PIN", PIN, 1);
  assert_gives("env:P11S_TEST_PIN", NULL, NULL, PIN);
  assert_gives(NULL, "env:P11S_TEST_PIN", "t", PIN);
  (void)setenv("P11S_TEST_PIN", "", 1);
  assert_refused("env:P11S_TEST_PIN", NULL, NULL, "empty");
  (void)unsetenv("P11S_TEST_PIN");
}

static void test_credential(void **state)
{
  const struct place *p = *state;
  static const char *const bad[] = {
      "credential:",       "credential:.",           "credential:..",
      "credential:../pin", "credential:/etc/passwd", "credential:a/b"};
  size_t i;

  write_file(p->path, PIN "\n", strlen(PIN) + 1, 0644);
  assert_refused("credential:pin", NULL, NULL, "CREDENTIALS_DIRECTORY");
  (void)setenv("CREDENTIALS_DIRECTORY", "relative", 1);
  assert_refused("credential:pin", NULL, NULL, "CREDENTIALS_DIRECTORY");
  (void)setenv("CREDENTIALS_DIRECTORY", p->directory, 1);
  /* the directory guards it, not the file's mode */
  assert_gives("credential:pin", NULL, NULL, PIN);
  assert_gives(NULL, "credential:%t", "pin", PIN);
  assert_refused("credential:other", NULL, NULL, "No such file");
  for (i = 0; i < sizeof bad / sizeof bad[0]; i++)
    assert_refused(bad[i], NULL, NULL, "credential's name");
  (void)unsetenv("CREDENTIALS_DIRECTORY");
}

/* The file named `file` is what the setting comes to for the label. */
static void assert_label_file(const struct place *p, const char *pattern, const char *label,
                              const char *file)
{
  char setting[600];
  char path[600];

  (void)snprintf(setting, sizeof setting, "file:%s/%s", p->directory, pattern);
  (void)snprintf(path, sizeof path, "%s/%s", p->directory, file);
  write_file(path, file, strlen(file), 0600);
  assert_gives(NULL, setting, label, file);
  assert_int_equal(unlink(path), 0);
}

static void test_label(void **state)
{
  const struct place *p = *state;

  assert_label_file(p, "%t", "token", "token");
  assert_label_file(p, "%t.pin", "My Token (UserPIN)", "My Token (UserPIN).pin");
  assert_label_file(p, "a%%%tb%t", "X", "a%XbX");
  assert_label_file(p, "%t", "../../etc/passwd", ".._.._etc_passwd");
  assert_label_file(p, "%t", "/", "_");
  assert_label_file(p, "%t", "..", "__");
  assert_label_file(p, "%t", ".", "_");
  assert_label_file(p, "%t%t", ".", "__");
  assert_label_file(p, "%t", "...", "...");
  assert_label_file(p, "%t", "%t%%", "%t%%");
  assert_label_file(p, "x%t", "", "x");
  assert_label_file(p, "x%t", NULL, "x");
  assert_label_file(p, "%t", "\xff\xfe", "\xff\xfe");
}

static void test_label_only_in_the_setting(void **state)
{
  const struct place *p = *state;
  char source[700];
  char path[600];

  (void)snprintf(path, sizeof path, "%s/%%t", p->directory);
  (void)snprintf(source, sizeof source, "file:%s", path);
  write_file(path, PIN, strlen(PIN), 0600);
  assert_gives(source, NULL, "token", PIN);
  assert_refused(NULL, "file:/x/%s", "t", "only %t and %% are allowed");
  assert_refused(NULL, "file:/x/%", "t", "only %t and %% are allowed");
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_sources_are_no_secrets),
      cmocka_unit_test(test_is_source),
      cmocka_unit_test(test_literal),
      cmocka_unit_test(test_none),
      cmocka_unit_test_setup_teardown(test_file, setup, teardown),
      cmocka_unit_test_setup_teardown(test_file_read_anew, setup, teardown),
      cmocka_unit_test_setup_teardown(test_file_content_refused, setup, teardown),
      cmocka_unit_test_setup_teardown(test_file_size, setup, teardown),
      cmocka_unit_test_setup_teardown(test_file_mode, setup, teardown),
      cmocka_unit_test_setup_teardown(test_file_owner, setup, teardown),
      cmocka_unit_test_setup_teardown(test_not_a_file, setup, teardown),
      cmocka_unit_test_setup_teardown(test_symlink, setup, teardown),
      cmocka_unit_test(test_env),
      cmocka_unit_test_setup_teardown(test_credential, setup, teardown),
      cmocka_unit_test_setup_teardown(test_label, setup, teardown),
      cmocka_unit_test_setup_teardown(test_label_only_in_the_setting, setup, teardown),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}

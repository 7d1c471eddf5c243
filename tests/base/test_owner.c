/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A thread of root's that works with the rights of the state directory's owner. */
#include "base/owner.h"

#include "base/secret_source.h"
#include "base/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <setjmp.h>
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

/* Nobody's, so without a name and groups. */
#define OWNER 12345
#define OWNER_GROUP 12346

static char dir[64];

static const char *in_dir(const char *name)
{
  static char path[128];

  (void)snprintf(path, sizeof path, "%s/%s", dir, name);
  return path;
}

static int setup(void **state)
{
  (void)state;
  (void)snprintf(dir, sizeof dir, "/tmp/p11s-owner-XXXXXX");
  return mkdtemp(dir) == NULL || chown(dir, OWNER, OWNER_GROUP) != 0;
}

static int teardown(void **state)
{
  (void)state;
  (void)unlink(in_dir("made"));
  (void)unlink(in_dir("secret"));
  (void)rmdir(dir);
  (void)unsetenv("CREDENTIALS_DIRECTORY");
  return p11s_owner_set(NULL) ? 0 : 1;
}

static void assert_users(uid_t real, uid_t effective, uid_t saved)
{
  uid_t r, e, s;

  assert_int_equal(getresuid(&r, &e, &s), 0);
  assert_int_equal(r, real);
  assert_int_equal(e, effective);
  assert_int_equal(s, saved);
}

static struct stat made_file(void)
{
  struct stat status;
  int fd = open(in_dir("made"), O_WRONLY | O_CREAT | O_TRUNC, 0600);

  assert_true(fd >= 0);
  assert_int_equal(fstat(fd, &status), 0);
  (void)close(fd);
  return status;
}

static void *root_s_user(void *arg)
{
  *(uid_t *)arg = geteuid();
  return NULL;
}

static void takes_rights_and_gives_them_back(void **state)
{
  gid_t before[64], after[64];
  int count = getgroups(64, before);
  struct stat status;

  (void)state;
  assert_int_equal(chmod(dir, 0700), 0);
  assert_true(p11s_owner_set(dir));
  assert_users(0, 0, 0);
  assert_null(p11s_owner_name());
  assert_false(p11s_owner_act(true));
  assert_users(OWNER, OWNER, 0);
  assert_int_equal(getgroups(0, NULL), 0);
  assert_non_null(strstr(p11s_owner_name(), "user 12345, whom /tmp/p11s-owner-"));
  status = made_file();
  assert_int_equal(status.st_uid, OWNER);
  assert_int_equal(status.st_gid, OWNER_GROUP);
  assert_int_equal(open("/etc/shadow", O_RDONLY), -1);
  assert_int_equal(errno, EACCES);
  assert_true(p11s_owner_act(true));
  assert_true(p11s_owner_act(false));
  assert_users(0, 0, 0);
  assert_int_equal(getegid(), 0);
  assert_int_equal(getgroups(64, after), count);
  if (count > 0)
    assert_memory_equal(before, after, (size_t)count * sizeof *before);
  assert_int_equal(access("/etc/shadow", R_OK), 0);
  assert_false(p11s_owner_act(false));
}

static void *act_and_stay(void *arg)
{
  (void)p11s_owner_act(true);
  *(uid_t *)arg = geteuid();
  return NULL;
}

static void other_threads_stay_root(void **state)
{
  uid_t user = 0;
  pthread_t thread;

  (void)state;
  assert_true(p11s_owner_set(dir));
  assert_true(p11s_thread_start(&thread, act_and_stay, &user));
  assert_int_equal(pthread_join(thread, NULL), 0);
  assert_int_equal(user, OWNER);
  assert_users(0, 0, 0);
  (void)p11s_owner_act(true); /* a thread that is started now inherits it */
  assert_true(p11s_thread_start(&thread, root_s_user, &user));
  assert_int_equal(pthread_join(thread, NULL), 0);
  assert_int_equal(user, OWNER);
  (void)p11s_owner_act(false);
}

/* What a thread starts cannot become root again. */
static void a_program_is_the_owner_for_good(void **state)
{
  int status = 0;
  pid_t pid;

  (void)state;
  assert_true(p11s_owner_set(dir));
  (void)p11s_owner_act(true);
  pid = fork();
  if (pid == 0) {
    (void)execl("/bin/sh", "sh", "-c",
                "grep -q '^Uid:\t12345\t12345\t12345\t' /proc/self/status && "
                "grep -q '^Gid:\t12346\t12346\t12346\t' /proc/self/status && "
                "grep -q '^CapPrm:\t0000000000000000' /proc/self/status",
                (char *)NULL);
    _exit(9);
  }
  assert_int_equal(waitpid(pid, &status, 0), pid);
  (void)p11s_owner_act(false);
  assert_int_equal(status, 0);
}

static void a_user_with_a_name_has_its_groups(void **state)
{
  struct passwd *daemon = getpwnam("daemon");
  gid_t expected[64], groups[64];
  int count = 64;

  (void)state;
  assert_non_null(daemon);
  assert_true(getgrouplist("daemon", daemon->pw_gid, expected, &count) >= 0);
  assert_int_equal(chown(dir, daemon->pw_uid, 0), 0);
  assert_true(p11s_owner_set(dir));
  (void)p11s_owner_act(true);
  assert_int_equal(getegid(), daemon->pw_gid);
  assert_int_equal(getgroups(64, groups), count);
  assert_non_null(strstr(p11s_owner_name(), "user daemon, whom "));
  (void)p11s_owner_act(false);
}

static void nobody_is_set(void **state)
{
  static const char *const none[] = {NULL, "", "/nonexistent/directory", "/"};

  (void)state;
  for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
    assert_true(p11s_owner_set(none[i]));
    assert_false(p11s_owner_act(true));
    assert_users(0, 0, 0);
    assert_null(p11s_owner_name());
    assert_false(p11s_owner_act(false));
  }
}

/* As systemd hands it to the server: owner and mode are not the file's affair. */
static void a_credential_is_read_as_root(void **state)
{
  struct p11s_secret *given = p11s_pin_new("credential:secret", 17), *pin = NULL;
  struct p11s_error e = {0};
  char source[160];
  FILE *file = fopen(in_dir("secret"), "we");

  (void)state;
  assert_non_null(file);
  assert_true(fputs("pin~1234\n", file) >= 0);
  assert_int_equal(fclose(file), 0);
  assert_int_equal(chmod(in_dir("secret"), 0600), 0);
  assert_int_equal(setenv("CREDENTIALS_DIRECTORY", dir, 1), 0);
  assert_true(p11s_owner_set(dir));
  (void)p11s_owner_act(true);
  assert_int_equal(p11s_pin_get(given, NULL, "a token", &pin, &e), P11S_OK);
  assert_users(OWNER, OWNER, 0);
  p11s_secret_release(pin);
  p11s_secret_release(given);
  /* A file is read as the server will. */
  (void)snprintf(source, sizeof source, "file:%s", in_dir("secret"));
  assert_int_equal(p11s_pin_get(NULL, source, "a token", &pin, &e), P11S_ERR_NO_PIN);
  p11s_owner_explain(&e);
  assert_non_null(strstr(e.text, "Permission denied (as user 12345, whom "));
  e.code = P11S_ERR_SYNTAX; /* has nothing to do with rights */
  (void)snprintf(e.text, sizeof e.text, "a word");
  p11s_owner_explain(&e);
  assert_string_equal(e.text, "a word");
  p11s_owner_explain(NULL);
  (void)p11s_owner_act(false);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  static const struct CMUnitTest tests[] = {
      TEST(takes_rights_and_gives_them_back),
      TEST(other_threads_stay_root),
      TEST(a_program_is_the_owner_for_good),
      TEST(a_user_with_a_name_has_its_groups),
      TEST(nobody_is_set),
      TEST(a_credential_is_read_as_root),
  };

  if (geteuid() != 0)
    return 77; /* takes root */
  return cmocka_run_group_tests_name("owner", tests, NULL, NULL);
}

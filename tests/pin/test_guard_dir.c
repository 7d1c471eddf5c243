/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the guard does when its state directory is no help, and who it shares it with. */
#include "base/lock.h"
#include "rig/pin_rig.h"
#include "pin/marks_file.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* -- a directory that is no help */

static void works_by_itself(const char *where)
{
  struct p11s_pin_guard *g = pin_guard(where);

  pin_lines = 0;
  pin_wrong(g, "a1", "pin~1234");
  assert_true(pin_refused(g, "a1", "pin~1234"));
  assert_int_equal(pin_login(g, "a1", 0, "pin~1234", P11S_PIN_ACCEPTED), P11S_ERR_PIN_REFUSED);
  pin_right(g, "a1", "pin~4321");
  assert_int_equal(pin_login(g, "a1", PIN_LOW, "pin~4321", P11S_PIN_ACCEPTED), P11S_OK);
  assert_int_equal(pin_login(g, "a1", PIN_LOW, "pin~5678", P11S_PIN_ACCEPTED), P11S_ERR_PIN_LOCKED);
  assert_int_equal(pin_lines, 1); /* said once */
  assert_non_null(strstr(pin_last_line, where));
  p11s_pin_guard_free(g);
}

static void directory_that_is_no_help(void **state)
{
  (void)state;
  works_by_itself("/nonexistent/directory");
  pin_overwrite("refused-pins.new", "", 0); /* a file */
  works_by_itself(pin_path("refused-pins.new"));
  works_by_itself("/proc/self"); /* cannot be written, not even by root */
}

static void full_disk(void **state)
{
  struct p11s_pin_guard *g = pin_guard(pin_dir);
  struct rlimit before, tiny = {20, 20};
  char text[PIN_TEXT_MAX], then[PIN_TEXT_MAX];
  size_t len;

  (void)state;
  pin_wrong(g, "a0", "pin~1234");
  len = pin_content(text, sizeof text);
  (void)signal(SIGXFSZ, SIG_IGN);
  assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
  tiny.rlim_max = before.rlim_max;
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &tiny), 0);
  pin_wrong(g, "a1", "pin~1234");
  assert_true(pin_refused(g, "a1", "pin~1234"));
  assert_true(pin_refused(g, "a0", "pin~1234"));
  pin_right(g, "a1", "pin~4321");
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
  assert_int_equal(pin_lines, 1);
  assert_int_equal(pin_content(then, sizeof then), len); /* as it was */
  assert_memory_equal(text, then, len);
  assert_int_equal(access(pin_path("refused-pins.new"), F_OK), -1);
  pin_wrong(g, "a2", "pin~1234"); /* there is room again */
  assert_true(pin_content(then, sizeof then) > len);
  /* and what could not be written can be unlocked all the same */
  assert_true(pin_refused(g, "a1", "pin~1234"));
  (void)pin_unlock(g, "a1");
  assert_false(pin_refused(g, "a1", "pin~1234"));
  p11s_pin_guard_free(g);
}

static void unlock_reaches_what_was_not_written(void **state)
{
  struct p11s_pin_guard *g = pin_guard(pin_dir), *tool = pin_guard(pin_dir);
  char away[128];

  (void)state;
  (void)snprintf(away, sizeof away, "%s-away", pin_dir);
  assert_int_equal(rename(pin_dir, away), 0);
  pin_wrong(g, "a1", "pin~1234");
  assert_int_equal(rename(away, pin_dir), 0);
  assert_true(pin_refused(g, "a1", "pin~1234"));
  assert_int_equal(pin_unlock(tool, "a1"), 0);
  assert_false(pin_refused(g, "a1", "pin~1234"));
  p11s_pin_guard_free(g);
  p11s_pin_guard_free(tool);
}

static void damaged(const char *text, size_t len)
{
  struct p11s_pin_guard *g = pin_guard(pin_dir);

  pin_overwrite("refused-pins", text, len);
  pin_lines = 0;
  assert_false(pin_refused(g, "a1", "pin~1234"));
  assert_int_equal(pin_lines, 1);
  assert_non_null(strstr(pin_last_line, "refused-pins.corrupt"));
  assert_int_equal(access(pin_path("refused-pins.corrupt"), F_OK), 0);
  pin_wrong(g, "a1", "pin~1234");
  assert_true(pin_refused(g, "a1", "pin~1234"));
  assert_int_equal(pin_lines, 1);
  p11s_pin_guard_free(g);
  g = pin_guard(pin_dir); /* a new file was made */
  assert_true(pin_refused(g, "a1", "pin~1234"));
  p11s_pin_guard_free(g);
}

static void damaged_file(void **state)
{
  static const char newer[] = "pkcs11signer refused-pins 2\nsalt 00\n";
  static char big[P11S_PIN_MARKS_TEXT_MAX + 1];
  struct p11s_pin_guard *g = pin_guard(pin_dir);
  char text[PIN_TEXT_MAX];
  size_t len;

  (void)state;
  pin_wrong(g, "b1", "pin~1234");
  p11s_pin_guard_free(g);
  len = pin_content(text, sizeof text);
  damaged("", 0);
  damaged("\0\0\0\0", 4);
  damaged(newer, sizeof newer - 1);
  damaged(big, sizeof big);
  damaged(text, len / 2);
  text[len - 10] ^= 1;
  damaged(text, len);
}

static void directory_instead_of_the_file(void **state)
{
  struct p11s_pin_guard *g = pin_guard(pin_dir);

  (void)state;
  assert_int_equal(mkdir(pin_path("refused-pins"), 0700), 0);
  pin_wrong(g, "a1", "pin~1234");
  assert_int_equal(pin_lines, 1);
  p11s_pin_guard_free(g);
  g = pin_guard(pin_dir);
  assert_true(pin_refused(g, "a1", "pin~1234"));
  p11s_pin_guard_free(g);
}

/* -- several at once */

#define PROCESSES 6

/* All with the same wrong PIN: how many called C_Login. */
static void many_processes_make_one_login(void **state)
{
  int start[2], done[2];
  char logins[PROCESSES + 1];
  pid_t child[PROCESSES];
  ssize_t count = 0, n;

  (void)state;
  assert_int_equal(pipe(start), 0);
  assert_int_equal(pipe(done), 0);
  for (int i = 0; i < PROCESSES; i++) {
    child[i] = fork();
    assert_true(child[i] >= 0);
    if (child[i] == 0) {
      struct p11s_pin_guard *g = p11s_pin_guard_new(pin_dir);
      struct p11s_slot_info slot = pin_token("a1", 0);
      struct p11s_secret *s = p11s_secret_new("pin~1234", 8);
      struct p11s_pin_try *t = NULL;
      enum p11s_err result;
      char c;

      (void)close(start[1]);
      if (read(start[0], &c, 1) != 0) /* until it is closed */
        _exit(4);
      if (p11s_pin_guard_enter(g, &slot, s, false, &t, NULL) != P11S_OK)
        _exit(1);
      result = p11s_pin_guard_permit(t, NULL);
      if (result == P11S_OK && write(done[1], "L", 1) != 1)
        _exit(2);
      p11s_pin_guard_leave(t, result == P11S_OK ? P11S_PIN_REFUSED : P11S_PIN_NO_VERDICT);
      /* and one of its own, which no other must lose */
      (void)snprintf(slot.serial, sizeof slot.serial, "own%d", i);
      if (p11s_pin_guard_enter(g, &slot, s, false, &t, NULL) != P11S_OK ||
          p11s_pin_guard_permit(t, NULL) != P11S_OK)
        _exit(3);
      p11s_pin_guard_leave(t, P11S_PIN_REFUSED);
      _exit(0);
    }
  }
  (void)close(start[0]);
  (void)close(start[1]);
  (void)close(done[1]);
  for (int i = 0; i < PROCESSES; i++) {
    int status = 0;

    assert_int_equal(waitpid(child[i], &status, 0), child[i]);
    assert_int_equal(status, 0);
  }
  while (count < PROCESSES && (n = read(done[0], logins + count, sizeof logins)) > 0)
    count += n;
  (void)close(done[0]);
  assert_int_equal(count, 1);
  {
    struct p11s_pin_guard *g = pin_guard(pin_dir);
    char serial[16];

    assert_true(pin_refused(g, "a1", "pin~1234"));
    for (int i = 0; i < PROCESSES; i++) {
      (void)snprintf(serial, sizeof serial, "own%d", i);
      assert_true(pin_refused(g, serial, "pin~1234"));
    }
    p11s_pin_guard_free(g);
  }
}

static atomic_uint permitted;

static void *wrong_in_a_thread(void *arg)
{
  for (int i = 0; i < 20; i++)
    if (pin_login(arg, "a1", 0, "pin~1234", P11S_PIN_REFUSED) == P11S_OK)
      atomic_fetch_add(&permitted, 1);
  return NULL;
}

static void threads_make_one_login(const char *where)
{
  struct p11s_pin_guard *g = pin_guard(where);
  pthread_t threads[8];

  atomic_store(&permitted, 0);
  for (int i = 0; i < 8; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, wrong_in_a_thread, g), 0);
  for (int i = 0; i < 8; i++)
    assert_int_equal(pthread_join(threads[i], NULL), 0);
  assert_int_equal(atomic_load(&permitted), 1);
  p11s_pin_guard_free(g);
}

static void many_threads_make_one_login(void **state)
{
  (void)state;
  threads_make_one_login(NULL);
  threads_make_one_login(pin_dir);
}

static void a_lock_has_a_deadline_and_ends_with_its_holder(void **state)
{
  int first, second;

  (void)state;
  first = p11s_marks_file_lock(pin_dir, 7, p11s_now_ms());
  assert_true(first >= 0);
  assert_int_equal(p11s_marks_file_lock(pin_dir, 7, p11s_now_ms() + 20), -1);
  second = p11s_marks_file_lock(pin_dir, 8, p11s_now_ms()); /* another token */
  assert_true(second >= 0);
  assert_int_equal(close(first), 0);
  assert_int_equal(close(second), 0);
  first = p11s_marks_file_lock(pin_dir, 7, p11s_now_ms());
  assert_true(first >= 0);
  assert_int_equal(close(first), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, pin_rig_setup, pin_rig_teardown)
  static const struct CMUnitTest tests[] = {
      TEST(directory_that_is_no_help),
      TEST(full_disk),
      TEST(unlock_reaches_what_was_not_written),
      TEST(damaged_file),
      TEST(directory_instead_of_the_file),
      TEST(many_processes_make_one_login),
      TEST(many_threads_make_one_login),
      TEST(a_lock_has_a_deadline_and_ends_with_its_holder),
  };
#undef TEST

  return cmocka_run_group_tests_name("pin_guard_dir", tests, NULL, NULL);
}

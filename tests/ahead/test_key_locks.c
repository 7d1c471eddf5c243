/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which process signs ahead with which key. */
#include "ahead/key_locks.h"
#include "rig/rig.h"
#include "rig/store_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Two openings of the file are as two processes. */
static void one_has_a_key(void **state)
{
  struct p11s_key_locks one = {-1}, other = {-1};

  (void)state;
  p11s_key_locks_renew(&one, store_rig_directory());
  p11s_key_locks_renew(&other, store_rig_directory());
  assert_true(p11s_key_locks_take(&one, store_rig_key(1)));
  assert_true(p11s_key_locks_take(&one, store_rig_key(1)));
  assert_false(p11s_key_locks_take(&other, store_rig_key(1)));
  assert_true(p11s_key_locks_take(&other, store_rig_key(255)));
  assert_false(p11s_key_locks_take(&one, store_rig_key(255)));
  p11s_key_locks_drop(&one);
  assert_true(p11s_key_locks_take(&other, store_rig_key(1)));
  p11s_key_locks_drop(&other);
  p11s_key_locks_drop(&other);
}

static void a_process_that_dies_lets_go(void **state)
{
  struct p11s_key_locks mine = {-1};
  int status;
  pid_t pid;

  (void)state;
  p11s_key_locks_renew(&mine, store_rig_directory());
  pid = fork();
  assert_true(pid >= 0);
  if (pid == 0) {
    struct p11s_key_locks its = {-1};

    p11s_key_locks_renew(&its, store_rig_directory());
    _exit(p11s_key_locks_take(&its, store_rig_key(1)) ? 0 : 1);
  }
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_int_equal(status, 0);
  assert_true(p11s_key_locks_take(&mine, store_rig_key(1)));
  p11s_key_locks_drop(&mine);
}

static void without_a_file_all_is_allowed(void **state)
{
  struct p11s_key_locks claims = {-1};

  (void)state;
  p11s_key_locks_renew(&claims, "/nonexistent/directory");
  assert_true(p11s_key_locks_take(&claims, store_rig_key(1)));
  p11s_key_locks_drop(&claims);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(one_has_a_key, store_rig_empty),
      cmocka_unit_test_setup(a_process_that_dies_lets_go, store_rig_empty),
      cmocka_unit_test_setup(without_a_file_all_is_allowed, store_rig_empty),
  };

  return cmocka_run_group_tests(tests, store_rig_setup, store_rig_teardown);
}

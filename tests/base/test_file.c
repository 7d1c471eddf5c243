/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* A pipe gives what was written piece by piece, a child's writing in between. */
static void reads_until_the_end(void **state)
{
  char text[16];
  int fds[2];

  (void)state;
  assert_int_equal(pipe(fds), 0);
  if (fork() == 0) {
    for (int i = 0; i < 5; i++)
      (void)!write(fds[1], &"ab\ncd"[i], 1);
    _exit(0);
  }
  (void)close(fds[1]);
  assert_int_equal(p11s_file_read(fds[0], text, 3), 3);
  assert_memory_equal(text, "ab\n", 3);
  assert_int_equal(p11s_file_read(fds[0], text, sizeof text), 2);
  assert_memory_equal(text, "cd", 2);
  assert_int_equal(p11s_file_read(fds[0], text, sizeof text), 0);
  (void)close(fds[0]);
}

static void fails(void **state)
{
  char text[16];
  int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

  (void)state;
  assert_true(fd >= 0);
  assert_int_equal(p11s_file_read(fd, text, sizeof text), -1);
  assert_int_equal(errno, EISDIR);
  assert_int_equal(p11s_file_read(fd, text, 0), 0);
  (void)close(fd);
}

int main(void)
{
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test(reads_until_the_end),
      cmocka_unit_test(fails),
  };

  return cmocka_run_group_tests_name("file", tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/secret.h"

#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The mapping whose end is watched, and what was in it then. */
static void *watched;
static size_t watched_len;
static size_t bytes_left;

/* In place of libc's: looks at the watched mapping before it goes. */
int munmap(void *at, size_t len)
{
  if (at == watched) {
    size_t i;
    watched_len = len;
    bytes_left = 0;
    for (i = 0; i < len; i++)
      bytes_left += ((unsigned char *)at)[i] != 0;
    watched = NULL;
  }
  return (int)syscall(SYS_munmap, at, len);
}

static void *page_of(const void *at)
{
  return (void *)((uintptr_t)at & ~((uintptr_t)sysconf(_SC_PAGESIZE) - 1));
}

/* Whether the mapping around at has the flag in /proc/self/smaps. */
static bool has_flag(const void *at, const char *flag)
{
  FILE *f = fopen("/proc/self/smaps", "re");
  bool inside = false;
  bool found = false;
  char line[512];

  assert_non_null(f);
  while (fgets(line, sizeof line, f) != NULL) {
    char *end = NULL;
    uintptr_t from = strtoul(line, &end, 16);
    /* "from-to " begins a mapping, "Name:" is something about it */
    if (*end == '-')
      inside = (uintptr_t)at >= from && (uintptr_t)at < strtoul(end + 1, NULL, 16);
    else if (inside && strncmp(line, "VmFlags:", 8) == 0)
      found = strstr(line + 8, flag) != NULL;
  }
  fclose(f);
  return found;
}

static void test_data(void **state)
{
  struct p11s_secret *s = p11s_secret_new("a\0b", 3);

  (void)state;
  assert_non_null(s);
  assert_int_equal(p11s_secret_len(s), 3);
  assert_memory_equal(p11s_secret_data(s), "a\0b\0", 4);
  p11s_secret_release(s);
}

static void test_null_and_empty(void **state)
{
  struct p11s_secret *s = p11s_secret_new(NULL, 0);

  (void)state;
  assert_non_null(s);
  assert_int_equal(p11s_secret_len(s), 0);
  assert_string_equal((const char *)p11s_secret_data(s), "");
  p11s_secret_release(s);
  assert_null(p11s_secret_acquire(NULL));
  assert_string_equal((const char *)p11s_secret_data(NULL), "");
  assert_int_equal(p11s_secret_len(NULL), 0);
  p11s_secret_release(NULL);
}

static void test_no_memory(void **state)
{
  (void)state;
  assert_null(p11s_secret_new("", SIZE_MAX));
  assert_null(p11s_secret_new("", SIZE_MAX / 2));
}

/* All sizes around the end of the page. */
static void test_sizes(void **state)
{
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  unsigned char *data = malloc(2 * page);
  size_t len;

  (void)state;
  assert_non_null(data);
  memset(data, 0xa5, 2 * page);
  for (len = page - 64; len < page + 8; len++) {
    struct p11s_secret *s = p11s_secret_new(data, len);
    assert_non_null(s);
    assert_memory_equal(p11s_secret_data(s), data, len);
    assert_int_equal(p11s_secret_data(s)[len], 0);
    p11s_secret_release(s);
  }
  free(data);
}

static void test_not_dumped(void **state)
{
  struct p11s_secret *s = p11s_secret_new("x", 1);

  (void)state;
  assert_non_null(s);
  assert_true(has_flag(p11s_secret_data(s), " dd"));
  /* the test of the test: the heap is dumped */
  assert_false(has_flag(&watched, " dd"));
  p11s_secret_release(s);
}

static void test_locked(void **state)
{
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  void *mine = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  struct p11s_secret *s = p11s_secret_new("x", 1);
  bool allowed;

  (void)state;
  assert_true(mine != MAP_FAILED);
  /* RLIMIT_MEMLOCK may forbid it, and the sanitizers make mlock do nothing */
  allowed = mlock(mine, page) == 0 && has_flag(mine, " lo");
  (void)munmap(mine, page);
  assert_non_null(s);
  if (allowed)
    assert_true(has_flag(p11s_secret_data(s), " lo"));
  else
    print_message("skipped: mlock does nothing here\n");
  p11s_secret_release(s);
}

/* What is no secret takes no page of its own. */
static void test_open(void **state)
{
  struct p11s_secret *s;

  (void)state;
  (void)mallopt(M_PERTURB, 0x5a); /* memory that was used before */
  s = p11s_secret_new_open("file:/x", 7);
  (void)mallopt(M_PERTURB, 0);
  assert_non_null(s);
  assert_string_equal((const char *)p11s_secret_data(s), "file:/x");
  assert_int_equal(p11s_secret_len(s), 7);
  assert_false(has_flag(p11s_secret_data(s), " dd"));
  assert_ptr_equal(p11s_secret_acquire(s), s);
  p11s_secret_release(s);
  p11s_secret_release(s);
}

static void test_wiped_with_the_last_reference(void **state)
{
  struct p11s_secret *s = p11s_secret_new("what must not stay", 18);

  (void)state;
  assert_non_null(s);
  assert_ptr_equal(p11s_secret_acquire(s), s);
  watched = page_of(p11s_secret_data(s));
  watched_len = 0;
  p11s_secret_release(s);
  assert_non_null(watched);
  assert_memory_equal(p11s_secret_data(s), "what must not stay", 18);
  p11s_secret_release(s);
  assert_null(watched);
  assert_int_equal(watched_len, sysconf(_SC_PAGESIZE));
  assert_int_equal(bytes_left, 0);
}

static void *share(void *arg)
{
  struct p11s_secret *s = arg;
  int i;

  for (i = 0; i < 20000; i++)
    p11s_secret_release(p11s_secret_acquire(s));
  p11s_secret_release(s);
  return NULL;
}

static void test_threads_share(void **state)
{
  struct p11s_secret *s = p11s_secret_new("shared", 6);
  pthread_t threads[4];
  int i;

  (void)state;
  assert_non_null(s);
  watched = page_of(p11s_secret_data(s));
  for (i = 0; i < 4; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, share, p11s_secret_acquire(s)), 0);
  for (i = 0; i < 4; i++)
    assert_int_equal(pthread_join(threads[i], NULL), 0);
  assert_non_null(watched);
  assert_memory_equal(p11s_secret_data(s), "shared", 6);
  p11s_secret_release(s);
  assert_null(watched);
}

static void test_wipe(void **state)
{
  unsigned char data[5] = {1, 2, 3, 4, 5};

  (void)state;
  p11s_wipe(data + 1, 3);
  assert_int_equal(data[0], 1);
  assert_int_equal(data[1] | data[2] | data[3], 0);
  assert_int_equal(data[4], 5);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_data),          cmocka_unit_test(test_null_and_empty),
      cmocka_unit_test(test_no_memory),     cmocka_unit_test(test_sizes),
      cmocka_unit_test(test_not_dumped),    cmocka_unit_test(test_locked),
      cmocka_unit_test(test_open),          cmocka_unit_test(test_wiped_with_the_last_reference),
      cmocka_unit_test(test_threads_share), cmocka_unit_test(test_wipe),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}

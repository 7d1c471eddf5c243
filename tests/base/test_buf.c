/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/buf.h"

#include "base/secret.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Out of memory is an answer here, also with the address sanitizer. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
  return "allocator_may_return_null=1";
}

static size_t wiped_blocks;
static size_t wiped_bytes;

/* In place of the one in base/secret.c: counts. */
void p11s_wipe(void *data, size_t len)
{
  wiped_blocks++;
  wiped_bytes += len;
  memset(data, 0, len);
}

static int reset(void **state)
{
  (void)state;
  wiped_blocks = 0;
  wiped_bytes = 0;
  return 0;
}

static void test_empty(void **state)
{
  struct p11s_buf b = P11S_BUF_INIT;

  (void)state;
  assert_string_equal(p11s_buf_text(&b), "");
  assert_null(b.data);
  p11s_buf_clear(&b);
  p11s_buf_wipe(&b);
  p11s_buf_add(&b, "", 0);
  assert_non_null(b.data);
  assert_string_equal(b.data, "");
  p11s_buf_clear(&b);
  assert_null(b.data);
  assert_int_equal(b.size, 0);
}

static void test_adds(void **state)
{
  struct p11s_buf b = P11S_BUF_INIT;

  (void)state;
  p11s_buf_addstr(&b, "one");
  p11s_buf_add(&b, " two!", 4);
  p11s_buf_addf(&b, " %d%%%s", 3, "four");
  assert_string_equal(p11s_buf_text(&b), "one two 3%four");
  assert_int_equal(b.len, 14);
  assert_false(b.failed);
  p11s_buf_clear(&b);
}

static void test_binary(void **state)
{
  struct p11s_buf b = P11S_BUF_INIT;
  unsigned char all[256];
  unsigned i;

  (void)state;
  for (i = 0; i < 256; i++)
    all[i] = (unsigned char)i;
  p11s_buf_add(&b, all, sizeof all);
  p11s_buf_add(&b, all, sizeof all);
  assert_int_equal(b.len, 512);
  assert_memory_equal(b.data, all, 256);
  assert_memory_equal(b.data + 256, all, 256);
  assert_int_equal(b.data[512], 0);
  p11s_buf_clear(&b);
}

/* Each way in, over all the sizes around the edges of the blocks. */
static void test_grows(void **state)
{
  struct p11s_buf a = P11S_BUF_INIT;
  struct p11s_buf b = P11S_BUF_INIT;
  char piece[300];
  size_t total = 0;
  size_t i;

  (void)state;
  memset(piece, 'p', sizeof piece);
  for (i = 0; i < sizeof piece; i++) {
    p11s_buf_add(&a, piece, i);
    p11s_buf_addf(&b, "%.*s", (int)i, piece);
    total += i;
    assert_int_equal(a.len, total);
    assert_int_equal(b.len, total);
    assert_int_equal(strlen(p11s_buf_text(&a)), total);
    assert_true(a.size > a.len);
  }
  assert_string_equal(p11s_buf_text(&a), p11s_buf_text(&b));
  assert_int_equal(strspn(p11s_buf_text(&a), "p"), total);
  p11s_buf_clear(&a);
  p11s_buf_clear(&b);
}

static void test_growing_wipes(void **state)
{
  struct p11s_buf b = P11S_BUF_INIT;
  size_t blocks = 0;
  size_t bytes = 0;
  size_t i;

  (void)state;
  for (i = 0; i < 1000; i++) {
    const char *before = b.data;
    size_t size = b.size;
    p11s_buf_addstr(&b, "s");
    if (before != NULL && b.size != size) {
      blocks++;
      bytes += size;
    }
  }
  assert_true(blocks >= 3);
  assert_int_equal(wiped_blocks, blocks);
  assert_int_equal(wiped_bytes, bytes);
  bytes += b.size;
  p11s_buf_wipe(&b);
  assert_int_equal(wiped_blocks, blocks + 1);
  assert_int_equal(wiped_bytes, bytes);
  assert_null(b.data);
  assert_int_equal(b.len, 0);
}

static void assert_fails_with(size_t len)
{
  struct p11s_buf b = P11S_BUF_INIT;

  p11s_buf_addstr(&b, "kept");
  /* never read: there is no room for it */
  p11s_buf_add(&b, "", len);
  assert_true(b.failed);
  p11s_buf_addstr(&b, "more");
  p11s_buf_addf(&b, "%d", 1);
  assert_string_equal(p11s_buf_text(&b), "kept");
  assert_int_equal(b.len, 4);
  p11s_buf_clear(&b);
  assert_false(b.failed);
  p11s_buf_addstr(&b, "anew");
  assert_string_equal(p11s_buf_text(&b), "anew");
  p11s_buf_clear(&b);
}

static void test_failure_is_remembered(void **state)
{
  (void)state;
  assert_fails_with(SIZE_MAX);
  assert_fails_with(SIZE_MAX - 4);
  assert_fails_with(SIZE_MAX / 2);
  assert_fails_with(SIZE_MAX / 2 - 5);
  assert_fails_with(SIZE_MAX / 4);
}

static void words_for_a_shell(void **state)
{
  struct p11s_buf b = P11S_BUF_INIT;

  (void)state;
  p11s_buf_add_shell(&b, "/usr/lib/x.so");
  p11s_buf_addstr(&b, " ");
  p11s_buf_add_shell(&b, "");
  p11s_buf_addstr(&b, " ");
  p11s_buf_add_shell(&b, "a b");
  p11s_buf_addstr(&b, " ");
  p11s_buf_add_shell(&b, "it's $HOME\\");
  assert_string_equal(p11s_buf_text(&b), "/usr/lib/x.so '' 'a b' 'it'\\''s $HOME\\'");
  p11s_buf_clear(&b);
}

static void bytes_as_text(void **state)
{
  struct p11s_buf b = P11S_BUF_INIT;

  (void)state;
  p11s_buf_add_hex(&b, "\x00\xff\x1e", 3);
  p11s_buf_add_hex(&b, "", 0);
  p11s_buf_addstr(&b, " ");
  p11s_buf_add_base64(&b, "light work.", 11);
  p11s_buf_add_base64(&b, "", 0);
  p11s_buf_addstr(&b, " ");
  p11s_buf_add_percent(&b, "aZ09.~/ \xc3\xa9\0%", 12, ".~");
  assert_string_equal(p11s_buf_text(&b), "00ff1e bGlnaHQgd29yay4= aZ09.~%2F%20%C3%A9%00%25");
  assert_int_equal(b.len, strlen(b.data));
  p11s_buf_clear(&b);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(words_for_a_shell),
      cmocka_unit_test(bytes_as_text),
      cmocka_unit_test(test_empty),
      cmocka_unit_test(test_adds),
      cmocka_unit_test(test_binary),
      cmocka_unit_test(test_grows),
      cmocka_unit_test_setup(test_growing_wipes, reset),
      cmocka_unit_test(test_failure_is_remembered),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}

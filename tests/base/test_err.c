/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/err.h"

#include <iconv.h>
#include <stdbool.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void assert_cleaned(const char *from, const char *expected)
{
  char text[64];

  assert_true(strlen(from) < sizeof text);
  memcpy(text, from, strlen(from) + 1);
  p11s_error_clean(text);
  assert_string_equal(text, expected);
}

static void test_clean_leaves_text_alone(void **state)
{
  (void)state;
  assert_cleaned("", "");
  assert_cleaned("slot \"a\" ~", "slot \"a\" ~");
  assert_cleaned("käse", "käse");
  /* the smallest and the largest of each length */
  assert_cleaned("\xc2\xa0\xdf\xbf", "\xc2\xa0\xdf\xbf");
  assert_cleaned("\xe0\xa0\x80\xef\xbf\xbd", "\xe0\xa0\x80\xef\xbf\xbd");
  assert_cleaned("\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf");
}

static void test_clean_replaces_controls(void **state)
{
  (void)state;
  assert_cleaned("a\nb\tc\rd", "a?b?c?d");
  assert_cleaned("\x1b[31mred\x7f", "?[31mred?");
  /* C1 controls, line and paragraph separator, right-to-left override, byte order mark */
  assert_cleaned("a\xc2\x85z", "a?z");
  assert_cleaned("\xe2\x80\xa8|\xe2\x80\xa9|\xe2\x80\xae|\xe2\x81\xa6|\xef\xbb\xbf", "?|?|?|?|?");
}

static void test_clean_replaces_broken_utf8(void **state)
{
  (void)state;
  assert_cleaned("\x80", "?");
  assert_cleaned("\xff\xfe", "??");
  /* too long for what it says: '/', NUL, U+07FF, U+FFFF */
  assert_cleaned("\xc0\xaf", "??");
  assert_cleaned("\xc0\x80", "??");
  assert_cleaned("\xe0\x9f\xbf", "???");
  assert_cleaned("\xf0\x8f\xbf\xbf", "????");
  /* a surrogate, above U+10FFFF */
  assert_cleaned("\xed\xa0\x80", "???");
  assert_cleaned("\xf4\x90\x80\x80", "????");
  /* ends early */
  assert_cleaned("a\xc3", "a?");
  assert_cleaned("a\xe2\x82", "a??");
  assert_cleaned("a\xf0\x9f\x98", "a???");
  assert_cleaned("\xe2\x82z", "??z");
}

/* Whether the C library takes text for UTF-8. */
static bool is_utf8(iconv_t cd, const char *text)
{
  char out[512];
  char *from = (char *)(uintptr_t)text;
  char *to = out;
  size_t from_len = strlen(text);
  size_t to_len = sizeof out;

  (void)iconv(cd, NULL, NULL, NULL, NULL);
  return iconv(cd, &from, &from_len, &to, &to_len) != (size_t)-1;
}

static void test_clean_against_iconv(void **state)
{
  static const unsigned char interesting[] = {'a',  0x01, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0,
                                              0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xed,
                                              0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff};
  const size_t n = sizeof interesting;
  iconv_t cd = iconv_open("UTF-32LE", "UTF-8");
  size_t i;

  (void)state;
  assert_true(cd != (iconv_t)-1);
  for (i = 0; i < n * n * n * n; i++) {
    char text[5] = {(char)interesting[i % n], (char)interesting[i / n % n],
                    (char)interesting[i / n / n % n], (char)interesting[i / n / n / n], '\0'};
    char before[5];
    bool was_good = is_utf8(cd, text);

    memcpy(before, text, sizeof before);
    p11s_error_clean(text);
    if (!is_utf8(cd, text))
      fail_msg("combination %zu is not UTF-8 after cleaning", i);
    /* nothing is replaced without need, and nothing broken is left */
    if (!was_good && strchr(text, '?') == NULL)
      fail_msg("combination %zu was broken and has no '?'", i);
    if (was_good && strpbrk(before, "\x01\x7f") == NULL && strstr(before, "\xc2") == NULL)
      assert_string_equal(text, before);
  }
  iconv_close(cd);
}

static void test_set(void **state)
{
  struct p11s_error e = {0};

  (void)state;
  assert_int_equal(p11s_error_set(&e, P11S_ERR_NO_KEY, "no key %s on %d", "a\nb", 7),
                   P11S_ERR_NO_KEY);
  assert_int_equal(e.code, P11S_ERR_NO_KEY);
  assert_string_equal(e.text, "no key a?b on 7");
  assert_int_equal(p11s_error_set(NULL, P11S_ERR_BUSY, "%s", "x"), P11S_ERR_BUSY);
}

static void test_set_from_its_own_text(void **state)
{
  struct p11s_error e = {.code = P11S_OK, .text = "inner"};

  (void)state;
  p11s_error_set(&e, P11S_ERR_TOKEN, "outer (%s), %s", e.text, e.text);
  assert_string_equal(e.text, "outer (inner), inner");
}

/* A cut never leaves half a character, whatever lies on the edge. */
static void test_set_cuts_whole_characters(void **state)
{
  static const char *const characters[] = {"z", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};
  size_t kind;
  size_t fill;

  (void)state;
  for (kind = 0; kind < 4; kind++)
    for (fill = 1015; fill < 1024; fill++) {
      struct p11s_error e = {0};
      char text[2048];
      size_t len = strlen(characters[kind]);
      size_t whole = (1023 - fill) / len;
      size_t i;

      memset(text, 'x', fill);
      for (i = 0; i < 20; i++)
        memcpy(text + fill + i * len, characters[kind], len);
      text[fill + 20 * len] = '\0';
      p11s_error_set(&e, P11S_ERR_TOKEN, "%s", text);
      assert_int_equal(strlen(e.text), fill + whole * len);
      assert_memory_equal(e.text, text, strlen(e.text));
    }
}

static void test_prefix(void **state)
{
  struct p11s_error e = {0};

  (void)state;
  p11s_error_set(&e, P11S_ERR_NO_TOKEN, "no token");
  p11s_error_prefix(&e, "key %d", 3);
  p11s_error_prefix(&e, "zone %s", "a\x01z");
  assert_string_equal(e.text, "zone a?z: key 3: no token");
  assert_int_equal(e.code, P11S_ERR_NO_TOKEN);
  p11s_error_prefix(NULL, "x");
}

static void test_prefix_cuts_the_end(void **state)
{
  struct p11s_error e = {0};
  char text[1200];

  (void)state;
  memset(text, 'y', 1020);
  text[1020] = '\0';
  p11s_error_set(&e, P11S_ERR_TOKEN, "%s\xe2\x82\xac", text);
  assert_int_equal(strlen(e.text), 1023);
  p11s_error_prefix(&e, "zone");
  assert_int_equal(strlen(e.text), 1023);
  assert_memory_equal(e.text, "zone: yyyy", 10);
  /* a prefix that leaves no room at all */
  memset(text, 'p', 1100);
  text[1100] = '\0';
  p11s_error_prefix(&e, "%s", text);
  assert_int_equal(strlen(e.text), 1023);
  assert_memory_equal(e.text, text, 1023);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_clean_leaves_text_alone),
      cmocka_unit_test(test_clean_replaces_controls),
      cmocka_unit_test(test_clean_replaces_broken_utf8),
      cmocka_unit_test(test_clean_against_iconv),
      cmocka_unit_test(test_set),
      cmocka_unit_test(test_set_from_its_own_text),
      cmocka_unit_test(test_set_cuts_whole_characters),
      cmocka_unit_test(test_prefix),
      cmocka_unit_test(test_prefix_cuts_the_end),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}

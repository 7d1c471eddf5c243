/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void durations(void **state)
{
  static const struct {
    uint64_t seconds;
    const char *text;
  } known[] = {{0, "0 s"},           {89, "89 s"},         {90, "2 min"},       {3600, "60 min"},
               {5400, "1 h 30 min"}, {7500, "2 h 5 min"},  {172800, "2 d 0 h"}, {273600, "3 d 4 h"},
               {5369, "89 min"},     {86399, "24 h 0 min"}};
  char text[32];

  (void)state;
  for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
    p11s_duration(text, sizeof text, known[i].seconds);
    assert_string_equal(text, known[i].text);
  }
}

/* The first and the last of each length. */
static void characters_of_each_length(void **state)
{
  static const struct {
    const char *text;
    size_t len;
    uint32_t code;
  } known[] = {{"\x01", 1, 0x1},
               {"\x7f", 1, 0x7f},
               {"\xc2\x80", 2, 0x80},
               {"\xdf\xbf", 2, 0x7ff},
               {"\xe0\xa0\x80", 3, 0x800},
               {"\xed\x9f\xbf", 3, 0xd7ff},
               {"\xee\x80\x80", 3, 0xe000},
               {"\xef\xbf\xbf", 3, 0xffff},
               {"\xf0\x90\x80\x80", 4, 0x10000},
               {"\xf4\x8f\xbf\xbf", 4, 0x10ffff},
               {"ab", 1, 'a'}};
  uint32_t code;

  (void)state;
  for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
    assert_int_equal(p11s_utf8_decode(known[i].text, &code), known[i].len);
    assert_int_equal(code, known[i].code);
  }
}

static void broken_characters(void **state)
{
  static const char *const broken[] = {
      "",                 /* the end */
      "\x80",             /* a continuation of nothing */
      "\xc2",             /* cut off */
      "\xe2\x82",         /* likewise */
      "\xf0\x9f\x98",     /* likewise */
      "\xc2g",            /* not continued */
      "\xe2\x82g",        /* likewise */
      "\xc0\xaf",         /* overlong */
      "\xc1\xbf",         /* likewise */
      "\xe0\x9f\xbf",     /* likewise */
      "\xf0\x8f\xbf\xbf", /* likewise */
      "\xed\xa0\x80",     /* the first surrogate */
      "\xed\xbf\xbf",     /* and the last */
      "\xf4\x90\x80\x80", /* beyond U+10FFFF */
      "\xf8\x88\x80\x80\x80",
      "\xff",
  };
  uint32_t code;

  (void)state;
  for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++)
    assert_int_equal(p11s_utf8_decode(broken[i], &code), 0);
}

static void columns_on_a_terminal(void **state)
{
  (void)state;
  assert_int_equal(p11s_utf8_width(""), 0);
  assert_int_equal(p11s_utf8_width("abc"), 3);
  assert_int_equal(p11s_utf8_width("z\xc3\xbcrich"), 6);
  assert_int_equal(p11s_utf8_width("zu\xcc\x88rich"), 6); /* combining */
  assert_int_equal(p11s_utf8_width("\xe9\x8d\xb5"), 2);   /* wide */
  assert_int_equal(p11s_utf8_width("a\xff\x80"
                                   "b"),
                   4); /* each broken byte */
}

static void times(void **state)
{
  char text[32];

  (void)state;
  p11s_utc(text, sizeof text, P11S_UTC_SECOND, 4102444799);
  assert_string_equal(text, "2099-12-31 23:59:59 UTC");
  p11s_utc(text, sizeof text, P11S_UTC_MINUTE, 0);
  assert_string_equal(text, "1970-01-01 00:00 UTC");
  p11s_utc(text, 10, P11S_UTC_DAY, 0);
  assert_string_equal(text, "");
  p11s_utc(text, sizeof text, P11S_UTC_DAY, INT64_MAX);
  assert_string_equal(text, "");
}

static void hex(void **state)
{
  unsigned char data[3] = {0x01, 0xfe, 0x7f}, back[3];
  char text[8];

  (void)state;
  p11s_hex_format(text, sizeof text, NULL, 0);
  assert_string_equal(text, "");
  p11s_hex_format(text, sizeof text, data, 3);
  assert_string_equal(text, "01fe7f");
  p11s_hex_format(text, 6, data, 3);
  assert_string_equal(text, "01fe");
  p11s_hex_format(text, 1, data, 3);
  assert_string_equal(text, "");
  assert_true(p11s_hex_parse("01Fe7f", back, 3));
  assert_memory_equal(back, data, 3);
  assert_false(p11s_hex_parse("01fe7", back, 3));
  assert_false(p11s_hex_parse("01fe7f0", back, 3));
  assert_false(p11s_hex_parse("01fe 7", back, 3));
  assert_false(p11s_hex_parse("-1fe7f", back, 3));
  assert_false(p11s_hex_parse("01fe7g", back, 3));
}

int main(void)
{
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test(durations),
      cmocka_unit_test(characters_of_each_length),
      cmocka_unit_test(broken_characters),
      cmocka_unit_test(columns_on_a_terminal),
      cmocka_unit_test(times),
      cmocka_unit_test(hex),
  };

  return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "command/table.h"
#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char *const columns[] = {"label", "key_id", "ok", "zones", "error", NULL};
enum { LABEL, KEY_ID, OK, ZONES, ERROR };

static void assert_prints(const struct p11s_table *t, bool json, const char *expected)
{
  struct p11s_buf out = P11S_BUF_INIT;

  assert_int_equal(p11s_table_print(t, json, &out, NULL), P11S_OK);
  assert_string_equal(p11s_buf_text(&out), expected);
  p11s_buf_clear(&out);
}

static void empty(void **state)
{
  struct p11s_table *t = p11s_table_new(columns);

  (void)state;
  assert_int_equal(p11s_table_rows(t), 0);
  assert_prints(t, false, "");
  assert_prints(t, true, "[]\n");
  p11s_table_free(t);
  p11s_table_free(NULL);
}

static void typed_cells(void **state)
{
  struct p11s_table *t = p11s_table_new(columns);

  (void)state;
  p11s_table_row(t);
  p11s_table_string(t, LABEL, "ksk");
  p11s_table_number(t, KEY_ID, 7);
  p11s_table_bool(t, OK, true);
  p11s_table_item(t, ZONES, "a.");
  p11s_table_item(t, ZONES, "b.");
  p11s_table_row(t);
  p11s_table_string(t, LABEL, "a longer one");
  p11s_table_number(t, KEY_ID, UINT64_MAX);
  p11s_table_bool(t, OK, false);
  p11s_table_item(t, ZONES, NULL);
  assert_int_equal(p11s_table_rows(t), 2);
  assert_prints(t, false,
                "LABEL                       KEY ID  OK   ZONES\n"
                "ksk                              7  yes  a., b.\n"
                "a longer one  18446744073709551615  no\n");
  assert_prints(
      t, true,
      "[\n"
      "  {\"label\": \"ksk\", \"key_id\": 7, \"ok\": true, \"zones\": [\"a.\", \"b.\"]},\n"
      "  {\"label\": \"a longer one\", \"key_id\": 18446744073709551615, \"ok\": false, "
      "\"zones\": []}\n"
      "]\n");
  p11s_table_free(t);
}

/* A module that failed has a name and an error, and none of the rest. */
static void missing_cells(void **state)
{
  struct p11s_table *t = p11s_table_new(columns);

  (void)state;
  p11s_table_row(t);
  p11s_table_string(t, LABEL, "broken");
  p11s_table_string(t, ERROR, "does not load");
  p11s_table_row(t);
  p11s_table_string(t, LABEL, "works");
  p11s_table_number(t, KEY_ID, 1);
  assert_prints(t, false,
                "LABEL   KEY ID  ERROR\n"
                "broken          does not load\n"
                "works        1\n");
  assert_prints(t, true,
                "[\n"
                "  {\"label\": \"broken\", \"error\": \"does not load\"},\n"
                "  {\"label\": \"works\", \"key_id\": 1}\n"
                "]\n");
  p11s_table_free(t);
}

static void decimals(void **state)
{
  static const struct {
    double number;
    const char *text;
  } cases[] = {{0.04, "0.0"}, {6.66, "6.7"}, {99.94, "99.9"}, {99.96, "100"}, {12345.6, "12346"}};

  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct p11s_table *t = p11s_table_new(columns);
    char text[64];

    p11s_table_row(t);
    p11s_table_decimal(t, KEY_ID, cases[i].number);
    (void)snprintf(text, sizeof text, "[\n  {\"key_id\": %s}\n]\n", cases[i].text);
    assert_prints(t, true, text);
    p11s_table_free(t);
  }
}

static void set_again(void **state)
{
  struct p11s_table *t = p11s_table_new(columns);

  (void)state;
  p11s_table_string(t, LABEL, "before the first row: goes nowhere");
  p11s_table_row(t);
  p11s_table_string(t, LABEL, "one");
  p11s_table_string(t, LABEL, "two");
  p11s_table_string(t, 17, "no such column");
  assert_prints(t, true, "[\n  {\"label\": \"two\"}\n]\n");
  p11s_table_free(t);
}

static void many_rows(void **state)
{
  struct p11s_table *t = p11s_table_new(columns);
  struct p11s_buf out = P11S_BUF_INIT;
  size_t lines = 0;

  (void)state;
  for (uint64_t i = 0; i < 1000; i++) {
    p11s_table_row(t);
    p11s_table_number(t, KEY_ID, i);
  }
  assert_int_equal(p11s_table_print(t, false, &out, NULL), P11S_OK);
  for (const char *p = out.data; *p != '\0'; p++)
    lines += *p == '\n';
  assert_int_equal(lines, 1001);
  assert_non_null(strstr(out.data, "\n   999\n"));
  p11s_buf_clear(&out);
  p11s_table_free(t);
}

/* Columns line up by what the terminal shows, and long cells stay whole. */
static void widths(void **state)
{
  struct p11s_table *t = p11s_table_new(columns);

  (void)state;
  assert_int_equal(p11s_utf8_width("abc"), 3);
  assert_int_equal(p11s_utf8_width("Schl\xc3\xbcssel"), 9);
  assert_int_equal(p11s_utf8_width("e\xcc\x81"), 1);
  assert_int_equal(p11s_utf8_width("\xe9\x8d\xb5"), 2);
  assert_int_equal(p11s_utf8_width("\xf0\x9f\x94\x91"), 2);
  assert_int_equal(p11s_utf8_width("\xff\xc3"), 2);
  p11s_table_row(t);
  p11s_table_string(t, LABEL, "\xe9\x8d\xb5");
  p11s_table_bool(t, OK, true);
  p11s_table_row(t);
  p11s_table_string(t, LABEL, "Schl\xc3\xbcssel");
  p11s_table_bool(t, OK, false);
  assert_prints(t, false,
                "LABEL      OK\n"
                "\xe9\x8d\xb5         yes\n"
                "Schl\xc3\xbcssel  no\n");
  p11s_table_free(t);
}

static void hostile_text(void **state)
{
  struct p11s_table *t = p11s_table_new(columns);

  (void)state;
  p11s_table_row(t);
  p11s_table_string(t, LABEL,
                    "a\"b\\c\n\x1b[31m\x7f\xff"
                    "d\xc3");
  p11s_table_item(t, ZONES, "x\ty");
  assert_prints(t, false, "LABEL            ZONES\na\"b\\c??[31m??d?  x?y\n");
  assert_prints(t, true,
                "[\n  {\"label\": \"a\\\"b\\\\c\\u000a\\u001b[31m\\u007f\xef\xbf\xbd"
                "d\xef\xbf\xbd\", \"zones\": [\"x\\u0009y\"]}\n]\n");
  p11s_table_free(t);
}

static void json_text(void **state)
{
  static const struct {
    const char *in;
    const char *out;
  } cases[] = {
      {"", "\"\""},
      {"plain", "\"plain\""},
      {"\xf0\x9f\x94\x91", "\"\xf0\x9f\x94\x91\""},
      /* overlong, surrogate, beyond U+10FFFF, stray continuation */
      {"\xc0\xaf", "\"\xef\xbf\xbd\xef\xbf\xbd\""},
      {"\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
      {"\xf4\x90\x80\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
      {"\x80", "\"\xef\xbf\xbd\""},
      /* the terminal's own: U+0080, U+009B (CSI), U+009F, and U+00A0, which is none; U+202E */
      {"\xc2\x80\xc2\x9b\xc2\x9f\xc2\xa0", "\"\\u0080\\u009b\\u009f\xc2\xa0\""},
      {"\xe2\x80\xae", "\"\\u202e\""},
  };

  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct p11s_buf out = P11S_BUF_INIT;
    p11s_json_string(&out, cases[i].in);
    assert_string_equal(p11s_buf_text(&out), cases[i].out);
    p11s_buf_clear(&out);
  }
}

/* What could not be allocated comes out as an error, never as a crash. */
static void no_memory(void **state)
{
  struct p11s_buf out = P11S_BUF_INIT;
  struct p11s_error e = {0};

  (void)state;
  p11s_table_row(NULL);
  p11s_table_string(NULL, 0, "x");
  p11s_table_item(NULL, 0, "x");
  assert_int_equal(p11s_table_rows(NULL), 0);
  assert_int_equal(p11s_table_print(NULL, true, &out, &e), P11S_ERR_NOMEM);
  assert_int_equal(e.code, P11S_ERR_NOMEM);
  p11s_buf_clear(&out);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(empty),     cmocka_unit_test(typed_cells),  cmocka_unit_test(missing_cells),
      cmocka_unit_test(decimals),  cmocka_unit_test(set_again),    cmocka_unit_test(many_rows),
      cmocka_unit_test(widths),    cmocka_unit_test(hostile_text), cmocka_unit_test(json_text),
      cmocka_unit_test(no_memory),
  };

  return cmocka_run_group_tests_name("table", tests, NULL, NULL);
}

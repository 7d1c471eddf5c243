/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "command/split.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Splits line and compares with the words given, NULL behind the last. */
static void assert_words(const char *line, const char *const *expected)
{
  struct p11s_words words = {0};
  struct p11s_error e = {0};
  size_t count = 0;

  assert_int_equal(p11s_words_split(line, &words, &e), P11S_OK);
  for (; expected[count] != NULL; count++) {
    assert_true(count < words.count);
    assert_string_equal(words.word[count], expected[count]);
  }
  assert_int_equal(words.count, count);
  assert_null(words.word[count]);
  p11s_words_clear(&words);
}

#define ASSERT_WORDS(line, ...) assert_words((line), (const char *const[]){__VA_ARGS__, NULL})

static void assert_refused(const char *line, const char *said)
{
  struct p11s_words words;
  struct p11s_words untouched;
  struct p11s_error e = {0};

  memset(&words, 0x5a, sizeof words);
  untouched = words;
  assert_int_equal(p11s_words_split(line, &words, &e), P11S_ERR_SYNTAX);
  assert_int_equal(e.code, P11S_ERR_SYNTAX);
  assert_non_null(strstr(e.text, said));
  assert_memory_equal(&words, &untouched, sizeof words);
}

static void blanks(void **state)
{
  (void)state;
  assert_words("", (const char *const[]){NULL});
  assert_words(" \t ", (const char *const[]){NULL});
  ASSERT_WORDS("one", "one");
  ASSERT_WORDS("  keys\tsofthsm2   0 ", "keys", "softhsm2", "0");
}

static void quotes(void **state)
{
  (void)state;
  ASSERT_WORDS("keys 'SmartCard-HSM (UserPIN)'", "keys", "SmartCard-HSM (UserPIN)");
  ASSERT_WORDS("keys \"a  b\" c", "keys", "a  b", "c");
  ASSERT_WORDS("a '' \"\" b", "a", "", "", "b");
  ASSERT_WORDS("''", "");
  ASSERT_WORDS("pre'fix and'\" suffix\"", "prefix and suffix");
  ASSERT_WORDS("'it\"s' \"it's\"", "it\"s", "it's");
  ASSERT_WORDS("schl\xc3\xbcssel '\xe9\x8d\xb5 1'", "schl\xc3\xbcssel", "\xe9\x8d\xb5 1");
}

static void backslashes(void **state)
{
  (void)state;
  ASSERT_WORDS("a\\ b \\'c\\\" \\\\", "a b", "'c\"", "\\");
  ASSERT_WORDS("\"a\\\"b\\\\\"", "a\"b\\");
  ASSERT_WORDS("'a\\b\\'", "a\\b\\");
}

static void refused(void **state)
{
  (void)state;
  assert_refused("assign 'my token", "not closed");
  assert_refused("assign my\"", "not closed");
  assert_refused("assign \"my\\\"", "not closed");
  assert_refused("assign my\\", "backslash");
  assert_refused("assign 'a\nPIN: 1'", "control character");
  assert_refused("assign a\rb", "control character");
  assert_refused("assign \x7f", "control character");
  assert_refused("assign \xc2\x85", "control character");
  assert_refused("assign \xff", "UTF-8");
  assert_refused("assign \xe9\x8d", "UTF-8");
}

/* What is wrong is said without repeating what may be a PIN. */
static void errors_hold_no_words(void **state)
{
  struct p11s_words words = {0};
  struct p11s_error e = {0};

  (void)state;
  assert_int_equal(p11s_words_split("keys m s 'my~4711", &words, &e), P11S_ERR_SYNTAX);
  assert_null(strstr(e.text, "my~4711"));
}

static void limits(void **state)
{
  char line[2 * P11S_WORDS_MAX + 2] = "";
  char *big = malloc(P11S_WORDS_LINE_MAX + 2);
  struct p11s_words words = {0};

  (void)state;
  assert_non_null(big);
  for (size_t i = 0; i < P11S_WORDS_MAX; i++) {
    line[2 * i] = 'a';
    line[2 * i + 1] = ' ';
  }
  assert_int_equal(p11s_words_split(line, &words, NULL), P11S_OK);
  assert_int_equal(words.count, P11S_WORDS_MAX);
  assert_null(words.word[P11S_WORDS_MAX]);
  p11s_words_clear(&words);
  line[strlen(line)] = 'a';
  assert_refused(line, "more than 32 words");

  memset(big, 'x', P11S_WORDS_LINE_MAX + 1);
  big[P11S_WORDS_LINE_MAX + 1] = '\0';
  assert_refused(big, "longer than 65536 bytes");
  big[P11S_WORDS_LINE_MAX] = '\0';
  assert_int_equal(p11s_words_split(big, &words, NULL), P11S_OK);
  assert_int_equal(strlen(words.word[0]), P11S_WORDS_LINE_MAX);
  p11s_words_clear(&words);
  free(big);
}

static enum p11s_err take(const char *line, const char *own, struct p11s_words *words,
                          struct p11s_options *options, struct p11s_error *e)
{
  assert_int_equal(p11s_words_split(line, words, NULL), P11S_OK);
  return p11s_words_take_options(words, own, options, e);
}

static void options_are_taken_out(void **state)
{
  struct p11s_words words = {0};
  struct p11s_options o;

  (void)state;
  assert_int_equal(take("--json keys --json a -1 - b --json", NULL, &words, &o, NULL), P11S_OK);
  assert_true(o.json && !o.help && !o.own);
  assert_int_equal(words.count, 6);
  assert_string_equal(words.word[0], "--json");
  assert_string_equal(words.word[1], "keys");
  assert_string_equal(words.word[3], "-1");
  assert_string_equal(words.word[4], "-");
  assert_null(words.word[6]);
  p11s_words_clear(&words);
  assert_int_equal(take("forecast --measure -h", "--measure", &words, &o, NULL), P11S_OK);
  assert_true(!o.json && o.help && o.own);
  assert_int_equal(words.count, 1);
  p11s_words_clear(&words);
  assert_int_equal(take("", NULL, &words, &o, NULL), P11S_OK);
  assert_int_equal(words.count, 0);
  p11s_words_clear(&words);
}

static void behind_two_dashes_there_are_no_options(void **state)
{
  struct p11s_words words = {0};
  struct p11s_options o;

  (void)state;
  assert_int_equal(take("keys --json -- --json -- -x", NULL, &words, &o, NULL), P11S_OK);
  assert_true(o.json);
  assert_int_equal(words.count, 4);
  assert_string_equal(words.word[1], "--json");
  assert_string_equal(words.word[2], "--");
  assert_string_equal(words.word[3], "-x");
  p11s_words_clear(&words);
}

static void unknown_options_are_not_repeated(void **state)
{
  static const char *const lines[] = {"keys a --1234", "keys a -x", "keys a --measure",
                                      "keys a --json=1"};
  struct p11s_words words = {0};
  struct p11s_options o;
  struct p11s_error e;

  (void)state;
  for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
    assert_int_equal(take(lines[i], "--all", &words, &o, &e), P11S_ERR_SYNTAX);
    assert_string_equal(e.text, "word 2 behind keys is an unknown option; keys has --json, --help, "
                                "--all. Behind -- words that begin with - are none");
    p11s_words_clear(&words);
  }
}

static void clearing(void **state)
{
  struct p11s_words words = {0};

  (void)state;
  p11s_words_clear(&words);
  assert_int_equal(p11s_words_split("a b", &words, NULL), P11S_OK);
  p11s_words_clear(&words);
  assert_int_equal(words.count, 0);
  assert_null(words.text);
  p11s_words_clear(&words);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(blanks),
      cmocka_unit_test(quotes),
      cmocka_unit_test(backslashes),
      cmocka_unit_test(refused),
      cmocka_unit_test(errors_hold_no_words),
      cmocka_unit_test(limits),
      cmocka_unit_test(options_are_taken_out),
      cmocka_unit_test(behind_two_dashes_there_are_no_options),
      cmocka_unit_test(unknown_options_are_not_repeated),
      cmocka_unit_test(clearing),
  };

  return cmocka_run_group_tests_name("words", tests, NULL, NULL);
}

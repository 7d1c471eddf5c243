/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "format/keyref.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Stands for the PIN; no message may hold it. */
#define PIN "Geheim"

#define FULL                                                                                       \
  "Private-key-format: v1.2\n"                                                                     \
  "Algorithm: 8\n"                                                                                 \
  "Engine: opensc\n"                                                                               \
  "Slot: SmartCard-HSM (UserPIN)\n"                                                                \
  "PIN: " PIN "\n"                                                                                 \
  "Label: cmouse.aa-KSK\n"                                                                         \
  "PubLabel: cmouse.aa-KSK pub\n"                                                                  \
  "PublicKey: AwEAAQ==\n"

#define SHORT "Algorithm: 13\nEngine: softhsm2\nSlot: 0\nLabel: k\n"

/* Parses a copy of exactly this size, so that a sanitizer sees a byte read too far. */
static enum p11s_err parse_bytes(const char *text, size_t len, struct p11s_keyref **ret_ref,
                                 struct p11s_error *e)
{
  char *copy = malloc(len > 0 ? len : 1);
  enum p11s_err err;

  assert_non_null(copy);
  memcpy(copy, text, len);
  err = p11s_keyref_parse(copy, len, ret_ref, e);
  free(copy);
  return err;
}

static struct p11s_keyref *parse(const char *text)
{
  struct p11s_keyref *ref = NULL;
  struct p11s_error e = {0};

  if (parse_bytes(text, strlen(text), &ref, &e) != P11S_OK)
    fail_msg("%s", e.text);
  assert_non_null(ref);
  return ref;
}

/* Refused with P11S_ERR_SYNTAX, a message that says `said`, and no PIN in it. */
static void assert_refused(const char *text, size_t len, const char *said)
{
  struct p11s_keyref *ref = NULL;
  struct p11s_error e = {0};

  assert_int_equal(parse_bytes(text, len, &ref, &e), P11S_ERR_SYNTAX);
  assert_int_equal(e.code, P11S_ERR_SYNTAX);
  assert_null(ref);
  if (strstr(e.text, said) == NULL)
    fail_msg("\"%s\" does not say \"%s\"", e.text, said);
  assert_null(strstr(e.text, PIN));
  /* the message is wanted by nobody */
  assert_int_equal(parse_bytes(text, len, &ref, NULL), P11S_ERR_SYNTAX);
}

#define ASSERT_REFUSED(text, said) assert_refused((text), sizeof(text) - 1, (said))

static void assert_formats_as(const char *text, const char *expected)
{
  struct p11s_keyref *ref = parse(text);
  struct p11s_buf out = P11S_BUF_INIT;

  p11s_keyref_format(ref, true, &out);
  assert_false(out.failed);
  assert_string_equal(p11s_buf_text(&out), expected);
  p11s_buf_wipe(&out);
  p11s_keyref_free(ref);
}

static void assert_pin(const struct p11s_keyref *ref, const char *expected)
{
  assert_int_equal(p11s_secret_len(ref->pin), strlen(expected));
  assert_string_equal((const char *)p11s_secret_data(ref->pin), expected);
}

static void test_all_lines(void **state)
{
  struct p11s_keyref *ref = parse(FULL);

  (void)state;
  assert_int_equal(ref->algorithm, 8);
  assert_string_equal(ref->engine, "opensc");
  assert_string_equal(ref->slot, "SmartCard-HSM (UserPIN)");
  assert_pin(ref, PIN);
  assert_string_equal(ref->label, "cmouse.aa-KSK");
  assert_string_equal(ref->pub_label, "cmouse.aa-KSK pub");
  assert_int_equal(ref->public_key_len, 4);
  assert_memory_equal(ref->public_key, "\x03\x01\x00\x01", 4);
  assert_null(ref->extra);
  p11s_keyref_free(ref);
}

static void test_least_lines(void **state)
{
  struct p11s_keyref *ref = parse(SHORT);

  (void)state;
  assert_int_equal(ref->algorithm, 13);
  assert_null(ref->pin);
  assert_null(ref->pub_label);
  assert_null(ref->public_key);
  assert_null(ref->extra);
  p11s_keyref_free(ref);
}

static void test_empty_optional_lines(void **state)
{
  struct p11s_keyref *ref = parse(SHORT "PIN:\nPubLabel: \nPublicKey:\t\n");

  (void)state;
  assert_null(ref->pin);
  assert_null(ref->pub_label);
  assert_null(ref->public_key);
  p11s_keyref_free(ref);
}

static void test_form_does_not_matter(void **state)
{
  static const char expected[] = "Private-key-format: v1.2\nAlgorithm: 8\nEngine: e\nSlot: s:1 2\n"
                                 "PIN: 1 2\nLabel: l\n";

  (void)state;
  /* case, blanks, CR LF, empty lines, order, no newline at the end */
  assert_formats_as("\n\r\n LABEL :\t l \r\npin:1 2\r\n\r\nslot:s:1 2\r\nengine: e\r\naLGORITHM:8",
                    expected);
  assert_formats_as("Algorithm: 8 (RSASHA256)\nEngine: e\nSlot: s:1 2\nPIN: 1 2\nLabel: l\n",
                    expected);
  assert_formats_as("PRIVATE-KEY-FORMAT: V1.3\nAlgorithm: 008\nEngine: e\nSlot: s:1 2\nPIN: 1 2\n"
                    "Label: l\n",
                    expected);
}

static void test_unknown_lines_are_kept(void **state)
{
  struct p11s_keyref *ref = parse("B: 2\n" SHORT "  A:1 \r\n\nB: 2\nPINs: x\n");

  (void)state;
  assert_string_equal(ref->extra, "B: 2\nA:1\nB: 2\nPINs: x\n");
  p11s_keyref_free(ref);
  assert_formats_as("X: 1\n" SHORT, "Private-key-format: v1.2\nAlgorithm: 13\nEngine: softhsm2\n"
                                    "Slot: 0\nPIN: \nLabel: k\nX: 1\n");
}

static void test_format_without_pin(void **state)
{
  struct p11s_keyref *ref = parse(FULL);
  struct p11s_buf out = P11S_BUF_INIT;

  (void)state;
  p11s_keyref_format(ref, false, &out);
  assert_null(strstr(p11s_buf_text(&out), PIN));
  assert_non_null(strstr(p11s_buf_text(&out), "\nPIN: \nLabel:"));
  p11s_buf_clear(&out);
  p11s_keyref_free(ref);
}

static void test_format_is_what_was_read(void **state)
{
  (void)state;
  assert_formats_as(FULL, FULL);
  assert_formats_as(FULL "Extra: line\n", FULL "Extra: line\n");
}

static void test_algorithm(void **state)
{
  static const char *const bad[] = {
      "",     "8x",  "x8",  "-1",          "+8",  "256", "8 8",        "8 ()x",
      "8 x)", "8 (", "0x8", "99999999999", "8.0", "8,",  "4294967304", "18446744073709551624"};
  size_t i;
  unsigned n;

  (void)state;
  for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    char text[200];
    (void)snprintf(text, sizeof text, "Engine: e\nAlgorithm: %s\nSlot: s\nLabel: l\n", bad[i]);
    assert_refused(text, strlen(text), "line 2 (Algorithm)");
  }
  for (n = 0; n < 256; n++) {
    char text[200];
    struct p11s_keyref *ref;
    (void)snprintf(text, sizeof text, "Engine: e\nAlgorithm: %u\nSlot: s\nLabel: l\n", n);
    ref = parse(text);
    assert_int_equal(ref->algorithm, n);
    p11s_keyref_free(ref);
  }
}

static void test_missing_lines(void **state)
{
  (void)state;
  ASSERT_REFUSED("", "empty");
  ASSERT_REFUSED("\n\n", "no Algorithm line");
  ASSERT_REFUSED("Engine: e\nSlot: s\nLabel: l\nPIN: " PIN "\n", "no Algorithm line");
  ASSERT_REFUSED("Algorithm: 8\nSlot: s\nLabel: l\nPIN: " PIN "\n", "no Engine line");
  ASSERT_REFUSED("Algorithm: 8\nEngine: e\nLabel: l\nPIN: " PIN "\n", "no Slot line");
  ASSERT_REFUSED("Algorithm: 8\nEngine: e\nSlot: s\nPIN: " PIN "\n", "no Label line");
}

static void test_empty_lines(void **state)
{
  (void)state;
  ASSERT_REFUSED("Algorithm: 8\nEngine:\nSlot: s\nLabel: l\n", "line 2 (Engine): empty");
  ASSERT_REFUSED("Algorithm: 8\nEngine: e\nSlot: \t\r\nLabel: l\n", "line 3 (Slot): empty");
  ASSERT_REFUSED("Algorithm: 8\nEngine: e\nSlot: s\n\nLabel: ", "line 5 (Label): empty");
}

static void test_lines_twice(void **state)
{
  static const char *const lines[] = {"Private-key-format: v1.2",
                                      "algorithm: 8",
                                      "ENGINE: e",
                                      "Slot: s",
                                      ("pin: " PIN),
                                      "Label: l",
                                      "PubLabel: p",
                                      "PublicKey: AwEAAQ=="};
  size_t i;

  (void)state;
  for (i = 0; i < sizeof lines / sizeof lines[0]; i++) {
    char text[1000];
    (void)snprintf(text, sizeof text, FULL "%s\n", lines[i]);
    assert_refused(text, strlen(text), "line 9");
  }
  /* also when the first was empty */
  ASSERT_REFUSED(SHORT "PIN:\nPIN: " PIN "\n", "line 6 (PIN)");
}

static void test_lines_that_are_none(void **state)
{
  (void)state;
  ASSERT_REFUSED(SHORT "Pin " PIN "\n", "line 5");
  ASSERT_REFUSED(SHORT PIN "\n", "line 5");
  ASSERT_REFUSED(SHORT ": " PIN "\n", "line 5");
  ASSERT_REFUSED(SHORT " : " PIN, "line 5");
  ASSERT_REFUSED("Private-key-format: " PIN "\n" SHORT, "line 1 (Private-key-format)");
}

static void test_control_characters(void **state)
{
  char text[] = SHORT "PIN: " PIN " \n";
  size_t at = sizeof text - 3;
  unsigned c;

  (void)state;
  assert_int_equal(text[at], ' ');
  for (c = 0; c < 256; c++) {
    struct p11s_keyref *ref = NULL;
    text[at] = (char)c;
    if (c == 0x7f || (c < 0x20 && c != '\t' && c != '\r' && c != '\n')) {
      assert_refused(text, sizeof text - 1, "control character");
    } else {
      assert_int_equal(parse_bytes(text, sizeof text - 1, &ref, NULL), P11S_OK);
      p11s_keyref_free(ref);
    }
  }
}

static void test_base64(void **state)
{
  static const char *const bad[] = {
      "A",
      "AA",
      "AAA",
      "AwEAA",
      "AwEAAQ",
      "AwEAAQ=",
      "AwEAAQ===",
      "=",
      "====",
      "A===",
      "AwEA====",
      "AwE=AwE=",
      "AwEA AwEA",
      "AwEA\tAwEA",
      "AwE-",
      "AwE_",
      "AwE!",
      "AwE\xc3",
      "AwEAAR==",
      "AwEAA===",
      "AwF=",
      "AwEAAQ=A",
      "AwEAAQ==AwEAAQ==",
      "*AwEAAQ==",
      "AwEA\rAwEA",
  };
  size_t i;

  (void)state;
  for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    char text[200];
    (void)snprintf(text, sizeof text, SHORT "PublicKey: %s\n", bad[i]);
    assert_refused(text, strlen(text), "line 5 (PublicKey): not base64");
  }
}

static void test_base64_round_trip(void **state)
{
  struct p11s_keyref *ref = parse(SHORT);
  unsigned char key[600];
  size_t len;

  (void)state;
  for (len = 1; len <= sizeof key; len++) {
    struct p11s_buf out = P11S_BUF_INIT;
    struct p11s_keyref *again;
    key[len - 1] = (unsigned char)(len * 151 + len / 7);
    assert_true(p11s_keyref_pin_public(ref, key, len));
    p11s_keyref_format(ref, false, &out);
    again = parse(p11s_buf_text(&out));
    assert_int_equal(again->public_key_len, len);
    assert_memory_equal(again->public_key, key, len);
    p11s_keyref_free(again);
    p11s_buf_clear(&out);
  }
  p11s_keyref_free(ref);
}

static void test_pin_public_replaces(void **state)
{
  struct p11s_keyref *ref = parse(FULL);

  (void)state;
  assert_true(p11s_keyref_pin_public(ref, (const unsigned char *)"new", 3));
  assert_int_equal(ref->public_key_len, 3);
  assert_memory_equal(ref->public_key, "new", 3);
  assert_true(p11s_keyref_pin_public(ref, NULL, 0));
  assert_int_equal(ref->public_key_len, 0);
  p11s_keyref_free(ref);
}

static void test_size_limit(void **state)
{
  static const char head[] = SHORT "X: ";
  size_t limit = (size_t)64 * 1024;
  size_t huge = (size_t)1024 * 1024;
  char *text = malloc(huge);
  struct p11s_keyref *ref = NULL;

  (void)state;
  assert_non_null(text);
  memset(text, 'x', huge);
  memcpy(text, head, sizeof head - 1);
  assert_int_equal(parse_bytes(text, limit, &ref, NULL), P11S_OK);
  assert_int_equal(strlen(ref->extra), limit - (sizeof SHORT - 1) + 1);
  p11s_keyref_free(ref);
  assert_refused(text, limit + 1, "65537 bytes");
  assert_refused(text, huge, "1048576 bytes");
  memset(text, 0, huge);
  assert_refused(text, huge, "1048576 bytes");
  assert_refused(text, limit, "control character");
  /* nothing but newlines, nothing but names */
  memset(text, '\n', limit);
  assert_refused(text, limit, "no Algorithm line");
  memset(text, ':', limit);
  assert_refused(text, limit, "line 1");
  free(text);
}

/* Cut anywhere, it parses or says what is wrong; never anything else. */
static void test_every_truncation(void **state)
{
  size_t len;

  (void)state;
  for (len = 0; len < sizeof FULL - 1; len++) {
    struct p11s_keyref *ref = NULL;
    struct p11s_error e = {0};
    enum p11s_err err = parse_bytes(FULL, len, &ref, &e);
    if (err == P11S_OK) {
      assert_non_null(ref->label);
      p11s_keyref_free(ref);
      continue;
    }
    assert_int_equal(err, P11S_ERR_SYNTAX);
    assert_null(ref);
    assert_true(strlen(e.text) > 0);
    assert_null(strstr(e.text, PIN));
  }
}

/* What parses is printed so that it is read and printed again as the same. */
static void check_round_trip(const char *text, size_t len)
{
  struct p11s_keyref *ref = NULL;
  struct p11s_keyref *again = NULL;
  struct p11s_buf first = P11S_BUF_INIT;
  struct p11s_buf second = P11S_BUF_INIT;

  if (parse_bytes(text, len, &ref, NULL) != P11S_OK)
    return;
  assert_int_equal(p11s_keyref_check(ref, NULL), P11S_OK);
  p11s_keyref_format(ref, true, &first);
  assert_false(first.failed);
  assert_int_equal(parse_bytes(p11s_buf_text(&first), first.len, &again, NULL), P11S_OK);
  p11s_keyref_format(again, true, &second);
  assert_int_equal(first.len, second.len);
  assert_memory_equal(p11s_buf_text(&first), p11s_buf_text(&second), first.len);
  assert_int_equal(p11s_secret_len(ref->pin), p11s_secret_len(again->pin));
  p11s_buf_wipe(&first);
  p11s_buf_wipe(&second);
  p11s_keyref_free(ref);
  p11s_keyref_free(again);
}

static void test_mutations_round_trip(void **state)
{
  static const char interesting[] = " \t\r\n:=AwPINpin8\x00\x1b\x7f\x80\xff";
  uint32_t seed = 2463534242;
  int round;

  (void)state;
  for (round = 0; round < 20000; round++) {
    char text[sizeof FULL];
    size_t len = sizeof FULL - 1;
    unsigned i;
    memcpy(text, FULL, sizeof FULL);
    for (i = 0; i <= (unsigned)round % 4; i++) {
      seed ^= seed << 13;
      seed ^= seed >> 17;
      seed ^= seed << 5;
      text[seed % len] = interesting[(seed >> 16) % (sizeof interesting - 1)];
    }
    check_round_trip(text, len);
    (void)p11s_keyref_is_ours(text, len);
  }
}

static void test_check(void **state)
{
  static const char *const bad[] = {"a\nEngine: b", "a\x01", " a", "a ", "a\r", "\ta", "a\x7f"};
  char *fields[] = {"e", "s", "l", "p"};
  struct p11s_error e = {0};
  size_t field;
  size_t i;

  (void)state;
  for (field = 0; field < 4; field++)
    for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
      struct p11s_buf out = P11S_BUF_INIT;
      struct p11s_keyref ref = {.algorithm = 8};
      char text[32];
      char *values[4];
      memcpy(values, fields, sizeof values);
      (void)snprintf(text, sizeof text, "%s", bad[i]);
      values[field] = text;
      ref.engine = values[0];
      ref.slot = values[1];
      ref.label = values[2];
      ref.pub_label = values[3];
      assert_int_equal(p11s_keyref_check(&ref, &e), P11S_ERR_SYNTAX);
      p11s_keyref_format(&ref, true, &out);
      assert_true(out.failed);
      p11s_buf_clear(&out);
    }
}

static void test_check_pin_and_gaps(void **state)
{
  char value[] = "v";
  struct p11s_keyref ref = {.algorithm = 8, .engine = value, .slot = value, .label = value};
  struct p11s_error e = {0};

  (void)state;
  assert_int_equal(p11s_keyref_check(&ref, &e), P11S_OK);
  /* a PIN that the parser would trim */
  ref.pin = p11s_secret_new(PIN " ", sizeof PIN);
  assert_int_equal(p11s_keyref_check(&ref, &e), P11S_ERR_SYNTAX);
  assert_non_null(strstr(e.text, "PIN"));
  assert_null(strstr(e.text, PIN));
  p11s_secret_release(ref.pin);
  ref.pin = p11s_secret_new("1\0002", 3);
  assert_int_equal(p11s_keyref_check(&ref, &e), P11S_ERR_SYNTAX);
  p11s_secret_release(ref.pin);
  ref.pin = NULL;
  ref.algorithm = 256;
  assert_int_equal(p11s_keyref_check(&ref, &e), P11S_ERR_SYNTAX);
  ref.algorithm = 255;
  ref.slot = NULL;
  assert_int_equal(p11s_keyref_check(&ref, &e), P11S_ERR_SYNTAX);
  assert_non_null(strstr(e.text, "Slot"));
}

static void test_free_half_built(void **state)
{
  (void)state;
  p11s_keyref_free(NULL);
  p11s_keyref_free(calloc(1, sizeof(struct p11s_keyref)));
}

#define OURS(text) assert_true(p11s_keyref_is_ours((text), sizeof(text) - 1))
#define THEIRS(text) assert_false(p11s_keyref_is_ours((text), sizeof(text) - 1))

static void test_is_ours(void **state)
{
  (void)state;
  OURS(FULL);
  OURS(SHORT);
  OURS("Engine:");
  OURS("ENGINE: x\nAlgorithm: 8\nModulus: AA==\n");
  /* what PowerDNS cannot read */
  OURS("");
  OURS("\0\0\0");
  OURS("Algorithm: 8\n");
  OURS("Modulus: AA==\n");
  OURS("Algorithm: x\nModulus: AA==\n");
  OURS("Algorithm: -8\nPrivateKey: AA==\n");
  OURS("Algorithm: 99999999999\nModulus: AA==\n");
  OURS("Private-key-format: v1.2\nAlgorithm: 8\nMod");
  /* what it can */
  THEIRS(
      "Private-key-format: v1.2\nAlgorithm: 8 (RSASHA256)\nModulus: AA==\nPublicExponent: Aw==\n");
  THEIRS("Private-key-format: v1.2\nAlgorithm: 13 (ECDSAP256SHA256)\nPrivateKey: AA==\n");
  THEIRS("algorithm:15\r\nprivatekey:AA==");
  /* the name alone counts, not a value that looks like one */
  THEIRS("Algorithm: 8\nModulus: AA==\nComment: Engine: x\nengine\n");
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_all_lines),
      cmocka_unit_test(test_least_lines),
      cmocka_unit_test(test_empty_optional_lines),
      cmocka_unit_test(test_form_does_not_matter),
      cmocka_unit_test(test_unknown_lines_are_kept),
      cmocka_unit_test(test_format_without_pin),
      cmocka_unit_test(test_format_is_what_was_read),
      cmocka_unit_test(test_algorithm),
      cmocka_unit_test(test_missing_lines),
      cmocka_unit_test(test_empty_lines),
      cmocka_unit_test(test_lines_twice),
      cmocka_unit_test(test_lines_that_are_none),
      cmocka_unit_test(test_control_characters),
      cmocka_unit_test(test_base64),
      cmocka_unit_test(test_base64_round_trip),
      cmocka_unit_test(test_pin_public_replaces),
      cmocka_unit_test(test_size_limit),
      cmocka_unit_test(test_every_truncation),
      cmocka_unit_test(test_mutations_round_trip),
      cmocka_unit_test(test_check),
      cmocka_unit_test(test_check_pin_and_gaps),
      cmocka_unit_test(test_free_half_built),
      cmocka_unit_test(test_is_ours),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}

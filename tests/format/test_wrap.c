/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "format/wrap.h"
#include "rig/rig.h"

#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PREFIX "Private-key-format: v1.2\nAlgorithm: "

static const unsigned char identity[P11S_KEY_IDENTITY_LEN] = {0, 1, 0x7f, 0x80, 0xff};

static int setup(void **state)
{
  (void)state;
  rig_watchdog();
  return 0;
}

/* What PowerDNS makes of the content: number, and the line's value decoded. */
static size_t unwrap(const struct p11s_buf *content, unsigned *ret_algorithm, char *value,
                     size_t size)
{
  const char *text = p11s_buf_text(content), *line = strstr(text, "\n" P11S_WRAP_NAME ": ");
  const char *end;
  unsigned char decoded[8192];
  size_t len;
  int n;

  assert_false(content->failed);
  assert_int_equal(content->len, strlen(text));
  assert_int_equal(strncmp(text, PREFIX, strlen(PREFIX)), 0);
  *ret_algorithm = (unsigned)strtoul(text + strlen(PREFIX), NULL, 10);
  assert_non_null(line);
  line += strlen("\n" P11S_WRAP_NAME ": ");
  end = strchr(line, '\n');
  assert_non_null(end);
  assert_string_equal(end, "\n"); /* the last line */
  len = (size_t)(end - line);
  assert_true(len / 4 * 3 <= sizeof decoded && len / 4 * 3 <= size);
  n = EVP_DecodeBlock(decoded, (const unsigned char *)line, (int)len);
  assert_true(n >= 0);
  while (len > 0 && line[len - 1] == '=') {
    n--;
    len--;
  }
  memcpy(value, decoded, (size_t)n);
  return (size_t)n;
}

static const char *const odd_zones[] = {
    ".",
    "example.org.",
    "-.",
    "a\\010b.example.",
    "with\\032blank.example.",
    "semi;colon: colon.example.",
    "\\000.\\255.example.",
    "d\xc3\xa9j\xc3\xa0.example.",
    "0/25.2.0.192.in-addr.arpa.",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa."
    "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb."
    "ccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc."
    "ddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd.",
};

static void key_goes_there_and_back(void **state)
{
  struct p11s_keyref *key = rig_ref("a label", "secret-pin");

  (void)state;
  for (size_t i = 0; i < sizeof odd_zones / sizeof odd_zones[0]; i++) {
    struct p11s_buf content = P11S_BUF_INIT;
    struct p11s_wrapped w;
    struct p11s_keyref *ref = NULL;
    unsigned algorithm;
    char value[8192];
    size_t len;

    p11s_wrap_key(odd_zones[i], 4294967295U, identity, key, &content);
    len = unwrap(&content, &algorithm, value, sizeof value);
    assert_int_equal(algorithm, P11S_WRAP_ALGORITHM + 13);
    assert_null(memmem(value, len, "secret-pin", 10));
    assert_int_equal(p11s_wrap_parse(value, len, &w, NULL), P11S_OK);
    assert_string_equal(w.zone, odd_zones[i]);
    assert_true(w.id == 4294967295U);
    assert_memory_equal(w.identity, identity, sizeof identity);
    assert_null(w.message);
    assert_int_equal(p11s_keyref_parse(w.reference, strlen(w.reference), &ref, NULL), P11S_OK);
    assert_string_equal(ref->label, "a label");
    assert_null(ref->pin);
    p11s_keyref_free(ref);
    p11s_wrapped_clear(&w);
    p11s_wrapped_clear(&w); /* empty by now */
    p11s_buf_clear(&content);
  }
  p11s_keyref_free(key);
}

static void message_goes_there_and_back(void **state)
{
  static const char *const messages[] = {"", "-", "line 3: what is this?", "two\nlines", "\n"};

  (void)state;
  for (size_t i = 0; i < sizeof odd_zones / sizeof odd_zones[0]; i++)
    for (size_t j = 0; j < sizeof messages / sizeof messages[0]; j++) {
      struct p11s_buf content = P11S_BUF_INIT;
      struct p11s_wrapped w;
      unsigned algorithm;
      char value[8192];
      size_t len;

      p11s_wrap_broken(odd_zones[i], 0, messages[j], &content);
      len = unwrap(&content, &algorithm, value, sizeof value);
      assert_int_equal(algorithm, P11S_WRAP_ALGORITHM);
      assert_int_equal(p11s_wrap_parse(value, len, &w, NULL), P11S_OK);
      assert_string_equal(w.zone, odd_zones[i]);
      assert_int_equal(w.id, 0);
      assert_null(w.reference);
      assert_string_equal(w.message, messages[j]);
      p11s_wrapped_clear(&w);
      p11s_buf_clear(&content);
    }
}

/* A reference that cannot be written makes no content, rather than half of one. */
static void unprintable_reference_fails(void **state)
{
  struct p11s_keyref *key = rig_ref("bad\nlabel", NULL);
  struct p11s_buf content = P11S_BUF_INIT;

  (void)state;
  p11s_wrap_key("example.org.", 1, identity, key, &content);
  assert_true(content.failed);
  p11s_buf_clear(&content);
  p11s_keyref_free(key);
}

#define HEX "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

static void assert_refused(const void *value, size_t len)
{
  struct p11s_wrapped w;
  struct p11s_error e = {0};

  memset(&w, 0x5a, sizeof w);
  assert_int_equal(p11s_wrap_parse(value, len, &w, &e), P11S_ERR_SYNTAX);
  assert_int_equal(e.code, P11S_ERR_SYNTAX);
  assert_int_equal(((unsigned char *)&w)[0], 0x5a); /* not touched */
}

static void garbage_is_refused(void **state)
{
  static const char *const garbage[] = {
      "\n",
      "zone",
      "zone\n1",
      "zone\n1\n",
      "zone\n1\n-",
      "zone\n1\n\nreference",
      "zone\n1\n--\nreference",
      "zone\n\n" HEX "\nreference",
      "zone\n-1\n" HEX "\nreference",
      "zone\n 1\n" HEX "\nreference",
      "zone\n1x\n" HEX "\nreference",
      "zone\n0x1\n" HEX "\nreference",
      "zone\n4294967296\n" HEX "\nreference",
      "zone\n99999999999999999999999\n-\nmessage",
      "\n1\n" HEX "\nreference",
      "zone\n1\n" HEX "0\nreference",
      "zone\n1\n" HEX "00\nreference",
      "zone\n1\n+0" HEX "\nreference",
      "zone\n1\n+00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f0\nreference",
      "zone\n1\n 0-102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1ff\nreference",
      "zone\n1\n0g0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\nreference",
  };

  (void)state;
  assert_refused("", 0);
  assert_refused(NULL, 0);
  for (size_t i = 0; i < sizeof garbage / sizeof garbage[0]; i++)
    assert_refused(garbage[i], strlen(garbage[i]));
}

/* Cut anywhere, or with a NUL anywhere, it is refused or still the same as far as it goes. */
static void cut_and_nul(void **state)
{
  static const char good[] = "zone.\n17\n" HEX "\nLabel: x\n";
  const size_t fixed = strlen("zone.\n17\n" HEX "\n");
  struct p11s_wrapped w;

  (void)state;
  for (size_t len = 0; len < sizeof good - 1; len++) {
    char *value = malloc(len + 1); /* for AddressSanitizer: no byte more than that */

    memcpy(value, good, len);
    if (len < fixed) {
      assert_refused(value, len);
    } else {
      assert_int_equal(p11s_wrap_parse(value, len, &w, NULL), P11S_OK);
      assert_int_equal(strlen(w.reference), len - fixed);
      p11s_wrapped_clear(&w);
    }
    free(value);
  }
  for (size_t at = 0; at < sizeof good - 1; at++) {
    char value[sizeof good];

    memcpy(value, good, sizeof good);
    value[at] = '\0';
    assert_refused(value, sizeof good - 1);
  }
}

/* Every single-byte change: refused, or three parts that fit together. */
static void any_byte_changed(void **state)
{
  static const char good[] = "z.\n17\n" HEX "\nLabel: x\n";

  (void)state;
  for (size_t at = 0; at < sizeof good - 1; at++)
    for (int c = 0; c < 256; c++) {
      struct p11s_wrapped w;
      char value[sizeof good];

      memcpy(value, good, sizeof good);
      value[at] = (char)c;
      if (p11s_wrap_parse(value, sizeof good - 1, &w, NULL) != P11S_OK)
        continue;
      assert_non_null(w.zone);
      assert_true((w.reference != NULL) != (w.message != NULL));
      p11s_wrapped_clear(&w);
    }
}

int main(void)
{
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test(key_goes_there_and_back),
      cmocka_unit_test(message_goes_there_and_back),
      cmocka_unit_test(unprintable_reference_fails),
      cmocka_unit_test(garbage_is_refused),
      cmocka_unit_test(cut_and_nul),
      cmocka_unit_test(any_byte_changed),
  };

  return cmocka_run_group_tests_name("wrap", tests, setup, NULL);
}

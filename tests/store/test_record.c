/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Records of the signature store: formatted and parsed, and what is none of ours. */
#include "rig/rig.h"
#include "store/record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NOW 1800000000u

static const unsigned char key[P11S_RECORD_KEY_LEN] = {1, 2, 3};

static size_t make(unsigned char *value)
{
  const struct p11s_store_record record = {
      key, (const unsigned char *)"message", 7, (const unsigned char *)"signature", 9, NOW, 3};

  p11s_record_format(&record, value);
  return p11s_record_size(7, 9);
}

static void formatted_and_parsed(void **state)
{
  struct p11s_store_record record;
  unsigned char value[64];
  size_t len = make(value);

  (void)state;
  assert_true(p11s_record_parse(key, sizeof key, value, len, &record));
  assert_ptr_equal(record.key_id, key);
  assert_int_equal(record.message_len, 7);
  assert_memory_equal(record.message, "message", 7);
  assert_int_equal(record.signature_len, 9);
  assert_memory_equal(record.signature, "signature", 9);
  assert_int_equal(record.last_used, NOW);
  assert_int_equal(record.days_used, 3);
}

/* In a block of its exact size, so that a sanitizer sees what is read beyond it. */
static void nothing_is_read_beyond_the_end(void **state)
{
  struct p11s_store_record record;
  unsigned char value[64];
  size_t len = make(value);

  (void)state;
  for (size_t i = 0; i < len; i++) {
    unsigned char *cut = malloc(i + 1);

    assert_non_null(cut);
    memcpy(cut, value, i);
    assert_false(p11s_record_parse(key, sizeof key, cut, i, &record));
    free(cut);
  }
  assert_false(p11s_record_parse(key, sizeof key - 1, value, len, &record));
  assert_false(p11s_record_parse(key, sizeof key, value, len + 1, &record));
}

static bool is_taken(size_t message_len, size_t signature_len)
{
  unsigned char *value = calloc(2, p11s_record_size(message_len, signature_len));
  struct p11s_store_record record = {.message_len = message_len, .signature_len = signature_len};
  bool result;

  assert_non_null(value);
  record.message = record.signature = value + p11s_record_size(message_len, signature_len);
  p11s_record_format(&record, value);
  result = p11s_record_parse(key, sizeof key, value, p11s_record_size(message_len, signature_len),
                             &record);
  free(value);
  return result;
}

static void lengths_have_limits(void **state)
{
  (void)state;
  assert_true(is_taken(0, 1));
  assert_false(is_taken(0, 0));
  assert_true(is_taken(7, P11S_STORE_MAX_SIGNATURE));
  assert_false(is_taken(7, P11S_STORE_MAX_SIGNATURE + 1));
  assert_true(is_taken(P11S_STORE_MAX_MESSAGE, 64));
  assert_false(is_taken(P11S_STORE_MAX_MESSAGE + 1, 64));
}

static void other_formats_are_refused(void **state)
{
  static const size_t fixed[] = {0, 1, 2, 3, 12, 13, 14, 15};
  struct p11s_store_record record;
  unsigned char value[64];
  size_t len = make(value);

  (void)state;
  for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++) {
    value[fixed[i]] ^= 0x40;
    assert_false(p11s_record_parse(key, sizeof key, value, len, &record));
    value[fixed[i]] ^= 0x40;
  }
  assert_true(p11s_record_parse(key, sizeof key, value, len, &record));
}

static void expiration_is_the_rrsig_s(void **state)
{
  unsigned char message[24] = {0};
  struct p11s_store_record record = {.message = message, .message_len = sizeof message};

  (void)state;
  message[8] = 0x6b; /* 0x6b49d200 = 1800000000 */
  message[9] = 0x49;
  message[10] = 0xd2;
  assert_false(p11s_record_is_expired(&record, NOW));
  assert_true(p11s_record_is_expired(&record, NOW + 1));
  assert_false(p11s_record_is_expired(&record, NOW - 1));
  assert_false(p11s_record_is_expired(&record, NOW + 0x80000001u)); /* RFC 1982 */
  record.message_len = 18;                                          /* no RRSIG */
  assert_false(p11s_record_is_expired(&record, NOW + 1));
}

static void a_use_is_noted_once_a_day(void **state)
{
  struct p11s_store_record record = {.last_used = NOW, .days_used = 1};

  (void)state;
  assert_false(p11s_record_is_stale(&record, NOW));
  assert_false(p11s_record_is_stale(&record, NOW + 86399));
  assert_true(p11s_record_is_stale(&record, NOW + 86400));
  assert_true(p11s_record_is_stale(&record, NOW - 1)); /* the clock was ahead */
  record.days_used = 0;                                /* signed ahead: the first use counts */
  assert_true(p11s_record_is_stale(&record, NOW));
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(formatted_and_parsed),      cmocka_unit_test(nothing_is_read_beyond_the_end),
      cmocka_unit_test(lengths_have_limits),       cmocka_unit_test(other_formats_are_refused),
      cmocka_unit_test(expiration_is_the_rrsig_s), cmocka_unit_test(a_use_is_noted_once_a_day),
  };

  rig_watchdog();
  return cmocka_run_group_tests(tests, NULL, NULL);
}

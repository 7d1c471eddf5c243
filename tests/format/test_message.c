/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What PowerDNS has signed, and its weeks. */
#include "rig/rig.h"
#include "format/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* As PowerDNS 4.7.3's getMessageForRRSET() makes it for www.example.org A 192.0.2.1, TTL 3600, in
   the week that began on 2026-11-26 (1795651200). */
static const unsigned char a_message[] =
    "\x00\x01\x0d\x03\x00\x00\x0e\x10\x6b\x19\xeb\x80\x6a\xfe\x3c\x00\x12\x34"
    "\7example\3org\0"
    "\3www\7example\3org\0\x00\x01\x00\x01\x00\x00\x0e\x10\x00\x04\xc0\x00\x02\x01";
#define A_LEN (sizeof a_message - 1)
#define WEEK 1795651200u

static const unsigned char soa_rdata[] = "\2ns\7example\3org\0\4host\7example\3org\0"
                                         "\x78\xa4\x1f\x01\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0\4";

static void parsed(void **state)
{
  struct p11s_message m;
  uint32_t week;

  (void)state;
  assert_true(p11s_message_parse(a_message, A_LEN, &m));
  assert_int_equal(m.type, 1);
  assert_int_equal(m.algorithm, 13);
  assert_int_equal(m.labels, 3);
  assert_int_equal(m.ttl, 3600);
  assert_int_equal(m.tag, 0x1234);
  assert_int_equal(m.signer_len, 13);
  assert_memory_equal(m.signer, "\7example\3org", 13);
  assert_int_equal(m.owner_len, 17);
  assert_memory_equal(m.owner, "\3www\7example\3org", 17);
  assert_int_equal(m.rdata_len, 4);
  assert_memory_equal(m.rdata, "\xc0\x00\x02\x01", 4);
  assert_true(p11s_message_week(&m, &week, NULL));
  assert_int_equal(week, WEEK);
}

static void nothing_is_read_beyond_the_end(void **state)
{
  const size_t without_records = 18 + 13;
  struct p11s_message m;

  (void)state;
  for (size_t i = 0; i <= A_LEN; i++) {
    unsigned char *cut = malloc(i + 1);

    assert_non_null(cut);
    memcpy(cut, a_message, i);
    assert_int_equal(p11s_message_parse(cut, i, &m), i == without_records || i == A_LEN);
    free(cut);
  }
  assert_true(p11s_message_parse(a_message, without_records, &m));
  assert_null(m.owner);
}

static void advanced_and_back(void **state)
{
  unsigned char message[A_LEN];
  struct p11s_message m;
  uint32_t week;

  (void)state;
  memcpy(message, a_message, A_LEN);
  for (int weeks = -8; weeks <= 8; weeks++) {
    p11s_message_advance(message, weeks);
    assert_true(p11s_message_parse(message, A_LEN, &m));
    assert_true(p11s_message_week(&m, &week, NULL));
    assert_int_equal(week, WEEK + (uint32_t)weeks * 604800u);
    assert_int_equal(m.expiration - m.inception, 3 * 604800);
    p11s_message_advance(message, -weeks);
    assert_memory_equal(message, a_message, A_LEN);
  }
}

/* 2106: RFC 1982. */
static void times_wrap(void **state)
{
  static const unsigned char expiration[] = {0xff, 0xff, 0xff, 0xf0};
  unsigned char message[A_LEN];
  struct p11s_message m;

  (void)state;
  memcpy(message, a_message, A_LEN);
  memcpy(message + 8, expiration, sizeof expiration);
  p11s_message_advance(message, 1);
  assert_true(p11s_message_parse(message, A_LEN, &m));
  assert_int_equal(m.expiration, 604800 - 16);
  assert_true(p11s_time_diff(m.expiration, 0xfffffff0u) > 0);
  assert_true(p11s_time_diff(0xfffffff0u, m.expiration) < 0);
  assert_int_equal(p11s_time_diff(5, 5), 0);
}

static void weeks_turn_on_thursday(void **state)
{
  (void)state;
  assert_int_equal(p11s_week_start(WEEK), WEEK);
  assert_int_equal(p11s_week_start(WEEK - 1), WEEK - 604800);
  assert_int_equal(p11s_week_start(WEEK + 604799), WEEK);
  assert_int_equal(WEEK % 86400, 0);
  assert_int_equal((WEEK / 86400 + 4) % 7, 4); /* 1970-01-01 was a Thursday */
}

/* rrsig-expiry-extend of PowerDNS 5.1.3: from nothing to a year. */
static void expirations_may_be_extended(void **state)
{
  static const uint32_t extensions[] = {0, 1, 3600, 604800, 31536000};
  unsigned char message[A_LEN];
  uint32_t week, extension;
  struct p11s_message m;

  (void)state;
  memcpy(message, a_message, A_LEN);
  for (size_t i = 0; i < sizeof extensions / sizeof extensions[0]; i++) {
    p11s_message_set_week(message, WEEK + 604800u, extensions[i]);
    assert_true(p11s_message_parse(message, A_LEN, &m));
    assert_int_equal(m.inception, WEEK);
    assert_int_equal(m.expiration, WEEK + 3 * 604800u + extensions[i]);
    assert_true(p11s_message_week(&m, &week, &extension));
    assert_int_equal(week, WEEK + 604800u);
    assert_int_equal(extension, extensions[i]);
  }
  p11s_message_set_week(message, WEEK, 0);
  assert_memory_equal(message, a_message, A_LEN);
}

/* No setting of any PowerDNS has it write these: nothing is known of when it asks again. */
static void other_times_are_no_week(void **state)
{
  static const struct {
    uint32_t expiration, inception;
  } times[] = {
      {WEEK + 2 * 604800u, WEEK - 604800u - 1},        /* inception: no week's */
      {WEEK + 2 * 604800u, WEEK - 604800u + 3600},     /* likewise */
      {WEEK + 2 * 604800u - 1, WEEK - 604800u},        /* too short */
      {WEEK + 2 * 604800u + 31536001, WEEK - 604800u}, /* too long */
      {WEEK - 604800u, WEEK + 2 * 604800u},            /* the wrong way round */
  };
  uint32_t week = 7, extension = 7;

  (void)state;
  for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
    const struct p11s_message m = {.expiration = times[i].expiration,
                                   .inception = times[i].inception};

    assert_false(p11s_message_week(&m, &week, &extension));
  }
  assert_int_equal(week, 7);
  assert_int_equal(extension, 7);
}

static void serials(void **state)
{
  struct p11s_message m = {
      .type = P11S_TYPE_SOA, .rdata = soa_rdata, .rdata_len = sizeof soa_rdata - 1};
  uint32_t serial = 7;

  (void)state;
  assert_true(p11s_message_serial(&m, &serial));
  assert_int_equal(serial, 0x78a41f01u);
  for (m.rdata_len = 0; m.rdata_len < sizeof soa_rdata - 1; m.rdata_len++)
    assert_false(p11s_message_serial(&m, &serial));
  m.type = 1;
  assert_false(p11s_message_serial(&m, &serial));
  assert_int_equal(serial, 0x78a41f01u);
}

static void serials_are_written(void **state)
{
  static const unsigned char head[] = "\7example\3org\0\0\x06\0\x01\0\0\x0e\x10\0";
  unsigned char message[31 + 13 + 10 + sizeof soa_rdata], before[sizeof message];
  size_t len = sizeof message - 1, at = 31 + 13 + 10 + sizeof soa_rdata - 1 - 20;
  struct p11s_message m;
  uint32_t serial;

  (void)state;
  memcpy(message, a_message, 31);
  message[1] = 6;
  memcpy(message + 31, head, sizeof head - 1);
  message[31 + 13 + 9] = sizeof soa_rdata - 1;
  memcpy(message + 31 + 13 + 10, soa_rdata, sizeof soa_rdata);
  memcpy(before, message, sizeof message);
  assert_true(p11s_message_set_serial(message, len, 0xfedcba98u));
  assert_true(p11s_message_parse(message, len, &m));
  assert_true(p11s_message_serial(&m, &serial));
  assert_int_equal(serial, 0xfedcba98u);
  assert_memory_equal(message, before, at);
  assert_memory_equal(message + at + 4, before + at + 4, len - at - 4);
  /* What is no SOA record stays as it is. */
  memcpy(before, message, sizeof message);
  assert_false(p11s_message_set_serial(message, len - 1, 1));
  message[1] = before[1] = 16;
  assert_false(p11s_message_set_serial(message, len, 1));
  assert_memory_equal(message, before, len);
}

static void expiration_alone(void **state)
{
  uint32_t expiration;

  (void)state;
  assert_true(p11s_message_expiration(a_message, 19, &expiration));
  assert_int_equal(expiration, WEEK + 2 * 604800u);
  assert_false(p11s_message_expiration(a_message, 18, &expiration));
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(parsed),
      cmocka_unit_test(nothing_is_read_beyond_the_end),
      cmocka_unit_test(advanced_and_back),
      cmocka_unit_test(times_wrap),
      cmocka_unit_test(weeks_turn_on_thursday),
      cmocka_unit_test(expirations_may_be_extended),
      cmocka_unit_test(other_times_are_no_week),
      cmocka_unit_test(serials),
      cmocka_unit_test(serials_are_written),
      cmocka_unit_test(expiration_alone),
  };

  rig_watchdog();
  return cmocka_run_group_tests(tests, NULL, NULL);
}

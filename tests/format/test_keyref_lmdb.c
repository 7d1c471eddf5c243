/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "format/keyref_lmdb.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define HEAD "Private-key-format: v1.2\n"
#define TAIL "Slot: dns\nPIN: 1234\nLabel: Engine: Algorithm: 13\nPublicKey: AwEAAQ==\n"
#define PLAIN HEAD "Algorithm: 13\nEngine: softhsm2\n" TAIL
#define STORED HEAD "Algorithm: 65549\nPkcs11signer-Engine: softhsm2\n" TAIL

static void assert_stored(const char *plain, const char *stored)
{
  struct p11s_buf out = P11S_BUF_INIT;

  p11s_keyref_lmdb_from_plain(plain, strlen(plain), &out);
  assert_false(out.failed);
  assert_string_equal(p11s_buf_text(&out), stored);
  assert_int_equal(out.len, strlen(stored));
  p11s_buf_wipe(&out);
}

static void assert_plain(const char *stored, const char *plain)
{
  struct p11s_buf out = P11S_BUF_INIT;

  assert_true(p11s_keyref_lmdb_to_plain(stored, strlen(stored), &out));
  assert_false(out.failed);
  assert_string_equal(p11s_buf_text(&out), plain);
  p11s_buf_wipe(&out);
}

static void assert_taken_as_it_is(const char *content)
{
  struct p11s_buf out = P11S_BUF_INIT;

  assert_false(p11s_keyref_lmdb_to_plain(content, strlen(content), &out));
  assert_int_equal(out.len, 0);
  p11s_buf_wipe(&out);
}

static void there_and_back(void **state)
{
  (void)state;
  assert_stored(PLAIN, STORED);
  assert_plain(STORED, PLAIN);
}

/* PowerDNS must find no line that begins with "Engine:". */
static void whatever_order_and_end(void **state)
{
  (void)state;
  assert_stored("Engine: a\nAlgorithm: 8", "Pkcs11signer-Engine: a\nAlgorithm: 65544");
  assert_plain("Pkcs11signer-Engine: a\nAlgorithm: 65544", "Engine: a\nAlgorithm: 8");
  assert_stored("Algorithm: 8\n\nEngine:\n", "Algorithm: 65544\n\nPkcs11signer-Engine:\n");
  assert_stored("engine: a\r\nalgorithm: 8", "Pkcs11signer-Engine: a\r\nAlgorithm: 65544");
}

/* The parser of references says what is wrong with them. */
static void numbers_that_are_none_stay(void **state)
{
  (void)state;
  assert_stored("Algorithm: 8 (RSASHA256)\n", "Algorithm: 8 (RSASHA256)\n");
  assert_stored("Algorithm: x\n", "Algorithm: x\n");
  assert_stored("Algorithm:\n", "Algorithm:\n");
  assert_stored("Algorithm: 1234567\n", "Algorithm: 1234567\n");
  assert_plain("Algorithm: 8\nPkcs11signer-Engine: a\n", "Algorithm: 8\nEngine: a\n");
}

static void what_is_in_no_such_form(void **state)
{
  (void)state;
  assert_taken_as_it_is("");
  assert_taken_as_it_is(PLAIN);
  assert_taken_as_it_is("Algorithm: 65549\nEngine: a\n");
  assert_taken_as_it_is("Algorithm: 13\nPrivateKey: AwEAAQ==\n");
  assert_taken_as_it_is("Label: Pkcs11signer-Engine: x\n");
  assert_taken_as_it_is("Pkcs11signer-Engine");
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(there_and_back),
      cmocka_unit_test(whatever_order_and_end),
      cmocka_unit_test(numbers_that_are_none_stay),
      cmocka_unit_test(what_is_in_no_such_form),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}

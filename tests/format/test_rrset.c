/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names of RRsets for people. */
#include "rig/message_rig.h"
#include "format/rrset.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void assert_named(unsigned type, const char *expected)
{
  struct message_rig what = {"example.org", "*.\\.x.example.org", type, MESSAGE_RIG_WEEK, "\0", 1};
  unsigned char message[MESSAGE_RIG_MAX];
  size_t len = message_rig_make(&what, message);
  struct p11s_buf out = P11S_BUF_INIT;

  assert_true(p11s_rrset_format(message, len, &out));
  assert_string_equal(p11s_buf_text(&out), expected);
  p11s_buf_clear(&out);
}

static void of_messages(void **state)
{
  (void)state;
  assert_named(16, "RRset *.\\.x.example.org. TXT");
  assert_named(257, "RRset *.\\.x.example.org. CAA");
  assert_named(65280, "RRset *.\\.x.example.org. TYPE65280");
}

static void of_what_is_no_message(void **state)
{
  unsigned char message[MESSAGE_RIG_MAX];
  size_t len = message_rig_a("example.org", "example.org", 1, MESSAGE_RIG_WEEK, message);
  struct p11s_buf out = P11S_BUF_INIT;

  (void)state;
  assert_false(p11s_rrset_format(message, len - 1, &out));
  assert_false(p11s_rrset_format(message, 0, &out));
  assert_false(
      p11s_rrset_format((const unsigned char *)"pkcs11signer: is this the key?", 30, &out));
  assert_int_equal(out.len, 0);
}

int main(void)
{
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test(of_messages),
      cmocka_unit_test(of_what_is_no_message),
  };

  return cmocka_run_group_tests_name("rrset", tests, NULL, NULL);
}

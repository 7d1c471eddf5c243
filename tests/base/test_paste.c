/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/paste.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static int reset(void **state)
{
  (void)state;
  p11s_paste_set_configuration("", "");
  return 0;
}

static void assert_pasted(const char *expected)
{
  struct p11s_buf out = P11S_BUF_INIT;

  p11s_paste(&out, "pkcs11signer", "check", NULL);
  assert_string_equal(p11s_buf_text(&out), expected);
  p11s_buf_clear(&out);
}

static void options_as_far_as_needed(void **state)
{
  (void)state;
  assert_pasted("pkcs11signer check");
  p11s_paste_set_configuration("/etc/powerdns", "");
  assert_pasted("pkcs11signer check");
  p11s_paste_set_configuration("/etc/powerdns", "other");
  assert_pasted("pkcs11signer --config-name=other check");
  p11s_paste_set_configuration("/srv/two words", "it's");
  assert_pasted("pkcs11signer --config-dir='/srv/two words' --config-name='it'\\''s' check");
  p11s_paste_set_configuration("/srv/x", "");
  assert_pasted("pkcs11signer --config-dir=/srv/x check");
}

/* A shell gives the program the very words. */
static void any_words(void **state)
{
  static const char *const odd[] = {"",  "a b",  "it's $HOME `x`", "\"\\\\;#*",
                                    "~", "a\nb", "-x ?[a] {",      "\303\244=!"};

  (void)state;
  p11s_paste_set_configuration("/srv/$HOME *", "");
  for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
    struct p11s_buf line = P11S_BUF_INIT;
    char said[256], expected[256];
    FILE *out;

    p11s_buf_addstr(&line, "pkcs11signer() { printf '%s|' \"$@\"; }\n");
    p11s_paste(&line, "pkcs11signer", "keys", odd[i], "last", NULL);
    out = popen(p11s_buf_text(&line), "r"); // NOLINT(cert-env33-c): a shell is what is tested
    assert_non_null(out);
    said[fread(said, 1, sizeof said - 1, out)] = '\0';
    assert_int_equal(pclose(out), 0);
    (void)snprintf(expected, sizeof expected, "--config-dir=/srv/$HOME *|keys|%s|last|", odd[i]);
    assert_string_equal(said, expected);
    p11s_buf_clear(&line);
  }
}

int main(void)
{
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test_teardown(options_as_far_as_needed, reset),
      cmocka_unit_test_teardown(any_words, reset),
  };

  return cmocka_run_group_tests_name("paste", tests, NULL, NULL);
}

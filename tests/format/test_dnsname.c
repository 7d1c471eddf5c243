/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Domain names: text and wire format, and what is none. */
#include "format/dnsname.h"
#include "rig/rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void assert_wire(const char *text, const char *wire, size_t len)
{
  unsigned char name[P11S_DNSNAME_MAX];
  size_t got = 0;

  if (!p11s_dnsname_parse(text, name, &got))
    fail_msg("%s is refused", text);
  assert_int_equal(got, len);
  assert_memory_equal(name, wire, len);
  assert_int_equal(p11s_dnsname_length(name, got), len);
}

static void text_becomes_wire(void **state)
{
  (void)state;
  assert_wire(".", "\0", 1);
  assert_wire("", "\0", 1);
  assert_wire("example.org", "\7example\3org\0", 13);
  assert_wire("Example.ORG.", "\7example\3org\0", 13);
  assert_wire("a\\.b.c", "\3a.b\1c\0", 7);
  assert_wire("\\000\\255.\\\\", "\2\0\377\1\\\0", 6);
  assert_wire("*._tcp", "\1*\4_tcp\0", 8);
}

static void what_is_no_name(void **state)
{
  static const char *const bad[] = {"..", ".a", "a..b", "a\\256", "\\", "a.b\\", NULL};
  unsigned char name[P11S_DNSNAME_MAX];
  char text[300];
  size_t len = 7;

  (void)state;
  for (size_t i = 0; bad[i] != NULL; i++)
    if (p11s_dnsname_parse(bad[i], name, &len))
      fail_msg("%s is taken", bad[i]);
  assert_int_equal(len, 7);
  memset(text, 'a', sizeof text);
  text[63] = '\0';
  assert_true(p11s_dnsname_parse(text, name, &len));
  text[63] = 'a';
  text[64] = '\0';
  assert_false(p11s_dnsname_parse(text, name, &len));
  text[64] = 'a';
  for (size_t i = 63; i < sizeof text; i += 64)
    text[i] = '.';
  text[253] = '\0'; /* 3 * 64 + 62 + 1 = 255 bytes of wire */
  assert_true(p11s_dnsname_parse(text, name, &len));
  assert_int_equal(len, 255);
  text[253] = 'a';
  text[254] = '\0';
  assert_false(p11s_dnsname_parse(text, name, &len));
}

static void wire_becomes_text(void **state)
{
  static const struct {
    const char *wire;
    const char *text;
  } names[] = {{"\0", "."},
               {"\7example\3org\0", "example.org."},
               {"\3a.b\1c\0", "a\\.b.c."},
               {"\4it's\1$\0", "it's.$."},
               {"\3\n\\ \0", "\\010\\\\\\032."}};
  struct p11s_buf out = P11S_BUF_INIT;

  (void)state;
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    p11s_dnsname_format((const unsigned char *)names[i].wire, &out);
    assert_string_equal(p11s_buf_text(&out), names[i].text);
    p11s_buf_clear(&out);
  }
}

/* In blocks of their exact size, so that a sanitizer sees what is read beyond them. */
static void length_stays_within(void **state)
{
  static const unsigned char name[] = "\7example\3org";

  (void)state;
  for (size_t i = 0; i <= sizeof name; i++) {
    unsigned char *cut = malloc(i + 1);

    assert_non_null(cut);
    memcpy(cut, name, i < sizeof name ? i : sizeof name);
    assert_int_equal(p11s_dnsname_length(cut, i), i < sizeof name ? 0 : sizeof name);
    free(cut);
  }
  assert_int_equal(p11s_dnsname_length((const unsigned char *)"\300\14", 2), 0); /* a pointer */
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(text_becomes_wire),
      cmocka_unit_test(what_is_no_name),
      cmocka_unit_test(wire_becomes_text),
      cmocka_unit_test(length_stays_within),
  };

  rig_watchdog();
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pinguard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define REMEMBERED 64

static bool has(struct p11s_pinguard *r, const char *serial, const char *pin)
{
  struct p11s_secret *s = p11s_secret_new(pin, strlen(pin));
  bool result = p11s_pinguard_has(r, serial, s);

  p11s_secret_release(s);
  return result;
}

static void add(struct p11s_pinguard *r, const char *serial, const char *pin)
{
  struct p11s_secret *s = p11s_secret_new(pin, strlen(pin));

  p11s_pinguard_add(r, serial, s);
  p11s_secret_release(s);
}

static void remembers_pin_and_token(void **state)
{
  struct p11s_pinguard *r = p11s_pinguard_new();

  (void)state;
  assert_non_null(r);
  assert_false(has(r, "a1", "1234"));
  add(r, "a1", "1234");
  assert_true(has(r, "a1", "1234"));
  assert_false(has(r, "a1", "12345"));
  assert_false(has(r, "a1", "123"));
  assert_false(has(r, "a2", "1234"));
  assert_false(has(r, "", "1234"));
  p11s_pinguard_free(r);
  p11s_pinguard_free(NULL);
}

static void serial_ends_where_it_ends(void **state)
{
  struct p11s_pinguard *r = p11s_pinguard_new();

  (void)state;
  add(r, "ab", "c123");
  assert_false(has(r, "a", "bc123"));
  assert_false(has(r, "abc", "123"));
  add(r, "", "c123");
  assert_true(has(r, "", "c123"));
  p11s_pinguard_free(r);
}

static void no_pin_is_one_too(void **state)
{
  struct p11s_pinguard *r = p11s_pinguard_new();

  (void)state;
  assert_false(p11s_pinguard_has(r, "a1", NULL));
  p11s_pinguard_add(r, "a1", NULL);
  assert_true(p11s_pinguard_has(r, "a1", NULL));
  assert_true(has(r, "a1", ""));
  assert_false(has(r, "a1", "1"));
  p11s_pinguard_free(r);
}

/* A literal PIN in the table may be of any length and hold any byte. */
static void pins_of_any_length(void **state)
{
  static const size_t lengths[] = {1, 31, 32, 33, 255, 1023, 1024, 1025, 5000, 60000};
  struct p11s_pinguard *r = p11s_pinguard_new();
  static unsigned char pin[60000];

  (void)state;
  memset(pin, 'x', sizeof pin);
  pin[0] = '\0';
  for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
    struct p11s_secret *s = p11s_secret_new(pin, lengths[i]);

    assert_false(p11s_pinguard_has(r, "a1", s));
    p11s_pinguard_add(r, "a1", s);
    assert_true(p11s_pinguard_has(r, "a1", s));
    p11s_secret_release(s);
  }
  p11s_pinguard_free(r);
}

static void forgets_the_oldest(void **state)
{
  struct p11s_pinguard *r = p11s_pinguard_new();
  char pin[16];

  (void)state;
  for (int i = 0; i < REMEMBERED + 2; i++) {
    (void)snprintf(pin, sizeof pin, "%d", i);
    add(r, "a1", pin);
  }
  for (int i = 0; i < REMEMBERED + 2; i++) {
    (void)snprintf(pin, sizeof pin, "%d", i);
    assert_int_equal(has(r, "a1", pin), i >= 2);
  }
  p11s_pinguard_free(r);
}

static enum p11s_pin_proof proof(struct p11s_pinguard *r, const char *serial, const char *pin)
{
  struct p11s_secret *s = p11s_secret_new(pin, strlen(pin));
  enum p11s_pin_proof result = p11s_pinguard_proof(r, serial, s);

  p11s_secret_release(s);
  return result;
}

static void take(struct p11s_pinguard *r, const char *serial, const char *pin)
{
  struct p11s_secret *s = p11s_secret_new(pin, strlen(pin));

  p11s_pinguard_accept(r, serial, s);
  p11s_secret_release(s);
}

static void knows_the_accepted_pin(void **state)
{
  struct p11s_pinguard *r = p11s_pinguard_new();

  (void)state;
  add(r, "a1", "9999");
  assert_int_equal(proof(r, "a1", "1234"), P11S_PIN_UNKNOWN);
  take(r, "a1", "1234");
  assert_int_equal(proof(r, "a1", "1234"), P11S_PIN_PROVEN);
  assert_int_equal(proof(r, "a1", "12345"), P11S_PIN_OTHER);
  assert_int_equal(proof(r, "a1", ""), P11S_PIN_OTHER);
  assert_int_equal(proof(r, "a2", "1234"), P11S_PIN_UNKNOWN);
  take(r, "a2", "5678"); /* each token has its own */
  assert_int_equal(proof(r, "a1", "1234"), P11S_PIN_PROVEN);
  assert_int_equal(proof(r, "a2", "5678"), P11S_PIN_PROVEN);
  assert_int_equal(proof(r, "a2", "1234"), P11S_PIN_OTHER);
  take(r, "a1", "4321"); /* it was changed */
  assert_int_equal(proof(r, "a1", "4321"), P11S_PIN_PROVEN);
  assert_int_equal(proof(r, "a1", "1234"), P11S_PIN_OTHER);
  assert_false(has(r, "a1", "1234")); /* OTHER is not refused: it was not tried */
  p11s_pinguard_free(r);
}

static void processes_do_not_share(void **state)
{
  struct p11s_pinguard *a = p11s_pinguard_new(), *b = p11s_pinguard_new();

  (void)state;
  add(a, "a1", "1234");
  assert_false(has(b, "a1", "1234"));
  p11s_pinguard_free(a);
  p11s_pinguard_free(b);
}

int main(void)
{
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test(remembers_pin_and_token), cmocka_unit_test(serial_ends_where_it_ends),
      cmocka_unit_test(no_pin_is_one_too),       cmocka_unit_test(pins_of_any_length),
      cmocka_unit_test(forgets_the_oldest),      cmocka_unit_test(processes_do_not_share),
      cmocka_unit_test(knows_the_accepted_pin),
  };

  return cmocka_run_group_tests_name("pinguard", tests, NULL, NULL);
}

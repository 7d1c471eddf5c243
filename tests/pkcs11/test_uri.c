/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pkcs11/uri.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void assert_refused(const char *text, const char *said)
{
  P11KitUri *uri = NULL;
  struct p11s_error e;

  assert_int_equal(p11s_uri_parse(text, &uri, &e), P11S_ERR_SYNTAX);
  assert_null(uri);
  if (strstr(e.text, said) == NULL)
    fail_msg("\"%s\" does not say \"%s\"", e.text, said);
  assert_null(strstr(e.text, "7351"));
}

static void what_is_a_uri(void **state)
{
  (void)state;
  assert_true(p11s_uri_is("pkcs11:token=a"));
  assert_true(p11s_uri_is("PKCS11:"));
  assert_false(p11s_uri_is("pkcs11"));
  assert_false(p11s_uri_is(" pkcs11:token=a"));
  assert_false(p11s_uri_is(""));
}

/* However it is written; nor is it shown. */
static void a_pin_is_refused(void **state)
{
  static const char *const pins[] = {
      "pkcs11:token=a?pin-value=7351",
      "pkcs11:token=a?PIN-VALUE=7351",
      "pkcs11:token=a?pin-source=7351",
      "pkcs11:token=a;pinfile=7351",
      "pkcs11:x-pin=7351",
      "pkcs11:token=a?module-name=b&pin-value=7351",
  };

  (void)state;
  for (size_t i = 0; i < sizeof pins / sizeof pins[0]; i++)
    assert_refused(pins[i], "URI with a PIN in it");
  assert_refused("pkcs11:token=a?%70in-value=7351", "not of the form");
  assert_refused("pkcs11:token=a? pin-value=7351", "blank");
  assert_refused("pkcs11:token=a?\npin-value=7351", "blank");
}

static void what_cannot_be_read_is_refused(void **state)
{
  (void)state;
  assert_refused("token=a", "not a pkcs11: URI");
  assert_refused("pkcs11:", "not of the form");
  assert_refused("pkcs11:token", "not of the form");
  assert_refused("pkcs11:=a", "not of the form");
  assert_refused("pkcs11:token=a;;object=b", "not of the form");
  assert_refused("pkcs11:token=a;", "not of the form");
  assert_refused("pkcs11:token=%zz", "URI 'pkcs11:token=%zz': ");
  assert_refused("pkcs11:colour=blue", "unknown here");
}

static bool names_token(const char *text)
{
  P11KitUri *uri = NULL;
  struct p11s_error e;
  bool result;

  if (p11s_uri_parse(text, &uri, &e) != P11S_OK)
    fail_msg("%s", e.text);
  result = p11s_uri_names_token(uri);
  p11_kit_uri_free(uri);
  return result;
}

static void any_attribute_of_token_or_slot_names_a_token(void **state)
{
  (void)state;
  assert_true(names_token("pkcs11:token=a"));
  assert_true(names_token("pkcs11:serial=1"));
  assert_true(names_token("pkcs11:manufacturer=a"));
  assert_true(names_token("pkcs11:model=a"));
  assert_true(names_token("pkcs11:slot-id=0"));
  assert_true(names_token("pkcs11:slot-description=a"));
  assert_true(names_token("pkcs11:slot-manufacturer=a;object=b"));
  assert_false(names_token("pkcs11:object=a;id=%01"));
}

static void assert_name(const char *text, CK_OBJECT_CLASS class, const char *label, const char *id)
{
  struct p11s_object_name name;
  struct p11s_error e;
  CK_ULONG n = 0;

  if (p11s_object_name_parse(text, class, &name, &e) != P11S_OK)
    fail_msg("%s", e.text);
  if (label != NULL) {
    assert_int_equal(name.attrs[n].type, CKA_LABEL);
    assert_int_equal(name.attrs[n].ulValueLen, strlen(label));
    assert_memory_equal(name.attrs[n++].pValue, label, strlen(label));
  }
  if (id != NULL) {
    assert_int_equal(name.attrs[n].type, CKA_ID);
    assert_int_equal(name.attrs[n].ulValueLen, strlen(id));
    assert_memory_equal(name.attrs[n++].pValue, id, strlen(id));
  }
  assert_int_equal(name.count, n);
  p11s_object_name_clear(&name);
  assert_int_equal(name.count, 0);
}

static void names_of_keys(void **state)
{
  (void)state;
  assert_name("a key", CKO_PRIVATE_KEY, "a key", NULL);
  assert_name("pkcs11:object=a%20key", CKO_PRIVATE_KEY, "a key", NULL);
  assert_name("pkcs11:id=%ab%01", CKO_PRIVATE_KEY, NULL, "\xab\x01");
  assert_name("pkcs11:id=%ab;object=a;token=b", CKO_PUBLIC_KEY, "a", "\xab");
  assert_name("pkcs11:object=a;type=private", CKO_PRIVATE_KEY, "a", NULL);
  assert_name("pkcs11:object=a;type=public", CKO_PUBLIC_KEY, "a", NULL);
}

static void what_names_no_key(void **state)
{
  static const struct {
    const char *text;
    CK_OBJECT_CLASS class;
    const char *said;
  } wrong[] = {
      {"", CKO_PRIVATE_KEY, "label is empty"},
      {"pkcs11:token=a", CKO_PRIVATE_KEY, "needs object= or id="},
      {"pkcs11:object=", CKO_PRIVATE_KEY, "needs object= or id="},
      {"pkcs11:object=a;type=public", CKO_PRIVATE_KEY, "not one of a private key"},
      {"pkcs11:object=a;type=cert", CKO_PUBLIC_KEY, "not one of a public key"},
      {"pkcs11:object=a?pin-value=7351", CKO_PUBLIC_KEY, "URI with a PIN in it"},
  };

  (void)state;
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    struct p11s_object_name name = {.count = 7};
    struct p11s_error e;

    assert_int_equal(p11s_object_name_parse(wrong[i].text, wrong[i].class, &name, &e),
                     P11S_ERR_SYNTAX);
    assert_int_equal(name.count, 7);
    if (strstr(e.text, wrong[i].said) == NULL)
      fail_msg("\"%s\" does not say \"%s\"", e.text, wrong[i].said);
  }
}

static void values_are_escaped(void **state)
{
  struct p11s_buf out = P11S_BUF_INIT;

  (void)state;
  p11s_uri_add_value(&out, "aZ09-._~ ;%\xc3\xbc\0", 14);
  assert_string_equal(p11s_buf_text(&out), "aZ09-._~%20%3B%25%C3%BC%00");
  p11s_buf_clear(&out);
}

int main(void)
{
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_is_a_uri),
      cmocka_unit_test(a_pin_is_refused),
      cmocka_unit_test(what_cannot_be_read_is_refused),
      cmocka_unit_test(any_attribute_of_token_or_slot_names_a_token),
      cmocka_unit_test(names_of_keys),
      cmocka_unit_test(what_names_no_key),
      cmocka_unit_test(values_are_escaped),
  };

  return cmocka_run_group_tests_name("uri", tests, NULL, NULL);
}

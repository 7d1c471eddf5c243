/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Private keys on a token, by what references call them. */
#include "rig/object_rig.h"
#include "rig/softhsm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define LONG_LABEL "exactly thirty-two bytes, no NUL"
#define UTF8_LABEL "schl\xc3\xbcssel \xe2\x84\x96 1"

/* --- private keys ---------------------------------------------------------- */

static struct p11s_handles all_found(unsigned number, const char *label)
{
  struct p11s_handles keys;
  struct p11s_error e;

  if (p11s_object_find_privates(SESSION_OF(object_module, object_session),
                                p11s_algorithm_find(number), label, &keys, &e) != P11S_OK)
    fail_msg("%s", e.text);
  return keys;
}

static CK_OBJECT_HANDLE found(unsigned number, const char *label)
{
  struct p11s_handles keys = all_found(number, label);
  CK_OBJECT_HANDLE key = keys.list[0];

  assert_int_equal(keys.count, 1);
  p11s_handles_clear(&keys);
  return key;
}

static void assert_found(unsigned number, const char *label, size_t count)
{
  struct p11s_handles keys = all_found(number, label);

  assert_int_equal(keys.count, count);
  p11s_handles_clear(&keys);
}

static struct p11s_error not_found(unsigned number, const char *label, enum p11s_err code)
{
  struct p11s_handles keys = {NULL, 4711};
  struct p11s_error e = {0};

  assert_int_equal(p11s_object_find_privates(SESSION_OF(object_module, object_session),
                                             p11s_algorithm_find(number), label, &keys, &e),
                   code);
  assert_int_equal(e.code, code);
  assert_int_equal(keys.count, 4711);
  assert_int_equal(p11s_object_find_privates(SESSION_OF(object_module, object_session),
                                             p11s_algorithm_find(number), label, &keys, NULL),
                   code);
  return e;
}

static void private_by_label(void **state)
{
  struct test_pair a = object_pair(13, "two words", "A", NULL);
  struct test_pair b = object_pair(13, UTF8_LABEL, "B", NULL);
  struct test_pair c = object_pair(13, LONG_LABEL, "C", NULL);

  (void)state;
  assert_int_equal(found(13, "two words"), a.private_key);
  assert_int_equal(found(13, UTF8_LABEL), b.private_key);
  assert_int_equal(found(13, LONG_LABEL), c.private_key);
  (void)not_found(13, "two word", P11S_ERR_NO_KEY);
  (void)not_found(13, "two words ", P11S_ERR_NO_KEY);
  (void)not_found(13, "Two Words", P11S_ERR_NO_KEY);
  (void)not_found(13, "", P11S_ERR_SYNTAX);
}

static void private_by_uri(void **state)
{
  struct test_pair a = object_pair(13, "same", "A1", NULL);
  struct test_pair b = object_pair(13, "same", "B1", NULL);

  (void)state;
  assert_int_equal(found(13, "pkcs11:object=same;id=A1"), a.private_key);
  assert_int_equal(found(13, "pkcs11:object=same;id=%42%31"), b.private_key);
  assert_int_equal(found(13, "pkcs11:id=B1;type=private"), b.private_key);
  assert_int_equal(found(13, "pkcs11:token=token;id=A1"), a.private_key);
  assert_found(13, "pkcs11:object=same", 2);
  (void)not_found(13, "pkcs11:object=other;id=A1", P11S_ERR_NO_KEY);
  (void)not_found(13, "pkcs11:id=B1;type=public", P11S_ERR_SYNTAX);
  (void)not_found(13, "pkcs11:type=private", P11S_ERR_SYNTAX);
  (void)not_found(13, "pkcs11:object=", P11S_ERR_SYNTAX);
  (void)not_found(13, "pkcs11:token=token", P11S_ERR_SYNTAX);
  (void)not_found(13, "pkcs11:id=B1?pin-value=1234", P11S_ERR_SYNTAX);
}

/* The algorithm may tell them apart. */
static void private_keys_of_one_label(void **state)
{
  struct test_pair ed = object_pair(15, "same", "\x02", NULL);

  (void)state;
  (void)object_pair(13, "same", "\x01\xab", NULL);
  (void)object_pair(13, "same", "\x01\xab", NULL);
  assert_found(13, "same", 2);
  assert_int_equal(found(15, "same"), ed.private_key);
  (void)not_found(8, "same", P11S_ERR_KEY_TYPE);
}

/* What a listing shows as 'k' is found as k; what is k to the byte goes first. */
static void label_with_padding(void **state)
{
  struct test_pair a = object_pair(13, "k", "A", NULL), b = object_pair(13, "pad", "B", NULL);

  (void)state;
  object_set(a.private_key, CKA_LABEL, "k\0", 2);
  object_set(b.private_key, CKA_LABEL, "pad   ", 6);
  assert_int_equal(found(13, "k"), a.private_key);
  assert_int_equal(found(13, "pad"), b.private_key);
  assert_int_equal(found(13, "pad "), b.private_key);
  assert_int_equal(found(13, "pkcs11:object=k"), a.private_key);
  assert_int_equal(found(13, "pkcs11:object=k;id=A"), a.private_key);
  (void)not_found(13, "pkcs11:object=k;id=B", P11S_ERR_NO_KEY);
  (void)not_found(13, "pkcs11:id=C", P11S_ERR_NO_KEY);
  object_set(b.private_key, CKA_LABEL, "k\0junk", 6);
  assert_found(13, "k", 2);
  object_set(b.private_key, CKA_LABEL, "k", 1);
  assert_int_equal(found(13, "k"), b.private_key);
}

static void missing_key_names_the_others(void **state)
{
  struct p11s_error e = not_found(13, "gone", P11S_ERR_NO_KEY);
  char label[16];

  (void)state;
  assert_non_null(strstr(e.text, "it has: none"));
  for (int i = 0; i < 12; i++) {
    (void)snprintf(label, sizeof label, "key\n%02d", i);
    (void)object_pair(13, label, NULL, NULL);
  }
  e = not_found(13, "gone", P11S_ERR_NO_KEY);
  assert_non_null(strstr(e.text, "'gone'"));
  assert_non_null(strstr(e.text, "'key?0"));
  assert_non_null(strstr(e.text, "and 2 more"));
  assert_null(strchr(e.text, '\n'));
  (void)object_empty(NULL);
  (void)object_pair(13, "", "\x17", NULL);
  e = not_found(13, "gone", P11S_ERR_NO_KEY);
  assert_non_null(strstr(e.text, "id 17"));
}

static void private_key_of_another_type(void **state)
{
  struct p11s_error e;

  (void)state;
  (void)object_pair(8, "rsa", NULL, NULL);
  (void)object_pair(15, "ed", NULL, NULL);
  e = not_found(13, "rsa", P11S_ERR_KEY_TYPE);
  assert_non_null(strstr(e.text, "is of type RSA"));
  assert_non_null(strstr(e.text, "needs P-256"));
  (void)not_found(13, "ed", P11S_ERR_KEY_TYPE);
  (void)not_found(8, "ed", P11S_ERR_KEY_TYPE);
  /* One RSA key is any RSA algorithm's. */
  assert_int_equal(found(5, "rsa"), found(10, "rsa"));
}

/* Public keys are seen without login, private ones are not. */
static void not_logged_in(void **state)
{
  struct p11s_error e;

  (void)state;
  (void)object_pair(13, "hidden", NULL, NULL);
  assert_int_equal(object_module->C_Logout(object_session), CKR_OK);
  e = not_found(13, "hidden", P11S_ERR_NO_KEY);
  assert_non_null(strstr(e.text, "none"));
  assert_int_equal(object_module->C_Login(object_session, CKU_USER, (CK_UTF8CHAR *)USER_PIN,
                                          sizeof USER_PIN - 1),
                   CKR_OK);
}

int main(void)
{
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(private_by_label, object_empty),
      cmocka_unit_test_setup(private_by_uri, object_empty),
      cmocka_unit_test_setup(private_keys_of_one_label, object_empty),
      cmocka_unit_test_setup(label_with_padding, object_empty),
      cmocka_unit_test_setup(missing_key_names_the_others, object_empty),
      cmocka_unit_test_setup(private_key_of_another_type, object_empty),
      cmocka_unit_test_setup(not_logged_in, object_empty),
  };

  return cmocka_run_group_tests_name("object", tests, object_setup, object_teardown);
}

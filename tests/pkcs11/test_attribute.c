/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A token that is not to be trusted: what it says of lengths and numbers. */
#include "pkcs11/attribute.h"
#include "rig/object_rig.h"
#include "pkcs11/rv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* --- a token that is not to be trusted -------------------------------------- */

static CK_FUNCTION_LIST bad;
static CK_ATTRIBUTE_TYPE bad_type;
static CK_ULONG first_len, second_len;
static CK_RV first_rv, second_rv;
static CK_ULONG batches, batch_len;
static CK_RV find_rv;
static int finals;

static const CK_ULONG unavailable = CK_UNAVAILABLE_INFORMATION;

static CK_RV bad_attribute(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *attr,
                           CK_ULONG n)
{
  if (attr->type != bad_type)
    return object_module->C_GetAttributeValue(s, object, attr, n);
  if (attr->pValue == NULL) {
    attr->ulValueLen = first_len;
    return first_rv;
  }
  if (second_len == sizeof unavailable)
    memcpy(attr->pValue, &unavailable, sizeof unavailable);
  attr->ulValueLen = second_len;
  return second_rv;
}

static CK_RV bad_init(CK_SESSION_HANDLE s, CK_ATTRIBUTE *template, CK_ULONG n)
{
  (void)s;
  (void)template;
  (void)n;
  return CKR_OK;
}

static CK_RV bad_find(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE *list, CK_ULONG max, CK_ULONG *count)
{
  (void)s;
  *count = 0;
  if (find_rv != CKR_OK)
    return find_rv;
  if (batches == 0)
    return CKR_OK;
  batches--;
  for (CK_ULONG i = 0; i < max && i < batch_len; i++)
    list[i] = i + 1;
  *count = batch_len;
  return CKR_OK;
}

static CK_RV bad_final(CK_SESSION_HANDLE s)
{
  (void)s;
  finals++;
  return CKR_OK;
}

static int bad_setup(void **state)
{
  (void)object_empty(state);
  bad = *object_module;
  bad.C_GetAttributeValue = bad_attribute;
  bad.C_FindObjectsInit = bad_init;
  bad.C_FindObjects = bad_find;
  bad.C_FindObjectsFinal = bad_final;
  bad_type = CKA_LABEL;
  first_rv = second_rv = find_rv = CKR_OK;
  first_len = second_len = 4;
  batches = batch_len = 0;
  finals = 0;
  return 0;
}

static struct p11s_error e;

static void assert_read(enum p11s_err code, bool given)
{
  struct p11s_bytes value = {NULL, 77};

  assert_int_equal(p11s_attribute_read(SESSION_OF(&bad, object_session), 1, CKA_LABEL, &value, &e),
                   code);
  assert_int_equal(value.data != NULL, given);
  if (!given)
    assert_int_equal(value.len, 0);
  p11s_bytes_clear(&value);
}

static void attributes_that_lie(void **state)
{
  (void)state;
  assert_read(P11S_OK, true);
  first_len = second_len = 0;
  assert_read(P11S_OK, true);
  first_len = CK_UNAVAILABLE_INFORMATION;
  assert_read(P11S_OK, false);
  first_len = P11S_ATTRIBUTE_MAX + 1;
  assert_read(P11S_OK, false);
  first_len = 4;
  second_len = 5; /* grew, with CKR_OK */
  assert_read(P11S_OK, false);
  second_len = CK_UNAVAILABLE_INFORMATION;
  assert_read(P11S_OK, false);
  second_len = 3;
  assert_read(P11S_OK, true);
  second_rv = CKR_ATTRIBUTE_SENSITIVE;
  assert_read(P11S_OK, false);
  second_rv = CKR_DEVICE_REMOVED;
  assert_read(P11S_ERR_TOKEN, false);
  first_rv = CKR_ATTRIBUTE_TYPE_INVALID;
  assert_read(P11S_OK, false);
  first_rv = CKR_SESSION_HANDLE_INVALID;
  assert_read(P11S_ERR_TOKEN, false);
  assert_int_equal(e.rv, CKR_SESSION_HANDLE_INVALID);
}

static void assert_flag(CK_FUNCTION_LIST *module, CK_OBJECT_HANDLE key, enum p11s_err code,
                        bool expected)
{
  bool is = !expected;

  assert_int_equal(
      p11s_attribute_read_bool(SESSION_OF(module, object_session), key, CKA_SIGN, &is, NULL), code);
  assert_int_equal(is, expected);
}

static void numbers_that_lie(void **state)
{
  struct test_pair pair = object_pair(13, "key", NULL, NULL);
  CK_ULONG value = 99;
  bool given;

  (void)state;
  assert_int_equal(p11s_attribute_read_ulong(SESSION_OF(object_module, object_session),
                                             pair.private_key, CKA_KEY_TYPE, &given, &value, NULL),
                   P11S_OK);
  assert_true(given);
  assert_int_equal(value, CKK_EC);
  value = 99;
  bad_type = CKA_KEY_TYPE;
  second_len = 4;
  assert_int_equal(p11s_attribute_read_ulong(SESSION_OF(&bad, object_session), pair.private_key,
                                             CKA_KEY_TYPE, &given, &value, NULL),
                   P11S_OK);
  assert_false(given);
  second_len = sizeof unavailable;
  assert_int_equal(p11s_attribute_read_ulong(SESSION_OF(&bad, object_session), pair.private_key,
                                             CKA_KEY_TYPE, &given, &value, NULL),
                   P11S_OK);
  assert_false(given);
  second_rv = CKR_BUFFER_TOO_SMALL;
  assert_int_equal(p11s_attribute_read_ulong(SESSION_OF(&bad, object_session), pair.private_key,
                                             CKA_KEY_TYPE, &given, &value, NULL),
                   P11S_OK);
  assert_false(given);
  assert_int_equal(value, 99);
  /* No flag without a whole CK_BBOOL. */
  bad_type = CKA_SIGN;
  second_rv = CKR_OK;
  second_len = 0;
  assert_flag(&bad, pair.private_key, P11S_OK, false);
  second_rv = CKR_DEVICE_ERROR;
  assert_flag(&bad, pair.private_key, P11S_ERR_TOKEN, false);
  assert_flag(object_module, pair.private_key, P11S_OK, true);
}

static void searches_that_lie(void **state)
{
  struct p11s_handles all;

  (void)state;
  batches = 3;
  batch_len = 64;
  assert_int_equal(p11s_objects_search(SESSION_OF(&bad, object_session), NULL, 0, &all, NULL),
                   P11S_OK);
  assert_int_equal(all.count, 192);
  assert_int_equal(finals, 1);
  p11s_handles_clear(&all);
  batches = 1;
  batch_len = 65; /* more than asked for */
  assert_int_equal(p11s_objects_search(SESSION_OF(&bad, object_session), NULL, 0, &all, NULL),
                   P11S_ERR_TOKEN);
  assert_null(all.list);
  assert_int_equal(finals, 2);
  batches = CK_UNAVAILABLE_INFORMATION; /* without end */
  batch_len = 64;
  assert_int_equal(p11s_objects_search(SESSION_OF(&bad, object_session), NULL, 0, &all, NULL),
                   P11S_ERR_TOKEN);
  assert_int_equal(finals, 3);
  find_rv = CKR_DEVICE_REMOVED;
  assert_int_equal(p11s_objects_search(SESSION_OF(&bad, object_session), NULL, 0, &all, &e),
                   P11S_ERR_TOKEN);
  assert_int_equal(e.rv, CKR_DEVICE_REMOVED);
  assert_int_equal(finals, 4);
}

static void a_search_that_ignores_its_template(void **state)
{
  struct test_pair a = object_pair(13, "a", NULL, NULL);
  struct p11s_handles keys = {NULL, 0};

  (void)state;
  (void)object_pair(13, "b", NULL, NULL);
  bad.C_GetAttributeValue = object_module->C_GetAttributeValue;
  bad.C_FindObjects = object_module->C_FindObjects;
  bad.C_FindObjectsFinal = object_module->C_FindObjectsFinal;
  /* Gives all objects of the class, whatever else was asked for. */
  bad.C_FindObjectsInit = bad_init;
  for (int i = 0; i < 2; i++) {
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_ATTRIBUTE template = {CKA_CLASS, &class, sizeof class};

    assert_int_equal(object_module->C_FindObjectsInit(object_session, &template, 1), CKR_OK);
    assert_int_equal(p11s_object_find_privates(SESSION_OF(&bad, object_session),
                                               p11s_algorithm_find(13), i == 0 ? "a" : "b", &keys,
                                               NULL),
                     P11S_OK);
    assert_int_equal(keys.list[0] == a.private_key, i == 0);
    p11s_handles_clear(&keys);
  }
}

/* --- small things ---------------------------------------------------------- */

static void bytes(void **state)
{
  struct p11s_bytes none = {NULL, 0}, some = {(unsigned char *)"\x01\xfe\x7f", 3};

  (void)state;
  assert_true(p11s_bytes_equal(&some, "\x01\xfe\x7f", 3));
  assert_false(p11s_bytes_equal(&some, "\x01\xfe\x7f", 2));
  assert_false(p11s_bytes_equal(&none, "", 0));
  p11s_bytes_clear(&none);
}

int main(void)
{
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(attributes_that_lie, bad_setup),
      cmocka_unit_test_setup(numbers_that_lie, bad_setup),
      cmocka_unit_test_setup(searches_that_lie, bad_setup),
      cmocka_unit_test_setup(a_search_that_ignores_its_template, bad_setup),
      cmocka_unit_test(bytes),
  };

  return cmocka_run_group_tests_name("attribute", tests, object_setup, object_teardown);
}

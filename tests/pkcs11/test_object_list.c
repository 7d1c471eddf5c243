/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The keys on a token as a listing shows them. */
#include "rig/object_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* --- the list -------------------------------------------------------------- */

struct list {
  struct p11s_object_info infos[16];
  size_t count;
};

static void note_object(const struct p11s_object_info *info, void *arg)
{
  struct list *list = arg;

  assert_true(list->count < 16);
  list->infos[list->count++] = *info;
}

static void assert_info(const struct p11s_object_info *info, const char *label, const char *id,
                        const char *type, bool has_private, bool has_public)
{
  assert_string_equal(info->label, label);
  assert_string_equal(info->id, id);
  assert_string_equal(info->type, type);
  assert_int_equal(info->has_private, has_private);
  assert_int_equal(info->has_public, has_public);
}

static void list_of_keys(void **state)
{
  struct list list = {.count = 0};
  struct test_pair pair;

  (void)state;
  assert_int_equal(
      p11s_object_each(SESSION_OF(object_module, object_session), note_object, &list, NULL),
      P11S_OK);
  assert_int_equal(list.count, 0);
  (void)object_pair(15, "e", "\x09", NULL);
  (void)object_pair(16, "f", "\x0a", NULL);
  pair = object_pair(14, "c", "\x02", NULL);
  object_destroy(pair.public_key);
  (void)object_pair(13, "c", "\x01", NULL);
  (void)object_pair(8, "b", "\x03", NULL);
  pair = object_pair(13, "a\tb", "", NULL);
  object_destroy(pair.private_key);
  assert_int_equal(
      p11s_object_each(SESSION_OF(object_module, object_session), note_object, &list, NULL),
      P11S_OK);
  assert_int_equal(list.count, 6);
  assert_info(&list.infos[0], "a?b", "", "P-256", false, true);
  assert_info(&list.infos[1], "b", "03", "RSA-1024", true, true);
  assert_info(&list.infos[2], "c", "01", "P-256", true, true);
  assert_info(&list.infos[3], "c", "02", "P-384", true, false);
  assert_info(&list.infos[4], "e", "09", "Ed25519", true, true);
  assert_info(&list.infos[5], "f", "0a", "Ed448", true, true);
}

/* Keys that DNSSEC has no use for are shown all the same. */
static void list_of_other_keys(void **state)
{
  static const unsigned char p521[] = {0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23};
  CK_MECHANISM ec = {CKM_EC_KEY_PAIR_GEN, NULL, 0};
  CK_BBOOL yes = CK_TRUE;
  CK_ATTRIBUTE public[] = {{CKA_TOKEN, &yes, 1}, {CKA_EC_PARAMS, (void *)p521, sizeof p521}};
  CK_ATTRIBUTE private[] = {{CKA_TOKEN, &yes, 1}};
  CK_OBJECT_CLASS class = CKO_PUBLIC_KEY;
  CK_KEY_TYPE dsa = CKK_DSA;
  CK_ATTRIBUTE other[] = {{CKA_CLASS, &class, sizeof class},
                          {CKA_KEY_TYPE, &dsa, sizeof dsa},
                          {CKA_TOKEN, &yes, 1},
                          {CKA_LABEL, "dsa", 3},
                          {CKA_PRIME, "\x07", 1},
                          {CKA_SUBPRIME, "\x03", 1},
                          {CKA_BASE, "\x02", 1},
                          {CKA_VALUE, "\x04", 1}};
  CK_OBJECT_HANDLE object, object2;
  struct list list = {.count = 0};

  (void)state;
  assert_int_equal(object_module->C_GenerateKeyPair(object_session, &ec, public, 2, private, 1,
                                                    &object, &object2),
                   CKR_OK);
  assert_int_equal(object_module->C_CreateObject(object_session, other, 8, &object), CKR_OK);
  assert_int_equal(
      p11s_object_each(SESSION_OF(object_module, object_session), note_object, &list, NULL),
      P11S_OK);
  assert_int_equal(list.count, 2);
  assert_info(&list.infos[0], "", "", "P-521", true, true);
  assert_info(&list.infos[1], "dsa", "", "0x1", false, true);
}

static void list_of_what_is_no_pair(void **state)
{
  struct list list = {.count = 0};
  char label[301], id[100];

  (void)state;
  memset(label, 'x', 300);
  label[300] = 0;
  memset(id, 'i', 99);
  id[99] = 0;
  (void)object_pair(13, "same", "\x01", NULL);
  (void)object_pair(13, "same", "\x02", NULL);
  (void)object_pair(13, label, id, NULL);
  assert_int_equal(
      p11s_object_each(SESSION_OF(object_module, object_session), note_object, &list, NULL),
      P11S_OK);
  assert_int_equal(list.count, 3);
  assert_string_equal(list.infos[0].id, "01");
  assert_string_equal(list.infos[1].id, "02");
  assert_int_equal(strlen(list.infos[2].label), 255);
  assert_int_equal(strlen(list.infos[2].id), 128);
  assert_true(list.infos[2].has_private && list.infos[2].has_public);
}

int main(void)
{
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(list_of_keys, object_empty),
      cmocka_unit_test_setup(list_of_other_keys, object_empty),
      cmocka_unit_test_setup(list_of_what_is_no_pair, object_empty),
  };

  return cmocka_run_group_tests_name("object_list", tests, object_setup, object_teardown);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "rig/object_rig.h"

#include "pkcs11/attribute.h"
#include "rig/softhsm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

CK_FUNCTION_LIST *object_module;
CK_SESSION_HANDLE object_session;

int object_setup(void **state)
{
  (void)state;
  softhsm_setup();
  object_module = softhsm_module();
  object_session = softhsm_session(softhsm_token("token", USER_PIN), true, USER_PIN);
  return 0;
}

int object_teardown(void **state)
{
  (void)state;
  softhsm_teardown();
  return 0;
}

/* --- making things to be found --------------------------------------------- */

int object_empty(void **state)
{
  struct p11s_handles all;

  (void)state;
  assert_int_equal(
      p11s_objects_search(SESSION_OF(object_module, object_session), NULL, 0, &all, NULL), P11S_OK);
  for (size_t i = 0; i < all.count; i++)
    assert_int_equal(object_module->C_DestroyObject(object_session, all.list[i]), CKR_OK);
  p11s_handles_clear(&all);
  return 0;
}

void object_set(CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type, const void *value, size_t len)
{
  CK_ATTRIBUTE attr = {type, (void *)value, len};

  assert_int_equal(object_module->C_SetAttributeValue(object_session, object, &attr, 1), CKR_OK);
}

void object_set_id(const struct test_pair *pair, const char *id)
{
  object_set(pair->private_key, CKA_ID, id, strlen(id));
  object_set(pair->public_key, CKA_ID, id, strlen(id));
}

/* A pair with this label and, when not NULL, id. */
struct test_pair object_pair(unsigned number, const char *label, const char *id,
                             struct p11s_pubkey **key)
{
  struct test_pair pair = {.public_key = CK_INVALID_HANDLE};
  struct p11s_pubkey *made = NULL;
  struct p11s_error e;

  if (test_pair_make(object_module, object_session, p11s_algorithm_find(number),
                     number < 13 ? 1024 : 0, "fresh", &pair, &made, &e) != P11S_OK)
    fail_msg("%s", e.text);
  object_set(pair.private_key, CKA_LABEL, label, strlen(label));
  object_set(pair.public_key, CKA_LABEL, label, strlen(label));
  if (id != NULL)
    object_set_id(&pair, id);
  if (key != NULL)
    *key = made;
  else
    p11s_pubkey_free(made);
  return pair;
}

void object_destroy(CK_OBJECT_HANDLE object)
{
  assert_int_equal(object_module->C_DestroyObject(object_session, object), CKR_OK);
}

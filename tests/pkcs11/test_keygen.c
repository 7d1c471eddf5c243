/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pkcs11/attribute.h"
#include "rig/pair_rig.h"
#include "pkcs11/object.h"
#include "pkcs11/rv.h"
#include "rig/softhsm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static CK_SLOT_ID slot;
static CK_SESSION_HANDLE session;

static int setup(void **state)
{
  (void)state;
  softhsm_setup();
  slot = softhsm_token("token", USER_PIN);
  session = softhsm_session(slot, true, USER_PIN);
  return 0;
}

static int teardown(void **state)
{
  (void)state;
  softhsm_teardown();
  return 0;
}

static size_t count_objects(void)
{
  struct p11s_handles all;
  size_t count;

  assert_int_equal(p11s_objects_search(SESSION_OF(softhsm_module(), session), NULL, 0, &all, NULL),
                   P11S_OK);
  count = all.count;
  p11s_handles_clear(&all);
  return count;
}

static void assert_flag(CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type, bool expected)
{
  bool is;

  (void)p11s_attribute_read_bool(SESSION_OF(softhsm_module(), session), object, type, &is, NULL);
  if (is != expected)
    fail_msg("attribute 0x%lx is not %d", type, expected);
}

static void assert_id(CK_OBJECT_HANDLE object, const unsigned char *id)
{
  struct p11s_bytes have;

  assert_int_equal(
      p11s_attribute_read(SESSION_OF(softhsm_module(), session), object, CKA_ID, &have, NULL),
      P11S_OK);
  assert_true(p11s_bytes_equal(&have, id, 20));
  p11s_bytes_clear(&have);
}

static struct p11s_error last_error;

static void assert_fails(CK_FUNCTION_LIST *module, unsigned number, unsigned bits,
                         const char *label, enum p11s_err code, const char *word)
{
  struct test_pair pair = {77, 78, {0}};
  struct p11s_pubkey *key = NULL;
  struct p11s_error e = {0};
  size_t before = count_objects();

  assert_int_equal(
      test_pair_make(module, session, p11s_algorithm_find(number), bits, label, &pair, &key, &e),
      code);
  assert_int_equal(e.code, code);
  last_error = e;
  if (strstr(e.text, word) == NULL)
    fail_msg("'%s' is not in '%s'", word, e.text);
  /* Nothing is written on failure, nothing is left on the token. */
  assert_null(key);
  assert_int_equal(pair.public_key, 77);
  assert_int_equal(pair.private_key, 78);
  assert_int_equal(count_objects(), before);
}

static void make(unsigned number, unsigned bits, const char *label, struct test_pair *pair,
                 struct p11s_pubkey **key)
{
  struct p11s_error e;

  if (test_pair_make(softhsm_module(), session, p11s_algorithm_find(number), bits, label, pair, key,
                     &e) != P11S_OK)
    fail_msg("%s", e.text);
}

static void assert_private_key_is_safe(CK_OBJECT_HANDLE key)
{
  struct p11s_bytes value;

  assert_flag(key, CKA_TOKEN, true);
  assert_flag(key, CKA_PRIVATE, true);
  assert_flag(key, CKA_SENSITIVE, true);
  assert_flag(key, CKA_ALWAYS_SENSITIVE, true);
  assert_flag(key, CKA_EXTRACTABLE, false);
  assert_flag(key, CKA_NEVER_EXTRACTABLE, true);
  assert_flag(key, CKA_SIGN, true);
  assert_flag(key, CKA_SIGN_RECOVER, false);
  assert_flag(key, CKA_DECRYPT, false);
  assert_flag(key, CKA_UNWRAP, false);
  assert_flag(key, CKA_DERIVE, false);
  assert_int_equal(p11s_attribute_read(SESSION_OF(softhsm_module(), session), key,
                                       CKA_PRIVATE_EXPONENT, &value, NULL),
                   P11S_OK);
  assert_null(value.data);
  assert_int_equal(
      p11s_attribute_read(SESSION_OF(softhsm_module(), session), key, CKA_VALUE, &value, NULL),
      P11S_OK);
  assert_null(value.data);
}

static void pairs_of_each_kind(void **state)
{
  static const struct {
    unsigned number, bits;
  } cases[] = {{8, 1024}, {13, 0}, {14, 384}, {15, 0}, {16, 0}};

  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    struct p11s_pubkey *key = NULL;
    struct p11s_publics again = {{NULL}, 0};
    struct test_pair pair = {.public_key = CK_INVALID_HANDLE};
    struct p11s_handles found;
    const struct p11s_algorithm *alg = p11s_algorithm_find(cases[i].number);

    make(cases[i].number, cases[i].bits, "pair", &pair, &key);
    assert_private_key_is_safe(pair.private_key);
    assert_flag(pair.public_key, CKA_VERIFY, true);
    assert_flag(pair.public_key, CKA_TOKEN, true);
    assert_flag(pair.public_key, CKA_ENCRYPT, false);
    assert_id(pair.private_key, pair.made.id);
    assert_id(pair.public_key, pair.made.id);
    assert_int_equal(p11s_pubkey_bits(key), cases[i].bits != 0 ? cases[i].bits : alg->bits);
    /* The public key that was given is the one that will be found. */
    assert_int_equal(
        p11s_object_find_privates(SESSION_OF(softhsm_module(), session), alg, "pair", &found, NULL),
        P11S_OK);
    assert_int_equal(found.count, 1);
    assert_int_equal(found.list[0], pair.private_key);
    assert_int_equal(p11s_object_read_publics(
                         SESSION_OF(softhsm_module(), session),
                         &(struct p11s_private){alg, pair.private_key, "pair", NULL}, &again, NULL),
                     P11S_OK);
    assert_int_equal(again.count, 1);
    assert_true(p11s_pubkey_equal(key, again.list[0]));
    p11s_handles_clear(&found);
    p11s_pubkey_free(key);
    p11s_publics_clear(&again);
    assert_int_equal(test_pair_destroy(softhsm_module(), session, &pair), P11S_OK);
    assert_int_equal(count_objects(), 0);
  }
}

static void two_keys_are_two(void **state)
{
  struct p11s_bytes first, second;
  struct test_pair a = {.public_key = CK_INVALID_HANDLE}, b = {.public_key = CK_INVALID_HANDLE};
  struct p11s_pubkey *key_a = NULL, *key_b = NULL;

  (void)state;
  make(13, 0, "a", &a, &key_a);
  make(13, 256, "b", &b, &key_b);
  assert_false(p11s_pubkey_equal(key_a, key_b));
  assert_int_equal(p11s_attribute_read(SESSION_OF(softhsm_module(), session), a.private_key, CKA_ID,
                                       &first, NULL),
                   P11S_OK);
  assert_int_equal(p11s_attribute_read(SESSION_OF(softhsm_module(), session), b.private_key, CKA_ID,
                                       &second, NULL),
                   P11S_OK);
  assert_int_equal(first.len, 20);
  assert_false(p11s_bytes_equal(&first, second.data, second.len));
  p11s_bytes_clear(&first);
  p11s_bytes_clear(&second);
  p11s_pubkey_free(key_a);
  p11s_pubkey_free(key_b);
  assert_int_equal(test_pair_destroy(softhsm_module(), session, &a), P11S_OK);
  assert_int_equal(test_pair_destroy(softhsm_module(), session, &b), P11S_OK);
}

static void label_in_use(void **state)
{
  struct test_pair pair = {.public_key = CK_INVALID_HANDLE};
  struct p11s_pubkey *key = NULL;

  (void)state;
  make(13, 0, "used", &pair, &key);
  p11s_pubkey_free(key);
  assert_fails(softhsm_module(), 13, 0, "used", P11S_ERR_EXISTS, "private key 'used'");
  assert_fails(softhsm_module(), 15, 0, "used", P11S_ERR_EXISTS, "'used'");
  /* Half of a pair is in the way too. */
  assert_int_equal(softhsm_module()->C_DestroyObject(session, pair.private_key), CKR_OK);
  assert_fails(softhsm_module(), 13, 0, "used", P11S_ERR_EXISTS, "public key 'used'");
  pair.private_key = CK_INVALID_HANDLE;
  assert_int_equal(test_pair_destroy(softhsm_module(), session, &pair), P11S_OK);
}

static void not_allowed(void **state)
{
  CK_FUNCTION_LIST *module = softhsm_module();

  (void)state;
  assert_fails(module, 8, 1023, "k", P11S_ERR_KEY_TYPE, "1023");
  assert_fails(module, 8, 512, "k", P11S_ERR_KEY_TYPE, "512");
  assert_fails(module, 8, 1025, "k", P11S_ERR_KEY_TYPE, "1025");
  assert_fails(module, 8, 4104, "k", P11S_ERR_KEY_TYPE, "4104");
  assert_fails(module, 8, 0xffffffff, "k", P11S_ERR_KEY_TYPE, "");
  assert_fails(module, 13, 384, "k", P11S_ERR_KEY_TYPE, "256");
  assert_fails(module, 13, 0, "", P11S_ERR_SYNTAX, "label");
  assert_fails(module, 13, 0, "pkcs11:object=k", P11S_ERR_SYNTAX, "URI");
}

static void read_only_session(void **state)
{
  CK_SESSION_HANDLE read_write = session;

  (void)state;
  session = softhsm_session(slot, false, USER_PIN);
  assert_fails(softhsm_module(), 13, 0, "ro", P11S_ERR_TOKEN, "write-protected");
  assert_int_equal(softhsm_module()->C_CloseSession(session), CKR_OK);
  session = read_write;
}

/* --- SoftHSM with something changed ---------------------------------------- */

static CK_FUNCTION_LIST changed;
static CK_RV generate_rv;
static CK_ULONG generated;
static CK_ATTRIBUTE_TYPE disliked;
static CK_RV destroy_rv;
static int destroyed;

/* What a token makes of a template: a number of bytes of the label, or the id; NULL: nothing. */
static void (*rewrite)(CK_ATTRIBUTE *attr);

static void rewrite_all(CK_ATTRIBUTE *template, CK_ULONG n)
{
  for (CK_ULONG i = 0; rewrite != NULL && i < n; i++)
    rewrite(&template[i]);
}

static void cut_label(CK_ATTRIBUTE *attr)
{
  if (attr->type == CKA_LABEL && attr->ulValueLen > 4)
    attr->ulValueLen = 4;
}

static void append_nul(CK_ATTRIBUTE *attr)
{
  if (attr->type == CKA_LABEL)
    attr->ulValueLen++; /* the string's own */
}

static void label_by_id(CK_ATTRIBUTE *attr)
{
  static const char id[] = "01";

  if (attr->type == CKA_LABEL || attr->type == CKA_ID)
    *attr = (CK_ATTRIBUTE){attr->type, (void *)(uintptr_t)id, 2};
}

static void own_id(CK_ATTRIBUTE *attr)
{
  if (attr->type == CKA_ID)
    attr->ulValueLen = 1;
}

/* SoftHSM has the same defaults, other tokens may not. */
static void assert_has_flag(const CK_ATTRIBUTE *template, CK_ULONG n, CK_ATTRIBUTE_TYPE type,
                            CK_BBOOL value)
{
  for (CK_ULONG i = 0; i < n; i++)
    if (template[i].type == type && *(CK_BBOOL *)template[i].pValue == value)
      return;
  fail_msg("0x%lx is not in the template", type);
}

static CK_RV changed_generate(CK_SESSION_HANDLE s, CK_MECHANISM *mechanism, CK_ATTRIBUTE *public,
                              CK_ULONG n_public, CK_ATTRIBUTE *private, CK_ULONG n_private,
                              CK_OBJECT_HANDLE *ret_public, CK_OBJECT_HANDLE *ret_private)
{
  generated++;
  assert_has_flag(private, n_private, CKA_TOKEN, CK_TRUE);
  assert_has_flag(private, n_private, CKA_PRIVATE, CK_TRUE);
  assert_has_flag(private, n_private, CKA_SENSITIVE, CK_TRUE);
  assert_has_flag(private, n_private, CKA_EXTRACTABLE, CK_FALSE);
  assert_has_flag(public, n_public, CKA_TOKEN, CK_TRUE);
  for (CK_ULONG i = 0; i < n_private; i++)
    if (private[i].type == disliked)
      return generate_rv;
  for (CK_ULONG i = 0; i < n_public; i++)
    if (public[i].type == disliked)
      return generate_rv;
  if (disliked == 0 && generate_rv != CKR_OK)
    return generate_rv;
  rewrite_all(public, n_public);
  rewrite_all(private, n_private);
  return softhsm_module()->C_GenerateKeyPair(s, mechanism, public, n_public, private, n_private,
                                             ret_public, ret_private);
}

static CK_RV changed_destroy(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE object)
{
  destroyed++;
  return destroy_rv != CKR_OK ? destroy_rv : softhsm_module()->C_DestroyObject(s, object);
}

static int changed_setup(void **state)
{
  (void)state;
  changed = *softhsm_module();
  changed.C_GenerateKeyPair = changed_generate;
  changed.C_DestroyObject = changed_destroy;
  generate_rv = destroy_rv = CKR_OK;
  generated = 0;
  disliked = 0;
  rewrite = NULL;
  destroyed = 0;
  return 0;
}

static void tokens_that_know_fewer_attributes(void **state)
{
  struct test_pair pair = {.public_key = CK_INVALID_HANDLE};
  struct p11s_pubkey *key = NULL;

  (void)state;
  disliked = CKA_SIGN_RECOVER;
  generate_rv = CKR_ATTRIBUTE_TYPE_INVALID;
  assert_int_equal(
      test_pair_make(&changed, session, p11s_algorithm_find(13), 0, "few", &pair, &key, NULL),
      P11S_OK);
  assert_int_equal(generated, 3);
  assert_flag(pair.private_key, CKA_SENSITIVE, true);
  assert_flag(pair.private_key, CKA_EXTRACTABLE, false);
  p11s_pubkey_free(key);
  assert_int_equal(test_pair_destroy(softhsm_module(), session, &pair), P11S_OK);
  /* What has to be there is not given up. */
  disliked = CKA_SENSITIVE;
  assert_fails(&changed, 13, 0, "few", P11S_ERR_TOKEN, "CKR_ATTRIBUTE_TYPE_INVALID");
}

static void tokens_that_rename_what_they_make(void **state)
{
  (void)state;
  rewrite = cut_label;
  assert_fails(&changed, 13, 0, "my label", P11S_ERR_TOKEN,
               "'my label' of a new key: it has pkcs11:object=my%20l;");
  rewrite = append_nul;
  assert_fails(&changed, 13, 0, "my label", P11S_ERR_TOKEN, "pkcs11:object=my%20label%00;");
  rewrite = label_by_id;
  assert_fails(&changed, 13, 0, "my label", P11S_ERR_TOKEN, "pkcs11:object=01;");
  assert_int_equal(generated, 3);
  assert_int_equal(destroyed, 6);
}

/* The label is enough. */
static void tokens_that_choose_the_id(void **state)
{
  size_t before = count_objects();
  struct test_pair pair = {.public_key = CK_INVALID_HANDLE};
  struct p11s_pubkey *key = NULL;

  (void)state;
  rewrite = own_id;
  assert_int_equal(
      test_pair_make(&changed, session, p11s_algorithm_find(13), 0, "mine", &pair, &key, NULL),
      P11S_OK);
  assert_int_equal(atomic_load(&pair.made.state), P11S_PAIR_RENAMED);
  assert_int_equal(p11s_keypair_remove(SESSION_OF(&changed, session), &pair.made, NULL), P11S_OK);
  assert_int_equal(count_objects(), before);
  p11s_pubkey_free(key);
}

/* As with a TPM behind tpm2-pkcs11. */
static void tokens_with_one_bit_for_signing_and_encrypting(void **state)
{
  struct test_pair pair = {.public_key = CK_INVALID_HANDLE};
  struct p11s_pubkey *key = NULL;

  (void)state;
  disliked = CKA_ENCRYPT;
  generate_rv = CKR_GENERAL_ERROR;
  assert_int_equal(
      test_pair_make(&changed, session, p11s_algorithm_find(8), 1024, "tpm", &pair, &key, NULL),
      P11S_OK);
  assert_int_equal(generated, 2);
  assert_private_key_is_safe(pair.private_key);
  p11s_pubkey_free(key);
  assert_int_equal(test_pair_destroy(softhsm_module(), session, &pair), P11S_OK);
}

static void what_generating_can_say(void **state)
{
  (void)state;
  generate_rv = CKR_CURVE_NOT_SUPPORTED;
  assert_fails(&changed, 16, 0, "k", P11S_ERR_MECHANISM, "curve");
  generate_rv = CKR_KEY_SIZE_RANGE;
  assert_fails(&changed, 8, 1024, "k", P11S_ERR_KEY_TYPE, "1024");
  generate_rv = CKR_TOKEN_WRITE_PROTECTED;
  assert_fails(&changed, 13, 0, "k", P11S_ERR_TOKEN, "write-protected");
  generate_rv = CKR_DEVICE_MEMORY;
  assert_fails(&changed, 13, 0, "k", P11S_ERR_TOKEN, "no room");
  generate_rv = CKR_DEVICE_REMOVED;
  assert_fails(&changed, 13, 0, "k", P11S_ERR_TOKEN, "CKR_DEVICE_REMOVED");
  assert_int_equal(last_error.rv, CKR_DEVICE_REMOVED); /* nothing was made: once more will do */
  assert_int_equal(generated, 5);
}

static CK_RV few_mechanisms(CK_SLOT_ID id, CK_MECHANISM_TYPE *list, CK_ULONG *count)
{
  (void)id;
  if (list != NULL) {
    list[0] = CKM_ECDSA;
    list[1] = CKM_RSA_PKCS;
  }
  *count = 2;
  return CKR_OK;
}

static void mechanisms_not_there(void **state)
{
  (void)state;
  changed.C_GetMechanismList = few_mechanisms;
  assert_fails(&changed, 13, 0, "k", P11S_ERR_MECHANISM, "make keys for");
  assert_fails(&changed, 15, 0, "k", P11S_ERR_MECHANISM, "13 (ECDSAP256SHA256)");
  assert_int_equal(generated, 0);
}

/* --- undoing --------------------------------------------------------------- */

static CK_ATTRIBUTE_TYPE falsified;
static CK_BBOOL falsified_to;
static CK_RV secret_rv; /* what asking for the private value gives */
static CK_ULONG secret_len;

static CK_RV false_attribute(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *attrs,
                             CK_ULONG n)
{
  CK_RV rv = softhsm_module()->C_GetAttributeValue(s, object, attrs, n);

  if (attrs[0].type == CKA_VALUE || attrs[0].type == CKA_PRIVATE_EXPONENT) {
    assert_null(attrs[0].pValue);
    attrs[0].ulValueLen = secret_len;
    return secret_rv;
  }
  if (attrs[0].type == falsified && falsified == CKA_EC_POINT)
    return CKR_ATTRIBUTE_TYPE_INVALID;
  if (attrs[0].type == falsified && rv == CKR_OK && attrs[0].pValue != NULL)
    *(CK_BBOOL *)attrs[0].pValue = falsified_to;
  return rv;
}

static void readable_keys_do_not_stay(void **state)
{
  (void)state;
  changed.C_GetAttributeValue = false_attribute;
  falsified = CKA_EXTRACTABLE;
  falsified_to = CK_TRUE;
  secret_rv = CKR_ATTRIBUTE_SENSITIVE;
  secret_len = CK_UNAVAILABLE_INFORMATION;
  assert_fails(&changed, 13, 0, "k", P11S_ERR_TOKEN, "can be read");
  falsified = CKA_SENSITIVE;
  falsified_to = CK_FALSE;
  secret_rv = CKR_OK;
  secret_len = 32;
  assert_fails(&changed, 13, 0, "k", P11S_ERR_TOKEN, "can be read");
  assert_fails(&changed, 8, 1024, "k", P11S_ERR_TOKEN, "can be read");
  assert_int_equal(destroyed, 6);
}

/* As with a SmartCard-HSM behind OpenSC. */
static void keys_that_only_seem_readable_stay(void **state)
{
  static const CK_RV rvs[] = {CKR_ATTRIBUTE_SENSITIVE, CKR_ATTRIBUTE_TYPE_INVALID, CKR_OK, CKR_OK};
  static const CK_ULONG lens[] = {0, 32, 0, CK_UNAVAILABLE_INFORMATION};

  (void)state;
  changed.C_GetAttributeValue = false_attribute;
  falsified = CKA_SENSITIVE;
  falsified_to = CK_FALSE;
  for (size_t i = 0; i < sizeof rvs / sizeof rvs[0]; i++) {
    struct test_pair pair = {.public_key = CK_INVALID_HANDLE};
    struct p11s_pubkey *key = NULL;
    struct p11s_error e;

    secret_rv = rvs[i];
    secret_len = lens[i];
    if (test_pair_make(&changed, session, p11s_algorithm_find(13), 0, "k", &pair, &key, &e) !=
        P11S_OK)
      fail_msg("%s", e.text);
    p11s_pubkey_free(key);
    assert_int_equal(test_pair_destroy(softhsm_module(), session, &pair), P11S_OK);
  }
}

static void keys_without_public_point_do_not_stay(void **state)
{
  (void)state;
  changed.C_GetAttributeValue = false_attribute;
  falsified = CKA_EC_POINT;
  assert_fails(&changed, 13, 0, "k", P11S_ERR_NO_KEY, "public point");
  assert_int_equal(destroyed, 2);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(pairs_of_each_kind),
      cmocka_unit_test(two_keys_are_two),
      cmocka_unit_test(label_in_use),
      cmocka_unit_test(not_allowed),
      cmocka_unit_test(read_only_session),
      cmocka_unit_test_setup(tokens_that_know_fewer_attributes, changed_setup),
      cmocka_unit_test_setup(tokens_that_rename_what_they_make, changed_setup),
      cmocka_unit_test_setup(tokens_that_choose_the_id, changed_setup),
      cmocka_unit_test_setup(tokens_with_one_bit_for_signing_and_encrypting, changed_setup),
      cmocka_unit_test_setup(what_generating_can_say, changed_setup),
      cmocka_unit_test_setup(mechanisms_not_there, changed_setup),
      cmocka_unit_test_setup(readable_keys_do_not_stay, changed_setup),
      cmocka_unit_test_setup(keys_that_only_seem_readable_stay, changed_setup),
      cmocka_unit_test_setup(keys_without_public_point_do_not_stay, changed_setup),
  };

  return cmocka_run_group_tests_name("keygen", tests, setup, teardown);
}

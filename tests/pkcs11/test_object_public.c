/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The public half of a private key, wherever a token keeps it. */
#include "rig/object_rig.h"
#include "rig/softhsm.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static EVP_PKEY *p256_from(const struct p11s_pubkey *key)
{
  /* SubjectPublicKeyInfo up to the coordinates */
  static const unsigned char head[27] = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
                                         0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
                                         0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04};
  unsigned char der[sizeof head + 64];
  const unsigned char *at = der, *data;
  EVP_PKEY *pkey;
  size_t len;

  data = p11s_pubkey_data(key, &len);
  assert_int_equal(len, 64);
  memcpy(der, head, sizeof head);
  memcpy(der + sizeof head, data, len);
  pkey = d2i_PUBKEY(NULL, &at, sizeof der);
  assert_non_null(pkey);
  return pkey;
}

/* A certificate for subject's key, signed by another key: nobody looks at that. */
static int certificate_der(EVP_PKEY *subject, unsigned char **der)
{
  EVP_PKEY *issuer = EVP_EC_gen("P-256");
  X509 *x = X509_new();
  X509_NAME *name = X509_get_subject_name(x);
  int len;

  assert_int_equal(X509_set_version(x, 2), 1);
  assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(x), 1), 1);
  assert_non_null(X509_gmtime_adj(X509_getm_notBefore(x), 0));
  assert_non_null(X509_gmtime_adj(X509_getm_notAfter(x), 3600));
  assert_int_equal(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                              (const unsigned char *)"test", -1, -1, 0),
                   1);
  assert_int_equal(X509_set_issuer_name(x, name), 1);
  assert_int_equal(X509_set_pubkey(x, subject), 1);
  assert_true(X509_sign(x, issuer, EVP_sha256()) > 0);
  *der = NULL;
  len = i2d_X509(x, der);
  assert_true(len > 0);
  X509_free(x);
  EVP_PKEY_free(issuer);
  return len;
}

static void add_certificate_bytes(const unsigned char *der, size_t len, const char *label,
                                  const char *id)
{
  CK_OBJECT_CLASS class = CKO_CERTIFICATE;
  CK_CERTIFICATE_TYPE type = CKC_X_509;
  CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
  CK_OBJECT_HANDLE object;
  CK_ATTRIBUTE template[] = {
      {CKA_CLASS, &class, sizeof class},
      {CKA_CERTIFICATE_TYPE, &type, sizeof type},
      {CKA_TOKEN, &yes, sizeof yes},
      {CKA_PRIVATE, &no, sizeof no},
      {CKA_SUBJECT, "\x30", 2},
      {CKA_VALUE, (void *)der, len},
      {CKA_LABEL, (void *)label, strlen(label)},
      {CKA_ID, (void *)id, strlen(id)},
  };

  assert_int_equal(object_module->C_CreateObject(object_session, template, 8, &object), CKR_OK);
}

static void add_certificate(const struct p11s_pubkey *key, const char *label, const char *id)
{
  EVP_PKEY *pkey = p256_from(key);
  unsigned char *der;
  int len = certificate_der(pkey, &der);

  add_certificate_bytes(der, (size_t)len, label, id);
  OPENSSL_free(der);
  EVP_PKEY_free(pkey);
}

/* --- public halves --------------------------------------------------------- */

static void assert_public(unsigned number, CK_OBJECT_HANDLE private_key, const char *label,
                          const char *pub_label, const struct p11s_pubkey *expected)
{
  struct p11s_publics keys = {{NULL}, 0};
  struct p11s_error e;

  if (p11s_object_read_publics(
          SESSION_OF(object_module, object_session),
          &(struct p11s_private){p11s_algorithm_find(number), private_key, label, pub_label}, &keys,
          &e) != P11S_OK)
    fail_msg("%s", e.text);
  assert_int_equal(keys.count, 1);
  assert_true(p11s_pubkey_equal(keys.list[0], expected));
  p11s_publics_clear(&keys);
}

static void assert_two_publics(CK_OBJECT_HANDLE private_key, const char *label,
                               const char *pub_label)
{
  struct p11s_publics keys = {{NULL}, 0};

  assert_int_equal(p11s_object_read_publics(SESSION_OF(object_module, object_session),
                                            &(struct p11s_private){p11s_algorithm_find(13),
                                                                   private_key, label, pub_label},
                                            &keys, NULL),
                   P11S_OK);
  assert_int_equal(keys.count, 2);
  p11s_publics_clear(&keys);
}

static struct p11s_error no_public(unsigned number, CK_OBJECT_HANDLE private_key, const char *label,
                                   const char *pub_label, enum p11s_err code)
{
  struct p11s_publics keys = {{NULL}, 0};
  struct p11s_error e = {0};

  assert_int_equal(p11s_object_read_publics(SESSION_OF(object_module, object_session),
                                            &(struct p11s_private){p11s_algorithm_find(number),
                                                                   private_key, label, pub_label},
                                            &keys, &e),
                   code);
  assert_int_equal(keys.count, 0);
  assert_int_equal(e.code, code);
  return e;
}

static void public_objects(void **state)
{
  static const unsigned numbers[] = {8, 13, 14, 15, 16};

  (void)state;
  for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
    struct p11s_pubkey *key;
    struct test_pair pair = object_pair(numbers[i], "key", NULL, &key);

    assert_public(numbers[i], pair.private_key, "key", NULL, key);
    assert_public(numbers[i], pair.private_key, "key", "key", key);
    assert_public(numbers[i], pair.private_key, "pkcs11:object=key;type=private", NULL, key);
    assert_public(numbers[i], pair.private_key, "key", "pkcs11:object=key;type=public", key);
    p11s_pubkey_free(key);
    (void)object_empty(NULL);
  }
}

static void public_object_with_the_same_id_first(void **state)
{
  struct p11s_pubkey *a_key, *b_key;
  struct test_pair a = object_pair(13, "same", "A", &a_key);
  struct test_pair b = object_pair(13, "same", "B", &b_key);

  (void)state;
  assert_public(13, a.private_key, "same", NULL, a_key);
  assert_public(13, b.private_key, "same", NULL, b_key);
  /* Either has the id: a signature tells. */
  object_set(b.public_key, CKA_ID, "A", 1);
  assert_two_publics(a.private_key, "same", NULL);
  /* Neither has it. */
  object_set(a.public_key, CKA_ID, "X", 1);
  object_set(b.public_key, CKA_ID, "Y", 1);
  assert_two_publics(a.private_key, "same", NULL);
  /* One of that label is meant, whatever its id. */
  object_set(b.public_key, CKA_LABEL, "other", 5);
  assert_public(13, a.private_key, "same", NULL, a_key);
  p11s_pubkey_free(a_key);
  p11s_pubkey_free(b_key);
}

/* Pairs share their id (PKCS#11 v2.40 section 4.7.2); a label is only a name. */
static void the_id_says_more_than_the_label(void **state)
{
  struct p11s_pubkey *right, *wrong;
  struct test_pair pair = object_pair(13, "key", "A", &right);
  struct test_pair other = object_pair(13, "other", "B", &wrong);

  (void)state;
  object_set(pair.public_key, CKA_LABEL, "its public half", 15);
  object_set(other.public_key, CKA_LABEL, "key", 3);
  assert_public(13, pair.private_key, "key", NULL, right);
  /* but for one that was given */
  assert_public(13, pair.private_key, "key", "key", wrong);
  p11s_pubkey_free(right);
  p11s_pubkey_free(wrong);
}

/* -- a token that keeps the public half with the private key */

static CK_OBJECT_HANDLE keeper;
static CK_ATTRIBUTE kept[2];

static CK_RV keeping_attribute(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *attr,
                               CK_ULONG n)
{
  assert_int_equal(n, 1);
  for (size_t i = 0; object == keeper && i < 2; i++) {
    if (kept[i].pValue == NULL || kept[i].type != attr->type)
      continue;
    if (attr->pValue != NULL && attr->ulValueLen >= kept[i].ulValueLen)
      memcpy(attr->pValue, kept[i].pValue, kept[i].ulValueLen);
    attr->ulValueLen = kept[i].ulValueLen;
    return CKR_OK;
  }
  return object_module->C_GetAttributeValue(s, object, attr, n);
}

static enum p11s_err read_kept(const struct p11s_pubkey *expected)
{
  CK_FUNCTION_LIST keeping = *object_module;
  struct p11s_publics keys = {{NULL}, 0};
  struct p11s_error e;
  enum p11s_err result;

  keeping.C_GetAttributeValue = keeping_attribute;
  result = p11s_object_read_publics(
      SESSION_OF(&keeping, object_session),
      &(struct p11s_private){p11s_algorithm_find(13), keeper, "alone", NULL}, &keys, &e);
  if (result == P11S_OK)
    assert_true(p11s_pubkey_equal(keys.list[0], expected));
  p11s_publics_clear(&keys);
  return result;
}

static void public_half_with_the_private_key(void **state)
{
  /* SubjectPublicKeyInfo of a P-256 key, up to the point (RFC 5480) */
  unsigned char info[91] = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
                            0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
                            0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04};
  struct p11s_pubkey *key;
  struct test_pair pair = object_pair(13, "alone", "", &key);
  size_t len;

  (void)state;
  memcpy(info + 27, p11s_pubkey_data(key, &len), 64);
  assert_int_equal(len, 64);
  object_destroy(pair.public_key);
  keeper = pair.private_key;
  memset(kept, 0, sizeof kept);
  assert_int_equal(read_kept(key), P11S_ERR_NO_KEY);
  kept[0] = (CK_ATTRIBUTE){CKA_PUBLIC_KEY_INFO, info, sizeof info};
  assert_int_equal(read_kept(key), P11S_OK);
  kept[0].ulValueLen--;
  assert_int_equal(read_kept(key), P11S_ERR_KEY_TYPE);
  kept[0].ulValueLen = 0; /* as SoftHSM has it */
  assert_int_equal(read_kept(key), P11S_ERR_NO_KEY);
  /* the point, raw, goes first */
  kept[0].ulValueLen = 5;
  kept[1] = (CK_ATTRIBUTE){CKA_EC_POINT, info + 26, 65};
  assert_int_equal(read_kept(key), P11S_OK);
  p11s_pubkey_free(key);
}

static void public_object_of_another_label(void **state)
{
  struct p11s_pubkey *key;
  struct test_pair pair = object_pair(13, "private", "\x01\x02", &key);

  (void)state;
  object_set(pair.public_key, CKA_LABEL, "public", 6);
  assert_public(13, pair.private_key, "private", "public", key);
  assert_public(13, pair.private_key, "private", NULL, key); /* by its id */
  assert_public(13, pair.private_key, "private", "nonsense", key);
  /* Two with that id, none with that label: a signature tells which is meant. */
  (void)object_pair(13, "twin", "\x01\x02", NULL);
  assert_two_publics(pair.private_key, "private", NULL);
  assert_public(13, pair.private_key, "private", "public", key);
  (void)no_public(13, pair.private_key, "private", "pkcs11:object=public;type=private",
                  P11S_ERR_SYNTAX);
  p11s_pubkey_free(key);
}

static void rsa_from_the_private_key(void **state)
{
  struct p11s_pubkey *key;
  struct test_pair pair = object_pair(8, "alone", NULL, &key);

  (void)state;
  object_destroy(pair.public_key);
  assert_public(8, pair.private_key, "alone", NULL, key);
  p11s_pubkey_free(key);
}

/* Nor can it be found by an id that there is not. */
static void no_public_half(void **state)
{
  struct test_pair pair = object_pair(13, "alone", "", NULL);
  struct p11s_error e;

  (void)state;
  object_destroy(pair.public_key);
  (void)object_pair(13, "other", "", NULL);
  /* SoftHSM does not keep the point with the private key. */
  e = no_public(13, pair.private_key, "alone", NULL, P11S_ERR_NO_KEY);
  assert_non_null(strstr(e.text, "'alone'"));
}

/* Both halves have the label with a NUL behind it, and ids of their own. */
static void public_object_of_a_padded_label(void **state)
{
  struct p11s_pubkey *key;
  struct test_pair pair = object_pair(13, "k", "\x01", &key);

  (void)state;
  object_set(pair.private_key, CKA_LABEL, "k\0", 2);
  object_set(pair.public_key, CKA_LABEL, "k\0", 2);
  object_set(pair.public_key, CKA_ID, "\x02", 1);
  assert_public(13, pair.private_key, "k", NULL, key);
  p11s_pubkey_free(key);
}

static CK_OBJECT_CLASS unsearched;
static CK_RV refusal;

static CK_RV refuse_search(CK_SESSION_HANDLE session, CK_ATTRIBUTE *template, CK_ULONG n)
{
  if (n > 0 && memcmp(template->pValue, &unsearched, sizeof unsearched) == 0)
    return refusal;
  return softhsm_module()->C_FindObjectsInit(session, template, n);
}

/* A token without certificates or public keys may refuse to look for them. */
static void searches_that_are_refused(void **state)
{
  static const CK_RV rvs[] = {CKR_ATTRIBUTE_VALUE_INVALID, CKR_ATTRIBUTE_TYPE_INVALID,
                              CKR_TEMPLATE_INCONSISTENT, CKR_FUNCTION_NOT_SUPPORTED};
  CK_FUNCTION_LIST refusing = *object_module;
  struct p11s_pubkey *key;
  struct test_pair pair = object_pair(13, "key", "\x05", &key);
  struct p11s_error e;

  (void)state;
  add_certificate(key, "key", "\x05");
  refusing.C_FindObjectsInit = refuse_search;
  object_module = &refusing;
  for (size_t i = 0; i < sizeof rvs / sizeof rvs[0]; i++) {
    refusal = rvs[i];
    unsearched = CKO_PUBLIC_KEY;
    assert_public(13, pair.private_key, "key", NULL, key);
    unsearched = CKO_CERTIFICATE;
    (void)no_public(14, pair.private_key, "key", NULL, P11S_ERR_KEY_TYPE);
  }
  object_destroy(pair.public_key);
  e = no_public(13, pair.private_key, "key", NULL, P11S_ERR_NO_KEY);
  assert_null(strstr(e.text, "CKR_"));
  refusal = CKR_DEVICE_ERROR; /* says nothing about certificates */
  (void)no_public(13, pair.private_key, "key", NULL, P11S_ERR_TOKEN);
  object_module = softhsm_module();
  p11s_pubkey_free(key);
}

static void public_key_of_another_type(void **state)
{
  struct test_pair pair = object_pair(14, "curve", NULL, NULL);

  (void)state;
  (void)no_public(13, pair.private_key, "curve", NULL, P11S_ERR_KEY_TYPE);
  pair = object_pair(8, "rsa", NULL, NULL);
  (void)no_public(13, pair.private_key, "rsa", NULL, P11S_ERR_KEY_TYPE);
}

/* A public object of another key must not hide the certificate that has the right one. */
static void certificates(void **state)
{
  struct p11s_pubkey *key;
  struct test_pair pair = object_pair(13, "cert", "\x05", &key);

  (void)state;
  object_destroy(pair.public_key);
  add_certificate(key, "some other label", "\x05");
  assert_public(13, pair.private_key, "cert", NULL, key);
  (void)object_empty(NULL);
  pair = object_pair(14, "cert", "\x05", NULL); /* only its handle counts */
  add_certificate(key, "cert", "\x06");
  object_set(pair.public_key, CKA_ID, "\x05", 1);
  assert_public(13, pair.private_key, "cert", NULL, key);
  p11s_pubkey_free(key);
}

static void bad_certificates(void **state)
{
  struct p11s_pubkey *key;
  struct test_pair pair = object_pair(13, "cert", "\x05", &key);
  EVP_PKEY *rsa = EVP_RSA_gen(1024);
  unsigned char *der;
  int len = certificate_der(rsa, &der);

  (void)state;
  object_destroy(pair.public_key);
  add_certificate_bytes((const unsigned char *)"nonsense", 8, "cert", "\x05");
  assert_int_not_equal(
      p11s_object_read_publics(
          SESSION_OF(object_module, object_session),
          &(struct p11s_private){p11s_algorithm_find(13), pair.private_key, "cert", NULL},
          &(struct p11s_publics){{NULL}, 0}, NULL),
      P11S_OK);
  add_certificate_bytes(der, (size_t)len, "cert", "\x05");
  assert_int_not_equal(
      p11s_object_read_publics(
          SESSION_OF(object_module, object_session),
          &(struct p11s_private){p11s_algorithm_find(13), pair.private_key, "cert", NULL},
          &(struct p11s_publics){{NULL}, 0}, NULL),
      P11S_OK);
  add_certificate(key, "cert", "\x05");
  assert_public(13, pair.private_key, "cert", NULL, key);
  OPENSSL_free(der);
  EVP_PKEY_free(rsa);
  p11s_pubkey_free(key);
}

int main(void)
{
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(public_objects, object_empty),
      cmocka_unit_test_setup(public_object_with_the_same_id_first, object_empty),
      cmocka_unit_test_setup(public_object_of_another_label, object_empty),
      cmocka_unit_test_setup(the_id_says_more_than_the_label, object_empty),
      cmocka_unit_test_setup(public_half_with_the_private_key, object_empty),
      cmocka_unit_test_setup(rsa_from_the_private_key, object_empty),
      cmocka_unit_test_setup(no_public_half, object_empty),
      cmocka_unit_test_setup(public_key_of_another_type, object_empty),
      cmocka_unit_test_setup(certificates, object_empty),
      cmocka_unit_test_setup(bad_certificates, object_empty),
      cmocka_unit_test_setup(public_object_of_a_padded_label, object_empty),
      cmocka_unit_test_setup(searches_that_are_refused, object_empty),
  };

  return cmocka_run_group_tests_name("object_public", tests, object_setup, object_teardown);
}

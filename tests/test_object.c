/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "attribute.h"
#include "keygen.h"
#include "object.h"
#include "p11mod.h"
#include "softhsm.h"

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

#define LONG_LABEL "exactly thirty-two bytes, no NUL"
#define UTF8_LABEL "schl\xc3\xbcssel \xe2\x84\x96 1"

static CK_FUNCTION_LIST *module;
static CK_SESSION_HANDLE session;

static int setup(void **state)
{
  (void)state;
  softhsm_setup();
  module = softhsm_module();
  session = softhsm_session(softhsm_token("token", USER_PIN), true, USER_PIN);
  return 0;
}

static int teardown(void **state)
{
  (void)state;
  softhsm_teardown();
  return 0;
}

/* --- making things to be found --------------------------------------------- */

static int empty_token(void **state)
{
  struct p11s_handles all;

  (void)state;
  assert_int_equal(p11s_objects_search(module, session, NULL, 0, &all, NULL), P11S_OK);
  for (size_t i = 0; i < all.count; i++)
    assert_int_equal(module->C_DestroyObject(session, all.list[i]), CKR_OK);
  p11s_handles_clear(&all);
  return 0;
}

static void set(CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type, const void *value, size_t len)
{
  CK_ATTRIBUTE attr = {type, (void *)value, len};

  assert_int_equal(module->C_SetAttributeValue(session, object, &attr, 1), CKR_OK);
}

static void set_id(const struct p11s_keypair *pair, const char *id)
{
  set(pair->private_key, CKA_ID, id, strlen(id));
  set(pair->public_key, CKA_ID, id, strlen(id));
}

/* A pair with this label and, when not NULL, id. */
static struct p11s_keypair pair_of(unsigned number, const char *label, const char *id,
                                   struct p11s_pubkey **key)
{
  struct p11s_keypair pair;
  struct p11s_pubkey *made;
  struct p11s_error e;

  if (p11s_keygen_make(module, session, p11s_algorithm_find(number), number < 13 ? 1024 : 0,
                       "fresh", &pair, &made, &e) != P11S_OK)
    fail_msg("%s", e.text);
  set(pair.private_key, CKA_LABEL, label, strlen(label));
  set(pair.public_key, CKA_LABEL, label, strlen(label));
  if (id != NULL)
    set_id(&pair, id);
  if (key != NULL)
    *key = made;
  else
    p11s_pubkey_free(made);
  return pair;
}

static void destroy(CK_OBJECT_HANDLE object)
{
  assert_int_equal(module->C_DestroyObject(session, object), CKR_OK);
}

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

  assert_int_equal(module->C_CreateObject(session, template, 8, &object), CKR_OK);
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

/* --- private keys ---------------------------------------------------------- */

static CK_OBJECT_HANDLE found(unsigned number, const char *label)
{
  CK_OBJECT_HANDLE key;
  struct p11s_error e;

  if (p11s_object_find_private(module, session, p11s_algorithm_find(number), label, &key, &e) !=
      P11S_OK)
    fail_msg("%s", e.text);
  return key;
}

static struct p11s_error not_found(unsigned number, const char *label, enum p11s_err code)
{
  CK_OBJECT_HANDLE key = 4711;
  struct p11s_error e = {P11S_OK, ""};

  assert_int_equal(
      p11s_object_find_private(module, session, p11s_algorithm_find(number), label, &key, &e),
      code);
  assert_int_equal(e.code, code);
  assert_int_equal(key, 4711);
  assert_int_equal(
      p11s_object_find_private(module, session, p11s_algorithm_find(number), label, &key, NULL),
      code);
  return e;
}

static void private_by_label(void **state)
{
  struct p11s_keypair a = pair_of(13, "two words", "A", NULL);
  struct p11s_keypair b = pair_of(13, UTF8_LABEL, "B", NULL);
  struct p11s_keypair c = pair_of(13, LONG_LABEL, "C", NULL);

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
  struct p11s_keypair a = pair_of(13, "same", "A1", NULL);
  struct p11s_keypair b = pair_of(13, "same", "B1", NULL);

  (void)state;
  assert_int_equal(found(13, "pkcs11:object=same;id=A1"), a.private_key);
  assert_int_equal(found(13, "pkcs11:object=same;id=%42%31"), b.private_key);
  assert_int_equal(found(13, "pkcs11:id=B1;type=private"), b.private_key);
  assert_int_equal(found(13, "pkcs11:token=token;id=A1"), a.private_key);
  (void)not_found(13, "pkcs11:object=same", P11S_ERR_AMBIGUOUS);
  (void)not_found(13, "pkcs11:object=other;id=A1", P11S_ERR_NO_KEY);
  (void)not_found(13, "pkcs11:id=B1;type=public", P11S_ERR_SYNTAX);
  (void)not_found(13, "pkcs11:type=private", P11S_ERR_SYNTAX);
  (void)not_found(13, "pkcs11:object=", P11S_ERR_SYNTAX);
  (void)not_found(13, "pkcs11:token=token", P11S_ERR_SYNTAX);
  (void)not_found(13, "pkcs11:id=B1?pin-value=1234", P11S_ERR_SYNTAX);
}

static void two_private_keys_of_one_label(void **state)
{
  struct p11s_error e;

  (void)state;
  (void)pair_of(13, "same", "\x01\xab", NULL);
  (void)pair_of(15, "same", "\x02", NULL);
  e = not_found(13, "same", P11S_ERR_AMBIGUOUS);
  assert_non_null(strstr(e.text, "01ab"));
  assert_non_null(strstr(e.text, "02"));
  assert_non_null(strstr(e.text, "pkcs11:object="));
}

static void missing_key_names_the_others(void **state)
{
  struct p11s_error e = not_found(13, "gone", P11S_ERR_NO_KEY);
  char label[16];

  (void)state;
  assert_non_null(strstr(e.text, "it has: none"));
  for (int i = 0; i < 12; i++) {
    (void)snprintf(label, sizeof label, "key\n%02d", i);
    (void)pair_of(13, label, NULL, NULL);
  }
  e = not_found(13, "gone", P11S_ERR_NO_KEY);
  assert_non_null(strstr(e.text, "'gone'"));
  assert_non_null(strstr(e.text, "'key?0"));
  assert_non_null(strstr(e.text, "and 2 more"));
  assert_null(strchr(e.text, '\n'));
  (void)empty_token(NULL);
  (void)pair_of(13, "", "\x17", NULL);
  e = not_found(13, "gone", P11S_ERR_NO_KEY);
  assert_non_null(strstr(e.text, "id 17"));
}

static void private_key_of_another_type(void **state)
{
  struct p11s_error e;

  (void)state;
  (void)pair_of(8, "rsa", NULL, NULL);
  (void)pair_of(15, "ed", NULL, NULL);
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
  (void)pair_of(13, "hidden", NULL, NULL);
  assert_int_equal(module->C_Logout(session), CKR_OK);
  e = not_found(13, "hidden", P11S_ERR_NO_KEY);
  assert_non_null(strstr(e.text, "none"));
  assert_int_equal(module->C_Login(session, CKU_USER, (CK_UTF8CHAR *)USER_PIN, sizeof USER_PIN - 1),
                   CKR_OK);
}

/* --- public halves --------------------------------------------------------- */

static void assert_public(unsigned number, CK_OBJECT_HANDLE private_key, const char *label,
                          const char *pub_label, const struct p11s_pubkey *expected)
{
  struct p11s_pubkey *key = NULL;
  struct p11s_error e;

  if (p11s_object_read_public(module, session, p11s_algorithm_find(number), private_key, label,
                              pub_label, &key, &e) != P11S_OK)
    fail_msg("%s", e.text);
  assert_true(p11s_pubkey_equal(key, expected));
  p11s_pubkey_free(key);
}

static struct p11s_error no_public(unsigned number, CK_OBJECT_HANDLE private_key, const char *label,
                                   const char *pub_label, enum p11s_err code)
{
  struct p11s_pubkey *key = NULL;
  struct p11s_error e = {P11S_OK, ""};

  assert_int_equal(p11s_object_read_public(module, session, p11s_algorithm_find(number),
                                           private_key, label, pub_label, &key, &e),
                   code);
  assert_null(key);
  assert_int_equal(e.code, code);
  return e;
}

static void public_objects(void **state)
{
  static const unsigned numbers[] = {8, 13, 14, 15, 16};

  (void)state;
  for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
    struct p11s_pubkey *key;
    struct p11s_keypair pair = pair_of(numbers[i], "key", NULL, &key);

    assert_public(numbers[i], pair.private_key, "key", NULL, key);
    assert_public(numbers[i], pair.private_key, "key", "key", key);
    assert_public(numbers[i], pair.private_key, "pkcs11:object=key;type=private", NULL, key);
    assert_public(numbers[i], pair.private_key, "key", "pkcs11:object=key;type=public", key);
    p11s_pubkey_free(key);
    (void)empty_token(NULL);
  }
}

static void public_object_with_the_same_id_first(void **state)
{
  struct p11s_pubkey *a_key, *b_key;
  struct p11s_keypair a = pair_of(13, "same", "A", &a_key);
  struct p11s_keypair b = pair_of(13, "same", "B", &b_key);

  (void)state;
  assert_public(13, a.private_key, "same", NULL, a_key);
  assert_public(13, b.private_key, "same", NULL, b_key);
  /* Neither has the id: two of one label are none. */
  set(a.public_key, CKA_ID, "X", 1);
  set(b.public_key, CKA_ID, "Y", 1);
  (void)no_public(13, a.private_key, "same", NULL, P11S_ERR_NO_KEY);
  /* One of that label is meant, whatever its id. */
  set(b.public_key, CKA_LABEL, "other", 5);
  assert_public(13, a.private_key, "same", NULL, a_key);
  p11s_pubkey_free(a_key);
  p11s_pubkey_free(b_key);
}

/* Pairs share their id (PKCS#11 v2.40 section 4.7.2); a label is only a name. */
static void the_id_says_more_than_the_label(void **state)
{
  struct p11s_pubkey *right, *wrong;
  struct p11s_keypair pair = pair_of(13, "key", "A", &right);
  struct p11s_keypair other = pair_of(13, "other", "B", &wrong);

  (void)state;
  set(pair.public_key, CKA_LABEL, "its public half", 15);
  set(other.public_key, CKA_LABEL, "key", 3);
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
  return module->C_GetAttributeValue(s, object, attr, n);
}

static enum p11s_err read_kept(const struct p11s_pubkey *expected)
{
  CK_FUNCTION_LIST keeping = *module;
  struct p11s_pubkey *key = NULL;
  struct p11s_error e;
  enum p11s_err result;

  keeping.C_GetAttributeValue = keeping_attribute;
  result = p11s_object_read_public(&keeping, session, p11s_algorithm_find(13), keeper, "alone",
                                   NULL, &key, &e);
  if (result == P11S_OK)
    assert_true(p11s_pubkey_equal(key, expected));
  p11s_pubkey_free(key);
  return result;
}

static void public_half_with_the_private_key(void **state)
{
  /* SubjectPublicKeyInfo of a P-256 key, up to the point (RFC 5480) */
  unsigned char info[91] = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
                            0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
                            0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04};
  struct p11s_pubkey *key;
  struct p11s_keypair pair = pair_of(13, "alone", "", &key);
  size_t len;

  (void)state;
  memcpy(info + 27, p11s_pubkey_data(key, &len), 64);
  assert_int_equal(len, 64);
  destroy(pair.public_key);
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
  struct p11s_keypair pair = pair_of(13, "private", "\x01\x02", &key);

  (void)state;
  set(pair.public_key, CKA_LABEL, "public", 6);
  assert_public(13, pair.private_key, "private", "public", key);
  assert_public(13, pair.private_key, "private", NULL, key); /* by its id */
  assert_public(13, pair.private_key, "private", "nonsense", key);
  /* Two with that id, none with that label: it is not clear which is meant. */
  (void)pair_of(13, "twin", "\x01\x02", NULL);
  (void)no_public(13, pair.private_key, "private", NULL, P11S_ERR_NO_KEY);
  assert_public(13, pair.private_key, "private", "public", key);
  (void)no_public(13, pair.private_key, "private", "pkcs11:object=public;type=private",
                  P11S_ERR_SYNTAX);
  p11s_pubkey_free(key);
}

static void rsa_from_the_private_key(void **state)
{
  struct p11s_pubkey *key;
  struct p11s_keypair pair = pair_of(8, "alone", NULL, &key);

  (void)state;
  destroy(pair.public_key);
  assert_public(8, pair.private_key, "alone", NULL, key);
  p11s_pubkey_free(key);
}

/* Nor can it be found by an id that there is not. */
static void no_public_half(void **state)
{
  struct p11s_keypair pair = pair_of(13, "alone", "", NULL);
  struct p11s_error e;

  (void)state;
  destroy(pair.public_key);
  (void)pair_of(13, "other", "", NULL);
  /* SoftHSM does not keep the point with the private key. */
  e = no_public(13, pair.private_key, "alone", NULL, P11S_ERR_NO_KEY);
  assert_non_null(strstr(e.text, "'alone'"));
}

static void public_key_of_another_type(void **state)
{
  struct p11s_keypair pair = pair_of(14, "curve", NULL, NULL);

  (void)state;
  (void)no_public(13, pair.private_key, "curve", NULL, P11S_ERR_KEY_TYPE);
  pair = pair_of(8, "rsa", NULL, NULL);
  (void)no_public(13, pair.private_key, "rsa", NULL, P11S_ERR_KEY_TYPE);
}

/* A public object of another key must not hide the certificate that has the right one. */
static void certificates(void **state)
{
  struct p11s_pubkey *key;
  struct p11s_keypair pair = pair_of(13, "cert", "\x05", &key);

  (void)state;
  destroy(pair.public_key);
  add_certificate(key, "some other label", "\x05");
  assert_public(13, pair.private_key, "cert", NULL, key);
  (void)empty_token(NULL);
  pair = pair_of(14, "cert", "\x05", NULL); /* only its handle counts */
  add_certificate(key, "cert", "\x06");
  set(pair.public_key, CKA_ID, "\x05", 1);
  assert_public(13, pair.private_key, "cert", NULL, key);
  p11s_pubkey_free(key);
}

static void bad_certificates(void **state)
{
  struct p11s_pubkey *key;
  struct p11s_keypair pair = pair_of(13, "cert", "\x05", &key);
  EVP_PKEY *rsa = EVP_RSA_gen(1024);
  unsigned char *der;
  int len = certificate_der(rsa, &der);

  (void)state;
  destroy(pair.public_key);
  add_certificate_bytes((const unsigned char *)"nonsense", 8, "cert", "\x05");
  assert_int_not_equal(p11s_object_read_public(module, session, p11s_algorithm_find(13),
                                               pair.private_key, "cert", NULL,
                                               &(struct p11s_pubkey *){NULL}, NULL),
                       P11S_OK);
  add_certificate_bytes(der, (size_t)len, "cert", "\x05");
  assert_int_not_equal(p11s_object_read_public(module, session, p11s_algorithm_find(13),
                                               pair.private_key, "cert", NULL,
                                               &(struct p11s_pubkey *){NULL}, NULL),
                       P11S_OK);
  add_certificate(key, "cert", "\x05");
  assert_public(13, pair.private_key, "cert", NULL, key);
  OPENSSL_free(der);
  EVP_PKEY_free(rsa);
  p11s_pubkey_free(key);
}

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
  struct p11s_keypair pair;

  (void)state;
  assert_int_equal(p11s_object_each(module, session, note_object, &list, NULL), P11S_OK);
  assert_int_equal(list.count, 0);
  (void)pair_of(15, "e", "\x09", NULL);
  (void)pair_of(16, "f", "\x0a", NULL);
  pair = pair_of(14, "c", "\x02", NULL);
  destroy(pair.public_key);
  (void)pair_of(13, "c", "\x01", NULL);
  (void)pair_of(8, "b", "\x03", NULL);
  pair = pair_of(13, "a\tb", "", NULL);
  destroy(pair.private_key);
  assert_int_equal(p11s_object_each(module, session, note_object, &list, NULL), P11S_OK);
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
  assert_int_equal(
      module->C_GenerateKeyPair(session, &ec, public, 2, private, 1, &object, &object2), CKR_OK);
  assert_int_equal(module->C_CreateObject(session, other, 8, &object), CKR_OK);
  assert_int_equal(p11s_object_each(module, session, note_object, &list, NULL), P11S_OK);
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
  (void)pair_of(13, "same", "\x01", NULL);
  (void)pair_of(13, "same", "\x02", NULL);
  (void)pair_of(13, label, id, NULL);
  assert_int_equal(p11s_object_each(module, session, note_object, &list, NULL), P11S_OK);
  assert_int_equal(list.count, 3);
  assert_string_equal(list.infos[0].id, "01");
  assert_string_equal(list.infos[1].id, "02");
  assert_int_equal(strlen(list.infos[2].label), 255);
  assert_int_equal(strlen(list.infos[2].id), 128);
  assert_true(list.infos[2].has_private && list.infos[2].has_public);
}

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
    return module->C_GetAttributeValue(s, object, attr, n);
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
  (void)empty_token(state);
  bad = *module;
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

static void assert_read(enum p11s_err code, bool given)
{
  struct p11s_bytes value = {NULL, 77};
  struct p11s_error e;

  assert_int_equal(p11s_attribute_read(&bad, session, 1, CKA_LABEL, &value, &e), code);
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
  assert_int_equal(p11s_rv_last(), CKR_SESSION_HANDLE_INVALID);
}

static void numbers_that_lie(void **state)
{
  struct p11s_keypair pair = pair_of(13, "key", NULL, NULL);
  CK_ULONG value = 99;
  bool given;

  (void)state;
  assert_int_equal(p11s_attribute_read_ulong(module, session, pair.private_key, CKA_KEY_TYPE,
                                             &given, &value, NULL),
                   P11S_OK);
  assert_true(given);
  assert_int_equal(value, CKK_EC);
  value = 99;
  bad_type = CKA_KEY_TYPE;
  second_len = 4;
  assert_int_equal(p11s_attribute_read_ulong(&bad, session, pair.private_key, CKA_KEY_TYPE, &given,
                                             &value, NULL),
                   P11S_OK);
  assert_false(given);
  second_len = sizeof unavailable;
  assert_int_equal(p11s_attribute_read_ulong(&bad, session, pair.private_key, CKA_KEY_TYPE, &given,
                                             &value, NULL),
                   P11S_OK);
  assert_false(given);
  second_rv = CKR_BUFFER_TOO_SMALL;
  assert_int_equal(p11s_attribute_read_ulong(&bad, session, pair.private_key, CKA_KEY_TYPE, &given,
                                             &value, NULL),
                   P11S_OK);
  assert_false(given);
  assert_int_equal(value, 99);
  /* No flag without a whole CK_BBOOL. */
  bad_type = CKA_SIGN;
  second_rv = CKR_OK;
  second_len = 0;
  assert_false(p11s_object_flag(&bad, session, pair.private_key, CKA_SIGN));
  second_rv = CKR_DEVICE_ERROR;
  assert_false(p11s_object_flag(&bad, session, pair.private_key, CKA_SIGN));
  assert_true(p11s_object_flag(module, session, pair.private_key, CKA_SIGN));
}

static void searches_that_lie(void **state)
{
  struct p11s_handles all;

  (void)state;
  batches = 3;
  batch_len = 64;
  assert_int_equal(p11s_objects_search(&bad, session, NULL, 0, &all, NULL), P11S_OK);
  assert_int_equal(all.count, 192);
  assert_int_equal(finals, 1);
  p11s_handles_clear(&all);
  batches = 1;
  batch_len = 65; /* more than asked for */
  assert_int_equal(p11s_objects_search(&bad, session, NULL, 0, &all, NULL), P11S_ERR_TOKEN);
  assert_null(all.list);
  assert_int_equal(finals, 2);
  batches = CK_UNAVAILABLE_INFORMATION; /* without end */
  batch_len = 64;
  assert_int_equal(p11s_objects_search(&bad, session, NULL, 0, &all, NULL), P11S_ERR_TOKEN);
  assert_int_equal(finals, 3);
  find_rv = CKR_DEVICE_REMOVED;
  assert_int_equal(p11s_objects_search(&bad, session, NULL, 0, &all, NULL), P11S_ERR_TOKEN);
  assert_int_equal(p11s_rv_last(), CKR_DEVICE_REMOVED);
  assert_int_equal(finals, 4);
}

static void a_search_that_ignores_its_template(void **state)
{
  struct p11s_keypair a = pair_of(13, "a", NULL, NULL);
  CK_OBJECT_HANDLE key = 0;

  (void)state;
  (void)pair_of(13, "b", NULL, NULL);
  bad.C_GetAttributeValue = module->C_GetAttributeValue;
  bad.C_FindObjects = module->C_FindObjects;
  bad.C_FindObjectsFinal = module->C_FindObjectsFinal;
  /* Gives all objects of the class, whatever else was asked for. */
  bad.C_FindObjectsInit = bad_init;
  for (int i = 0; i < 2; i++) {
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_ATTRIBUTE template = {CKA_CLASS, &class, sizeof class};

    assert_int_equal(module->C_FindObjectsInit(session, &template, 1), CKR_OK);
    assert_int_equal(p11s_object_find_private(&bad, session, p11s_algorithm_find(13),
                                              i == 0 ? "a" : "b", &key, NULL),
                     P11S_OK);
    assert_int_equal(key == a.private_key, i == 0);
  }
}

/* --- small things ---------------------------------------------------------- */

static void bytes(void **state)
{
  struct p11s_bytes none = {NULL, 0}, some = {(unsigned char *)"\x01\xfe\x7f", 3};
  char hex[8];

  (void)state;
  p11s_bytes_hex(&none, hex, sizeof hex);
  assert_string_equal(hex, "");
  p11s_bytes_hex(&some, hex, sizeof hex);
  assert_string_equal(hex, "01fe7f");
  p11s_bytes_hex(&some, hex, 6);
  assert_string_equal(hex, "01fe");
  p11s_bytes_hex(&some, hex, 1);
  assert_string_equal(hex, "");
  assert_true(p11s_bytes_equal(&some, "\x01\xfe\x7f", 3));
  assert_false(p11s_bytes_equal(&some, "\x01\xfe\x7f", 2));
  assert_false(p11s_bytes_equal(&none, "", 0));
  p11s_bytes_clear(&none);
}

#define FRESH(test) cmocka_unit_test_setup(test, empty_token)

int main(void)
{
  const struct CMUnitTest tests[] = {
      FRESH(private_by_label),
      FRESH(private_by_uri),
      FRESH(two_private_keys_of_one_label),
      FRESH(missing_key_names_the_others),
      FRESH(private_key_of_another_type),
      FRESH(not_logged_in),
      FRESH(public_objects),
      FRESH(public_object_with_the_same_id_first),
      FRESH(public_object_of_another_label),
      FRESH(the_id_says_more_than_the_label),
      FRESH(public_half_with_the_private_key),
      FRESH(rsa_from_the_private_key),
      FRESH(no_public_half),
      FRESH(public_key_of_another_type),
      FRESH(certificates),
      FRESH(bad_certificates),
      FRESH(list_of_keys),
      FRESH(list_of_other_keys),
      FRESH(list_of_what_is_no_pair),
      cmocka_unit_test_setup(attributes_that_lie, bad_setup),
      cmocka_unit_test_setup(numbers_that_lie, bad_setup),
      cmocka_unit_test_setup(searches_that_lie, bad_setup),
      cmocka_unit_test_setup(a_search_that_ignores_its_template, bad_setup),
      cmocka_unit_test(bytes),
  };

  return cmocka_run_group_tests_name("object", tests, setup, teardown);
}

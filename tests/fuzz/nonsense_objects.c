/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is on the token, and what it does with it (nonsense_internal.h). */
#include "nonsense_internal.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <string.h>

#define OBJECTS 4
#define POINT_LEN 65

struct object {
  CK_OBJECT_CLASS class;
  char label[64];
  CK_ULONG label_len;
  unsigned char id[64];
  CK_ULONG id_len;
};

static const struct object healthy[2] = {
    {CKO_PRIVATE_KEY, "key", 3, {1, 2}, 2},
    {CKO_PUBLIC_KEY, "key", 3, {1, 2}, 2},
};

/* The key itself: the base point, that is, the private key 1. */
static EVP_PKEY *pkey;
static unsigned char point[2 + POINT_LEN] = {0x04, POINT_LEN};

/* guarded by lie.h's lock */
static struct object objects[OBJECTS];
static size_t object_count;
static size_t found[OBJECTS]; /* of the search under way */
static size_t found_count, found_at;

void nonsense_objects_setup(void)
{
  EC_GROUP *group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
  OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
  EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
  OSSL_PARAM *params;

  fuzz_must(group != NULL && bld != NULL && ctx != NULL, "no memory");
  fuzz_must(EC_POINT_point2oct(group, EC_GROUP_get0_generator(group), POINT_CONVERSION_UNCOMPRESSED,
                               point + 2, POINT_LEN, NULL) == POINT_LEN,
            "no base point");
  (void)OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0);
  (void)OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, point + 2, POINT_LEN);
  (void)OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_PRIV_KEY, BN_value_one());
  params = OSSL_PARAM_BLD_to_param(bld);
  fuzz_must(params != NULL && EVP_PKEY_fromdata_init(ctx) == 1 &&
                EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_KEYPAIR, params) == 1,
            "no key");
  OSSL_PARAM_free(params);
  OSSL_PARAM_BLD_free(bld);
  EVP_PKEY_CTX_free(ctx);
  EC_GROUP_free(group);
}

void nonsense_objects_reset_locked(void)
{
  memset(objects, 0, sizeof objects);
  memcpy(objects, healthy, sizeof healthy);
  object_count = sizeof healthy / sizeof healthy[0];
  found_count = found_at = 0;
}

/* -- objects: handles are 1 and up */

static struct object *object_locked(CK_OBJECT_HANDLE handle)
{
  return handle == 0 || handle > object_count || objects[handle - 1].class == 0
             ? NULL
             : &objects[handle - 1];
}

/* The attribute of a healthy key; false when it has none such. */
static bool attribute_of(const struct object *o, CK_ATTRIBUTE_TYPE type, const void **ret,
                         CK_ULONG *ret_len)
{
  static const unsigned char params[] = {0x06, 0x08, 0x2a, 0x86, 0x48,
                                         0xce, 0x3d, 0x03, 0x01, 0x07};
  static const CK_KEY_TYPE key_type = CKK_EC;
  static const CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
  const struct {
    CK_ATTRIBUTE_TYPE type;
    const void *value;
    CK_ULONG len;
    bool is_public; /* private keys need not have it */
  } all[] = {
      {CKA_CLASS, &o->class, sizeof o->class, false},
      {CKA_KEY_TYPE, &key_type, sizeof key_type, false},
      {CKA_LABEL, o->label, o->label_len, false},
      {CKA_ID, o->id, o->id_len, false},
      {CKA_EC_PARAMS, params, sizeof params, false},
      {CKA_EC_POINT, point, sizeof point, true},
      {CKA_SENSITIVE, &yes, sizeof yes, false},
      {CKA_EXTRACTABLE, &no, sizeof no, false},
  };

  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
    if (all[i].type == type && (!all[i].is_public || o->class == CKO_PUBLIC_KEY)) {
      *ret = all[i].value;
      *ret_len = all[i].len;
      return true;
    }
  return false;
}

CK_RV nonsense_get_attribute(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE handle,
                             CK_ATTRIBUTE *attrs, CK_ULONG n)
{
  struct lie lie = lie_enter(LIE_GET_ATTRIBUTE);
  const struct object *o = object_locked(handle);
  const void *truth = "";
  CK_ULONG len = 0;

  (void)session;
  fuzz_must(n == 1, "attributes are asked for one by one");
  if (o == NULL || !attribute_of(o, attrs->type, &truth, &len)) {
    /* What is not there can be lied about all the same. */
    if (lie.kind == 0) {
      attrs->ulValueLen = CK_UNAVAILABLE_INFORMATION;
      return lie_leave(o == NULL ? CKR_OBJECT_HANDLE_INVALID : CKR_ATTRIBUTE_TYPE_INVALID);
    }
  }
  return lie_leave(lie_give(&lie, attrs->pValue, &attrs->ulValueLen, truth, len, 1));
}

CK_RV nonsense_set_attribute(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE handle,
                             CK_ATTRIBUTE *attrs, CK_ULONG n)
{
  struct lie lie = lie_enter(LIE_SET_ATTRIBUTE);
  struct object *o = object_locked(handle);
  CK_RV rv;

  (void)session;
  if (lie_fails(&lie, &rv))
    return lie_leave(rv);
  if (o != NULL && n == 1 && attrs->type == CKA_ID && attrs->ulValueLen <= sizeof o->id) {
    memcpy(o->id, attrs->pValue, attrs->ulValueLen);
    o->id_len = attrs->ulValueLen;
  }
  return lie_leave(CKR_OK);
}

static bool matches(const struct object *o, const CK_ATTRIBUTE *template, CK_ULONG n)
{
  for (CK_ULONG i = 0; i < n; i++) {
    const void *value;
    CK_ULONG len;

    if (!attribute_of(o, template[i].type, &value, &len) || len != template[i].ulValueLen ||
        (len > 0 && memcmp(value, template[i].pValue, len) != 0))
      return false;
  }
  return true;
}

CK_RV nonsense_find_init(CK_SESSION_HANDLE session, CK_ATTRIBUTE *template, CK_ULONG n)
{
  struct lie lie = lie_enter(LIE_FIND_INIT);
  CK_RV rv;

  (void)session;
  if (lie_fails(&lie, &rv))
    return lie_leave(rv);
  found_count = found_at = 0;
  for (size_t i = 0; i < object_count; i++)
    if (objects[i].class != 0 && matches(&objects[i], template, n))
      found[found_count++] = i + 1;
  return lie_leave(CKR_OK);
}

CK_RV nonsense_find(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *list, CK_ULONG room, CK_ULONG *n)
{
  struct lie lie = lie_enter(LIE_FIND);
  CK_ULONG count = found_count - found_at;
  CK_RV rv;

  (void)session;
  if (lie_fails(&lie, &rv))
    return lie_leave(rv);
  if (lie.kind == 'n')
    return lie_leave(CKR_OK);
  if (count > room)
    count = room;
  for (CK_ULONG i = 0; i < count; i++)
    list[i] = found[found_at++];
  *n = lie_number(&lie, count);
  /* What it did not find, it makes up. */
  for (CK_ULONG i = count; i < *n && i < room; i++)
    list[i] = 1;
  if (lie.kind == 'f')
    *n = room;
  lie_bytes(&lie, list, (lie.kind == 'f' ? room : count) * sizeof *list);
  return lie_leave(CKR_OK);
}

CK_RV nonsense_find_final(CK_SESSION_HANDLE session)
{
  (void)session;
  return lie_plain(LIE_FIND_FINAL);
}

/* -- keys */

CK_RV nonsense_sign_init(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
  (void)session;
  (void)mechanism;
  (void)key;
  return lie_plain(LIE_SIGN_INIT);
}

static void make_signature(const unsigned char *data, size_t len, unsigned char *to)
{
  EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
  unsigned char der[128];
  const unsigned char *at = der;
  size_t der_len = sizeof der;
  ECDSA_SIG *sig = NULL;

  memset(to, 0, 64);
  if (ctx != NULL && EVP_PKEY_sign_init(ctx) == 1 &&
      EVP_PKEY_sign(ctx, der, &der_len, data, len) == 1)
    sig = d2i_ECDSA_SIG(NULL, &at, (long)der_len);
  if (sig != NULL) {
    (void)BN_bn2binpad(ECDSA_SIG_get0_r(sig), to, 32);
    (void)BN_bn2binpad(ECDSA_SIG_get0_s(sig), to + 32, 32);
  }
  ECDSA_SIG_free(sig);
  EVP_PKEY_CTX_free(ctx);
  /* Long messages of other algorithms: its own trouble, not the core's. */
  ERR_clear_error();
}

CK_RV nonsense_sign(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG len, CK_BYTE *signature,
                    CK_ULONG *signature_len)
{
  struct lie lie = lie_enter(LIE_SIGN);
  unsigned char truth[64];

  (void)session;
  make_signature(data, len, truth);
  return lie_leave(lie_give(&lie, signature, signature_len, truth, sizeof truth, 1));
}

static CK_OBJECT_HANDLE add_object_locked(CK_OBJECT_CLASS class, const CK_ATTRIBUTE *template,
                                          CK_ULONG n)
{
  struct object *o = &objects[object_count];

  if (object_count == OBJECTS)
    return CK_INVALID_HANDLE;
  memset(o, 0, sizeof *o);
  o->class = class;
  for (CK_ULONG i = 0; i < n; i++) {
    if (template[i].type == CKA_LABEL && template[i].ulValueLen <= sizeof o->label) {
      memcpy(o->label, template[i].pValue, template[i].ulValueLen);
      o->label_len = template[i].ulValueLen;
    } else if (template[i].type == CKA_ID && template[i].ulValueLen <= sizeof o->id) {
      memcpy(o->id, template[i].pValue, template[i].ulValueLen);
      o->id_len = template[i].ulValueLen;
    }
  }
  return ++object_count;
}

CK_RV nonsense_generate(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_ATTRIBUTE *pub,
                        CK_ULONG n_pub, CK_ATTRIBUTE *priv, CK_ULONG n_priv,
                        CK_OBJECT_HANDLE *ret_pub, CK_OBJECT_HANDLE *ret_priv)
{
  struct lie lie = lie_enter(LIE_GENERATE);
  CK_RV rv;

  (void)session;
  (void)mechanism;
  if (lie_fails(&lie, &rv))
    return lie_leave(rv);
  if (lie.kind == 'n')
    return lie_leave(CKR_OK);
  *ret_priv = lie_number(&lie, add_object_locked(CKO_PRIVATE_KEY, priv, n_priv));
  *ret_pub = lie_number(&lie, add_object_locked(CKO_PUBLIC_KEY, pub, n_pub));
  return lie_leave(CKR_OK);
}

CK_RV nonsense_destroy(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE handle)
{
  struct lie lie = lie_enter(LIE_DESTROY);
  struct object *o = object_locked(handle);
  CK_RV rv;

  (void)session;
  if (lie_fails(&lie, &rv))
    return lie_leave(rv);
  if (o == NULL)
    return lie_leave(CKR_OBJECT_HANDLE_INVALID);
  o->class = 0;
  return lie_leave(CKR_OK);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/byteorder.h"
#include "base/crypto.h"
#include "format/pubkey_internal.h"

#include <limits.h>
#include <openssl/asn1.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* x and y of P-384 */
#define MAX_COORDINATES 96
/* an uncompressed point of P-521, the largest that is recognized */
#define MAX_POINT 133

/* One DER element that is all of s; false when it is another type or anything is left over. */
static bool der_unwrap(struct p11s_slice s, int tag, struct p11s_slice *ret_content)
{
  const unsigned char *at = s.at;
  int found, class;
  long len;

  if (ASN1_get_object(&at, &len, &found, &class, (long)s.len) != 0 || found != tag ||
      class != V_ASN1_UNIVERSAL || ASN1_object_size(0, (int)len, tag) != (int)s.len)
    return false;
  *ret_content = (struct p11s_slice){at, (size_t)len};
  return true;
}

/* Names that tokens give in a PrintableString, and ours for them. */
static const struct {
  const char *name;
  const char *kind;
} curve_names[] = {
    {"edwards25519", "Ed25519"}, {"Ed25519", "Ed25519"},   {"edwards448", "Ed448"},
    {"Ed448", "Ed448"},          {"curve25519", "X25519"}, {"curve448", "X448"},
    {"prime256v1", "P-256"},     {"secp256r1", "P-256"},   {"P-256", "P-256"},
    {"secp384r1", "P-384"},      {"P-384", "P-384"},
};

/* OIDs that libcrypto calls by another name, or does not know. */
static const struct {
  const char *oid;
  const char *kind;
} curve_oids[] = {
    {"1.3.101.112", "Ed25519"},
    {"1.3.101.113", "Ed448"},
    /* GnuPG's, which OpenSC uses */
    {"1.3.6.1.4.1.11591.15.1", "Ed25519"},
    {"1.3.101.110", "X25519"},
    {"1.3.6.1.4.1.3029.1.5.1", "X25519"},
};

/* "P-256" or what else there is to say for an OID; nothing when it is none. */
static void name_oid(struct p11s_slice params, char *ret_name, size_t size)
{
  const unsigned char *at = params.at;
  ASN1_OBJECT *object = d2i_ASN1_OBJECT(NULL, &at, (long)params.len);
  const char *nist = NULL;
  char dotted[128];

  if (object == NULL)
    return;
  if (OBJ_obj2txt(dotted, sizeof dotted, object, 1) <= 0)
    (void)snprintf(dotted, sizeof dotted, "?");
  for (size_t i = 0; i < sizeof curve_oids / sizeof curve_oids[0]; i++)
    if (strcmp(dotted, curve_oids[i].oid) == 0)
      nist = curve_oids[i].kind;
  if (nist == NULL)
    nist = EC_curve_nid2nist(OBJ_obj2nid(object));
  if (nist != NULL)
    (void)snprintf(ret_name, size, "%s", nist);
  else
    (void)snprintf(ret_name, size, "on the curve %s", dotted);
  ASN1_OBJECT_free(object);
}

static void name_printable(struct p11s_slice text, char *ret_name, size_t size)
{
  for (size_t i = 0; i < sizeof curve_names / sizeof curve_names[0]; i++)
    if (strlen(curve_names[i].name) == text.len &&
        strncasecmp(curve_names[i].name, (const char *)text.at, text.len) == 0) {
      (void)snprintf(ret_name, size, "%s", curve_names[i].kind);
      return;
    }
  (void)snprintf(ret_name, size, "on the curve %.*s", (int)text.len, (const char *)text.at);
}

/* CKA_EC_PARAMS must name the algorithm's curve. */
static enum p11s_err check_params(const struct p11s_algorithm *alg, struct p11s_slice params,
                                  struct p11s_error *e)
{
  char found[160] = "on a curve that CKA_EC_PARAMS does not name";
  struct p11s_slice content;

  if (params.len == 0)
    return P11S_OK;
  if (der_unwrap(params, V_ASN1_OBJECT, &content))
    name_oid(params, found, sizeof found);
  else if (der_unwrap(params, V_ASN1_PRINTABLESTRING, &content))
    name_printable(content, found, sizeof found);
  else if (params.at[0] == (V_ASN1_CONSTRUCTED | V_ASN1_SEQUENCE))
    (void)snprintf(found, sizeof found, "on a curve given by its numbers, not by its name");
  if (strcmp(found, alg->kind) == 0)
    return P11S_OK;
  return p11s_pubkey_wrong_kind(alg, found, e);
}

/* Whether a point of this length can be one of the algorithm's. */
static bool length_fits(const struct p11s_algorithm *alg, size_t len)
{
  if (alg->family == P11S_EDDSA)
    return len == alg->public_len;
  return len == 1 + alg->public_len || len == 1 + alg->public_len / 2;
}

/* Finds the point in CKA_EC_POINT. A raw one and a wrapped one never have the same length. */
static bool find_point(const struct p11s_algorithm *alg, struct p11s_slice data,
                       struct p11s_slice *ret_point)
{
  struct p11s_slice content;

  if (length_fits(alg, data.len)) {
    *ret_point = data;
    return true;
  }
  if (der_unwrap(data, V_ASN1_OCTET_STRING, &content) && length_fits(alg, content.len)) {
    *ret_point = content;
    return true;
  }
  /* the first byte of a BIT STRING counts the bits that are not used */
  if (der_unwrap(data, V_ASN1_BIT_STRING, &content) && content.len > 0 && content.at[0] == 0 &&
      length_fits(alg, content.len - 1)) {
    *ret_point = (struct p11s_slice){content.at + 1, content.len - 1};
    return true;
  }
  return false;
}

/* For the message: the kind of key that a point of this form would be. */
static enum p11s_err wrong_point(const struct p11s_algorithm *alg, struct p11s_slice data,
                                 struct p11s_error *e)
{
  const struct p11s_algorithm *other;
  struct p11s_slice point;
  char found[80];

  for (size_t i = 0; (other = p11s_algorithm_at(i)) != NULL; i++)
    if (other->family != P11S_RSA && find_point(other, data, &point))
      return p11s_pubkey_wrong_kind(alg, other->kind, e);
  (void)snprintf(found, sizeof found, "one with a CKA_EC_POINT of %zu byte%s in an unknown form",
                 data.len, p11s_plural(data.len));
  return p11s_pubkey_wrong_kind(alg, found, e);
}

/* Whether the first byte says what the length says. libcrypto would take the hybrid form as well.
 */
static bool form_fits(const struct p11s_algorithm *alg, struct p11s_slice point)
{
  if (point.len == 1 + alg->public_len)
    return point.at[0] == POINT_CONVERSION_UNCOMPRESSED;
  return point.at[0] == 2 || point.at[0] == 3;
}

/* Writes x and y of a SEC 1 point, compressed or not; false when there is no such point. */
static bool coordinates(const struct p11s_algorithm *alg, struct p11s_slice point,
                        unsigned char *to)
{
  unsigned char full[1 + MAX_COORDINATES];
  EC_GROUP *group = EC_GROUP_new_by_curve_name_ex(p11s_crypto(), NULL, OBJ_sn2nid(alg->curve));
  EC_POINT *p = group == NULL ? NULL : EC_POINT_new(group);
  bool good = p != NULL && form_fits(alg, point) &&
              EC_POINT_oct2point(group, p, point.at, point.len, NULL) == 1 &&
              EC_POINT_point2oct(group, p, POINT_CONVERSION_UNCOMPRESSED, full, sizeof full,
                                 NULL) == 1 + alg->public_len;

  if (good)
    memcpy(to, full + 1, alg->public_len);
  EC_POINT_free(p);
  EC_GROUP_free(group);
  return good;
}

static enum p11s_err from_ec(const struct p11s_algorithm *alg, struct p11s_slice params,
                             struct p11s_slice data, struct p11s_pubkey **ret_key,
                             struct p11s_error *e)
{
  unsigned char xy[MAX_COORDINATES];
  struct p11s_slice point;
  enum p11s_err err = check_params(alg, params, e);

  if (err != P11S_OK)
    return err;
  if (!find_point(alg, data, &point))
    return wrong_point(alg, data, e);
  if (alg->family == P11S_EDDSA)
    return p11s_pubkey_from_dnskey(alg, point.at, point.len, ret_key, e);
  if (!coordinates(alg, point, xy))
    return p11s_pubkey_off_curve(alg, e);
  return p11s_pubkey_from_dnskey(alg, xy, alg->public_len, ret_key, e);
}

enum p11s_err p11s_pubkey_from_ec(const struct p11s_algorithm *alg, struct p11s_slice params,
                                  struct p11s_slice point, struct p11s_pubkey **ret_key,
                                  struct p11s_error *e)
{
  enum p11s_err err;

  if (alg->family == P11S_RSA)
    return p11s_pubkey_wrong_kind(alg, "an elliptic curve key", e);
  if (params.len > INT_MAX || point.len > INT_MAX)
    return p11s_pubkey_wrong_kind(alg, "too long", e);
  ERR_set_mark();
  err = from_ec(alg, params, point, ret_key, e);
  ERR_pop_to_mark();
  return err;
}

static struct p11s_slice strip_zeros(struct p11s_slice n)
{
  for (; n.len > 0 && n.at[0] == 0; n.len--)
    n.at++;
  return n;
}

enum p11s_err p11s_pubkey_from_rsa(const struct p11s_algorithm *alg, struct p11s_slice modulus,
                                   struct p11s_slice exponent, struct p11s_pubkey **ret_key,
                                   struct p11s_error *e)
{
  unsigned char data[3 + 2 * P11S_RSA_MAX_BITS / 8] = {0};
  struct p11s_slice n = strip_zeros(modulus), x = strip_zeros(exponent);
  size_t head = x.len > 255 ? 3 : 1;
  enum p11s_err err;

  if (alg->family != P11S_RSA)
    return p11s_pubkey_wrong_kind(alg, "RSA", e);
  err = p11s_pubkey_check_rsa(alg, n, x, e);
  if (err != P11S_OK)
    return err;
  if (head == 1)
    data[0] = (unsigned char)x.len;
  else
    p11s_put16(data + 1, (uint16_t)x.len);
  memcpy(data + head, x.at, x.len);
  memcpy(data + head + x.len, n.at, n.len);
  return p11s_pubkey_from_dnskey(alg, data, head + x.len + n.len, ret_key, e);
}

static enum p11s_err from_rsa_pkey(const struct p11s_algorithm *alg, const EVP_PKEY *pkey,
                                   struct p11s_pubkey **ret_key, struct p11s_error *e)
{
  BIGNUM *n = NULL, *x = NULL;
  unsigned char *bytes = NULL;
  size_t n_len, x_len;
  enum p11s_err err;

  if (EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_N, &n) != 1 ||
      EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_E, &x) != 1) {
    err = p11s_pubkey_wrong_kind(alg, "RSA without modulus or exponent", e);
    goto out;
  }
  n_len = (size_t)BN_num_bytes(n);
  x_len = (size_t)BN_num_bytes(x);
  bytes = OPENSSL_malloc(n_len + x_len + 1);
  if (bytes == NULL) {
    err = p11s_error_no_memory(e);
    goto out;
  }
  (void)BN_bn2bin(n, bytes);
  (void)BN_bn2bin(x, bytes + n_len);
  err = p11s_pubkey_from_rsa(alg, (struct p11s_slice){bytes, n_len},
                             (struct p11s_slice){bytes + n_len, x_len}, ret_key, e);
out:
  OPENSSL_free(bytes);
  BN_free(n);
  BN_free(x);
  return err;
}

/* The public key of any type, as RSA numbers or as a point. */
static enum p11s_err from_pkey(const struct p11s_algorithm *alg, const EVP_PKEY *pkey,
                               struct p11s_pubkey **ret_key, struct p11s_error *e)
{
  char group[64] = "";
  unsigned char point[MAX_POINT];
  size_t len = sizeof point;
  const char *found = NULL;

  if (EVP_PKEY_is_a(pkey, "RSA"))
    return from_rsa_pkey(alg, pkey, ret_key, e);
  if (EVP_PKEY_is_a(pkey, "EC")) {
    if (EVP_PKEY_get_group_name(pkey, group, sizeof group, NULL) == 1)
      found = EC_curve_nid2nist(OBJ_sn2nid(group));
    if (found == NULL)
      found = group[0] != '\0' ? group : "EC";
    if (strcmp(found, alg->kind) == 0 &&
        EVP_PKEY_get_octet_string_param(pkey, OSSL_PKEY_PARAM_PUB_KEY, point, len, &len) == 1)
      return p11s_pubkey_from_ec(alg, (struct p11s_slice){NULL, 0}, (struct p11s_slice){point, len},
                                 ret_key, e);
    return p11s_pubkey_wrong_kind(alg, found, e);
  }
  if (alg->family == P11S_EDDSA && EVP_PKEY_is_a(pkey, alg->curve) &&
      EVP_PKEY_get_raw_public_key(pkey, point, &len) == 1)
    return p11s_pubkey_from_dnskey(alg, point, len, ret_key, e);
  found = EVP_PKEY_get0_type_name(pkey);
  return p11s_pubkey_wrong_kind(alg, found == NULL ? "of an unknown type" : found, e);
}

enum p11s_err p11s_pubkey_from_certificate(const struct p11s_algorithm *alg,
                                           const unsigned char *der, size_t len,
                                           struct p11s_pubkey **ret_key, struct p11s_error *e)
{
  const unsigned char *at = der;
  X509 *certificate = X509_new_ex(p11s_crypto(), NULL);
  bool read;
  EVP_PKEY *pkey;
  enum p11s_err err;

  if (certificate == NULL)
    return p11s_error_no_memory(e);
  ERR_set_mark();
  read = len <= INT_MAX && d2i_X509(&certificate, &at, (long)len) != NULL;
  pkey = read ? X509_get0_pubkey(certificate) : NULL;
  if (!read)
    err = p11s_error_set(e, P11S_ERR_KEY_TYPE, "the certificate cannot be read (X.509, DER)");
  else if (at != der + len)
    err = p11s_error_set(e, P11S_ERR_KEY_TYPE, "the certificate has %zu byte%s behind its end",
                         (size_t)(der + len - at), p11s_plural((size_t)(der + len - at)));
  else if (pkey == NULL)
    err = p11s_error_set(e, P11S_ERR_KEY_TYPE, "the certificate's public key cannot be read");
  else
    err = from_pkey(alg, pkey, ret_key, e);
  X509_free(certificate);
  ERR_pop_to_mark();
  return err;
}

enum p11s_err p11s_pubkey_from_info(const struct p11s_algorithm *alg, const unsigned char *der,
                                    size_t len, struct p11s_pubkey **ret_key, struct p11s_error *e)
{
  const unsigned char *at = der;
  EVP_PKEY *pkey = NULL;
  enum p11s_err err;

  ERR_set_mark();
  if (len <= INT_MAX)
    pkey = d2i_PUBKEY_ex(NULL, &at, (long)len, p11s_crypto(), NULL);
  if (pkey == NULL || at != der + len)
    err = p11s_error_set(e, P11S_ERR_KEY_TYPE,
                         "the public key of %zu byte%s is no SubjectPublicKeyInfo (DER)", len,
                         p11s_plural(len));
  else
    err = from_pkey(alg, pkey, ret_key, e);
  EVP_PKEY_free(pkey);
  ERR_pop_to_mark();
  return err;
}

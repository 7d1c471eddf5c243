/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading the public half of a key (pkcs11/object.h). */
#include "pkcs11/object.h"

#include "pkcs11/attribute.h"
#include "pkcs11/object_internal.h"
#include "pkcs11/rv.h"

/* The key whose public half is looked for. */
struct search {
  struct p11s_session *session;
  const struct p11s_private *key;
  struct p11s_bytes id;         /* the private key's; empty: it has none */
  struct p11s_bytes label;      /* the private key's, as the token has it */
  struct p11s_object_name name; /* of the public key */
  struct p11s_error first;      /* what was wrong with the first source that has a key at all */
};

static enum p11s_err read_parts(struct p11s_session *session, const struct p11s_algorithm *alg,
                                CK_OBJECT_HANDLE object, struct p11s_pubkey **ret_key,
                                struct p11s_error *e)
{
  bool rsa = alg->family == P11S_RSA;
  struct p11s_bytes first = {NULL, 0}, second = {NULL, 0};
  enum p11s_err result =
      p11s_attribute_read(session, object, rsa ? CKA_MODULUS : CKA_EC_POINT, &first, e);

  if (result == P11S_OK)
    result =
        p11s_attribute_read(session, object, rsa ? CKA_PUBLIC_EXPONENT : CKA_EC_PARAMS, &second, e);
  if (result == P11S_OK && (first.len == 0 || (rsa && second.len == 0)))
    result = p11s_error_set(e, P11S_ERR_NO_KEY,
                            rsa ? "the token gives no RSA public key"
                                : "the token gives no public point");
  else if (result == P11S_OK && rsa)
    result = p11s_pubkey_from_rsa(alg, (struct p11s_slice){first.data, first.len},
                                  (struct p11s_slice){second.data, second.len}, ret_key, e);
  else if (result == P11S_OK)
    result = p11s_pubkey_from_ec(alg, (struct p11s_slice){second.data, second.len},
                                 (struct p11s_slice){first.data, first.len}, ret_key, e);
  p11s_bytes_clear(&first);
  p11s_bytes_clear(&second);
  return result;
}

static enum p11s_err read_info(struct p11s_session *session, const struct p11s_algorithm *alg,
                               CK_OBJECT_HANDLE object, struct p11s_pubkey **ret_key,
                               struct p11s_error *e)
{
  struct p11s_bytes info;
  enum p11s_err result = p11s_attribute_read(session, object, CKA_PUBLIC_KEY_INFO, &info, e);

  if (result == P11S_OK && info.len > 0)
    result = p11s_pubkey_from_info(alg, info.data, info.len, ret_key, e);
  else if (result == P11S_OK)
    result = p11s_error_set(e, P11S_ERR_NO_KEY, "the token gives no public key");
  p11s_bytes_clear(&info);
  return result;
}

enum p11s_err p11s_object_public_from(struct p11s_session *session,
                                      const struct p11s_algorithm *alg, CK_OBJECT_HANDLE object,
                                      struct p11s_pubkey **ret_key, struct p11s_error *e)
{
  struct p11s_error said = {0};
  CK_ULONG type;
  bool given;
  enum p11s_err result = p11s_attribute_read_ulong(session, object, CKA_KEY_TYPE, &given, &type, e);

  if (result != P11S_OK)
    return result;
  if (given && type != alg->key_type)
    return p11s_error_set(e, P11S_ERR_KEY_TYPE,
                          "the public key is of type %s, algorithm %u (%s) needs %s",
                          p11s_key_type_name(type), alg->number, alg->mnemonic, alg->kind);
  result = read_parts(session, alg, object, ret_key, e);
  if (result != P11S_ERR_NO_KEY)
    return result;
  result = read_info(session, alg, object, ret_key, &said);
  if (result != P11S_ERR_NO_KEY && e != NULL)
    *e = said;
  return result;
}

/* A source that does not have the key, or another one, must not hide the next: only what would hit
   that one too ends the search. */
static bool goes_on(struct search *s, enum p11s_err result, const struct p11s_error *said)
{
  if (result == P11S_OK || result == P11S_ERR_NOMEM || result == P11S_ERR_TOKEN)
    return false;
  if (result != P11S_ERR_NO_KEY && s->first.code == P11S_OK)
    s->first = *said;
  return true;
}

static enum p11s_err has_id(const struct search *s, CK_OBJECT_HANDLE object, bool *ret_has,
                            struct p11s_error *e)
{
  struct p11s_bytes id;
  enum p11s_err result = p11s_attribute_read(s->session, object, CKA_ID, &id, e);

  if (result != P11S_OK)
    return result;
  *ret_has = p11s_bytes_equal(&id, s->id.data, s->id.len);
  p11s_bytes_clear(&id);
  return P11S_OK;
}

/* Objects that the key can do without: a search that the token refuses finds none. */
static enum p11s_err search_named(struct search *s, CK_OBJECT_CLASS class,
                                  const struct p11s_object_name *name, struct p11s_handles *ret,
                                  struct p11s_error *e)
{
  enum p11s_err result = p11s_objects_named(s->session, class, name, ret, e);

  return result == P11S_ERR_TOKEN && p11s_rv_is_unknown_template(e->rv) ? P11S_OK : result;
}

/* Without a value to look for there are none. */
static enum p11s_err search_by(struct search *s, CK_OBJECT_CLASS class, CK_ATTRIBUTE_TYPE type,
                               const struct p11s_bytes *value, struct p11s_handles *ret,
                               struct p11s_error *e)
{
  struct p11s_object_name name = {.attrs = {{type, value->data, value->len}}, .count = 1};

  *ret = (struct p11s_handles){NULL, 0};
  return value->len > 0 ? search_named(s, class, &name, ret, e) : P11S_OK;
}

/* Keeps those of them that have the private key's id, if there are any. *ret_have: whether. */
static enum p11s_err prefer_id(struct search *s, struct p11s_handles *labelled, bool *ret_have,
                               struct p11s_error *e)
{
  enum p11s_err result = P11S_OK;
  size_t kept = 0;

  for (size_t i = 0; result == P11S_OK && s->id.len > 0 && i < labelled->count; i++) {
    CK_OBJECT_HANDLE object = labelled->list[i];
    bool has = false;

    result = has_id(s, object, &has, e);
    if (result == P11S_OK && has) {
      labelled->list[i] = labelled->list[kept];
      labelled->list[kept++] = object;
    }
  }
  *ret_have = kept > 0;
  if (kept > 0)
    labelled->count = kept;
  return result;
}

/* The public key objects that may be meant, by the rules in pkcs11/object.h; none is no error. */
static enum p11s_err find_publics(struct search *s, struct p11s_handles *ret, struct p11s_error *e)
{
  struct p11s_handles labelled, same_id = {NULL, 0};
  bool both = false;
  enum p11s_err result = search_named(s, CKO_PUBLIC_KEY, &s->name, &labelled, e);

  if (result == P11S_OK)
    result = prefer_id(s, &labelled, &both, e);
  if (result == P11S_OK && !both)
    result = search_by(s, CKO_PUBLIC_KEY, CKA_ID, &s->id, &same_id, e);
  if (result == P11S_OK && labelled.count == 0 && same_id.count == 0) {
    p11s_handles_clear(&labelled);
    /* its own label alone, where the reference has an id too, or only that */
    result = search_by(s, CKO_PUBLIC_KEY, CKA_LABEL, &s->label, &labelled, e);
  }
  if (result != P11S_OK) {
    p11s_handles_clear(&labelled);
    return result;
  }
  if (both || same_id.count == 0 || (s->key->pub_label != NULL && labelled.count > 0)) {
    *ret = labelled;
    p11s_handles_clear(&same_id);
  } else {
    *ret = same_id;
    p11s_handles_clear(&labelled);
  }
  return P11S_OK;
}

/* Takes the key over. */
static void add_public(struct p11s_publics *publics, struct p11s_pubkey *key)
{
  for (size_t i = 0; i < publics->count; i++)
    if (p11s_pubkey_equal(publics->list[i], key)) {
      p11s_pubkey_free(key);
      return;
    }
  if (publics->count < P11S_PUBLICS_MOST)
    publics->list[publics->count++] = key;
  else
    p11s_pubkey_free(key);
}

void p11s_publics_clear(struct p11s_publics *publics)
{
  for (size_t i = 0; i < publics->count; i++)
    p11s_pubkey_free(publics->list[i]);
  publics->count = 0;
}

static enum p11s_err from_public_objects(struct search *s, struct p11s_publics *ret,
                                         struct p11s_error *e)
{
  struct p11s_handles objects = {NULL, 0};
  enum p11s_err result = find_publics(s, &objects, e);

  for (size_t i = 0; result == P11S_OK && i < objects.count; i++) {
    struct p11s_pubkey *key = NULL;

    result = p11s_object_public_from(s->session, s->key->alg, objects.list[i], &key, e);
    if (result == P11S_OK)
      add_public(ret, key);
    else if (goes_on(s, result, e))
      result = P11S_OK;
  }
  p11s_handles_clear(&objects);
  if (result == P11S_OK && ret->count == 0)
    result = p11s_error_set(e, P11S_ERR_NO_KEY, "no public key object");
  return result;
}

/* In place of what is there already. */
static enum p11s_err from_private_key(struct search *s, struct p11s_publics *ret,
                                      struct p11s_error *e)
{
  struct p11s_pubkey *key = NULL;
  enum p11s_err result = p11s_object_public_from(s->session, s->key->alg, s->key->handle, &key, e);

  if (result == P11S_OK) {
    p11s_publics_clear(ret);
    add_public(ret, key);
  }
  return result;
}

static enum p11s_err read_certificate(struct search *s, CK_OBJECT_HANDLE object,
                                      struct p11s_pubkey **ret_key, struct p11s_error *e)
{
  struct p11s_bytes der;
  enum p11s_err result = p11s_attribute_read(s->session, object, CKA_VALUE, &der, e);

  if (result == P11S_OK && der.len > 0)
    result = p11s_pubkey_from_certificate(s->key->alg, der.data, der.len, ret_key, e);
  else if (result == P11S_OK)
    result = p11s_error_set(e, P11S_ERR_NO_KEY, "a certificate without value");
  p11s_bytes_clear(&der);
  return result;
}

/* The first of them that holds a key of the algorithm. */
static enum p11s_err from_certificates(struct search *s, const struct p11s_handles *found,
                                       struct p11s_pubkey **ret_key, struct p11s_error *e)
{
  enum p11s_err result = p11s_error_set(e, P11S_ERR_NO_KEY, "no certificate");

  for (size_t i = 0; i < found->count && goes_on(s, result, e); i++)
    result = read_certificate(s, found->list[i], ret_key, e);
  return result;
}

static enum p11s_err from_certificate(struct search *s, struct p11s_pubkey **ret_key,
                                      struct p11s_error *e)
{
  struct p11s_handles found;
  enum p11s_err result = search_by(s, CKO_CERTIFICATE, CKA_ID, &s->id, &found, e);

  if (result == P11S_OK)
    result = from_certificates(s, &found, ret_key, e);
  p11s_handles_clear(&found);
  if (!goes_on(s, result, e))
    return result;
  result = search_named(s, CKO_CERTIFICATE, &s->name, &found, e);
  if (result == P11S_OK)
    result = from_certificates(s, &found, ret_key, e);
  p11s_handles_clear(&found);
  return result;
}

static enum p11s_err search_all(struct search *s, struct p11s_publics *ret, struct p11s_error *e)
{
  struct p11s_pubkey *certified = NULL;
  enum p11s_err result = from_public_objects(s, ret, e);

  if (ret->count != 1 && (result == P11S_OK || goes_on(s, result, e)))
    result = from_private_key(s, ret, e);
  if (ret->count > 0 && (result == P11S_OK || goes_on(s, result, e)))
    return P11S_OK;
  if (goes_on(s, result, e))
    result = from_certificate(s, &certified, e);
  if (result == P11S_OK)
    add_public(ret, certified);
  if (!goes_on(s, result, e))
    return result;
  if (s->first.code != P11S_OK) {
    *e = s->first;
    return s->first.code;
  }
  return p11s_error_set(
      e, P11S_ERR_NO_KEY,
      "the token has no public half of private key '%s': no public key object, no "
      "such attributes on the private key, no certificate",
      s->key->label);
}

/* Looks for the label as the private key has it: the token may have padded it. */
static enum p11s_err take_own_label(struct search *s, struct p11s_error *e)
{
  enum p11s_err result = p11s_attribute_read(s->session, s->key->handle, CKA_LABEL, &s->label, e);

  for (CK_ULONG i = 0; result == P11S_OK && s->label.len > 0 && i < s->name.count; i++)
    if (s->name.attrs[i].type == CKA_LABEL)
      s->name.attrs[i] = (CK_ATTRIBUTE){CKA_LABEL, s->label.data, s->label.len};
  return result;
}

enum p11s_err p11s_object_read_publics(struct p11s_session *session, const struct p11s_private *key,
                                       struct p11s_publics *publics, struct p11s_error *e)
{
  struct p11s_publics found = {{NULL}, 0};
  struct search s = {.session = session, .key = key};
  struct p11s_error said = {0};
  enum p11s_err result;

  /* The label's own URI may say type=private; only object and id count here. */
  if (key->pub_label != NULL)
    result = p11s_object_name_parse(key->pub_label, CKO_PUBLIC_KEY, &s.name, &said);
  else
    result = p11s_object_name_parse(key->label, CKO_PRIVATE_KEY, &s.name, &said);
  if (result == P11S_OK && key->pub_label == NULL)
    result = take_own_label(&s, &said);
  if (result == P11S_OK)
    result = p11s_attribute_read(session, key->handle, CKA_ID, &s.id, &said);
  if (result == P11S_OK)
    result = search_all(&s, &found, &said);
  for (size_t i = 0; result == P11S_OK && i < found.count; i++)
    add_public(publics, found.list[i]);
  if (result != P11S_OK)
    p11s_publics_clear(&found);
  if (result != P11S_OK && e != NULL)
    *e = said;
  p11s_bytes_clear(&s.id);
  p11s_bytes_clear(&s.label);
  p11s_object_name_clear(&s.name);
  return result;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "admin/assign.h"

#include "base/secret_source.h"
#include "pkcs11/uri.h"

#include <stdlib.h>
#include <string.h>

#define CAUSE_MAX 300 /* of an error, so that what is said behind it is whole */

/* Looks for a row of the zone that has this public key and these flags already. */
struct twin_search {
  const struct p11s_assignment *a;
  const struct p11s_pubkey *public_key;
  bool found;
  unsigned id;
};

static bool is_other(const struct p11s_row *row, const struct p11s_keyref *ref, void *arg)
{
  struct twin_search *search = arg;
  const unsigned char *data;
  size_t len;

  if (row->flags != search->a->flags)
    return true;
  data = p11s_pubkey_data(search->public_key, &len);
  if (ref->algorithm != search->a->ref->algorithm)
    search->found = false; /* another DNSKEY, though it may be the same key */
  else if (ref->public_key != NULL)
    search->found = ref->public_key_len == len && memcmp(ref->public_key, data, len) == 0;
  else /* a row of the built-in engine pins nothing */
    search->found = strcmp(ref->engine, search->a->ref->engine) == 0 &&
                    strcmp(ref->slot, search->a->ref->slot) == 0 &&
                    strcmp(ref->label, search->a->ref->label) == 0;
  search->id = row->id;
  return !search->found;
}

static enum p11s_err refuse_twin(const struct p11s_host *host, const struct p11s_assignment *a,
                                 const struct p11s_pubkey *public_key, struct p11s_error *e)
{
  struct twin_search search = {a, public_key, false, 0};
  enum p11s_err result = p11s_host_each_ref(host, a->zone, is_other, &search, e);

  if (result != P11S_OK || !search.found)
    return result;
  return p11s_error_set(e, P11S_ERR_EXISTS, "key '%s' is assigned already, as key id %u",
                        a->ref->label, search.id);
}

static bool may_store_pin(const struct p11s_signer *signer, const struct p11s_keyref *ref)
{
  return p11s_signer_config(signer)->store_pins ||
         p11s_pin_is_source((const char *)p11s_secret_data(ref->pin));
}

static enum p11s_err store(struct p11s_signer *signer, const struct p11s_host *host,
                           const struct p11s_assignment *a, const struct p11s_pubkey *public_key,
                           int64_t *ret_id, struct p11s_error *e)
{
  struct p11s_row row = {
      .zone = a->zone, .flags = a->flags, .active = a->active, .published = a->published};
  struct p11s_buf content = P11S_BUF_INIT;
  const unsigned char *data;
  enum p11s_err result;
  size_t len;

  data = p11s_pubkey_data(public_key, &len);
  if (!p11s_keyref_pin_public(a->ref, data, len))
    return p11s_error_no_memory(e);
  p11s_keyref_format(a->ref, may_store_pin(signer, a->ref), &content);
  row.content = p11s_buf_text(&content);
  row.content_len = content.len;
  result = content.failed ? p11s_error_no_memory(e) : host->add_row(host->ctx, &row, ret_id, e);
  p11s_buf_wipe(&content);
  return result;
}

static bool is_ascii(const char *text)
{
  while (*text != '\0' && (unsigned char)*text < 0x80)
    text++;
  return *text == '\0';
}

/* Makes a URI of a name that is not ASCII. false: it is, or there is no memory. */
static bool make_ascii(char **name, const char *attribute)
{
  struct p11s_buf uri = P11S_BUF_INIT;

  if (*name == NULL || is_ascii(*name))
    return false;
  if (!p11s_uri_is(*name)) {
    p11s_buf_addf(&uri, "pkcs11:%s=", attribute);
    p11s_uri_add_value(&uri, *name, strlen(*name));
  } else {
    for (const char *c = *name; *c != '\0'; c++)
      p11s_buf_addf(&uri, (unsigned char)*c < 0x80 ? "%c" : "%%%02X", (unsigned char)*c);
  }
  if (uri.failed) {
    p11s_buf_clear(&uri);
    return false;
  }
  free(*name);
  *name = uri.data;
  return true;
}

/* For a database whose column does not hold UTF-8. The reference leads to the key by other words
   now, so the token is asked once more. */
static enum p11s_err store_in_ascii(struct p11s_signer *signer, const struct p11s_host *host,
                                    const struct p11s_assignment *a, int64_t *ret_id,
                                    struct p11s_error *e)
{
  struct p11s_key *key = NULL;
  enum p11s_err result = p11s_signer_key(signer, a->ref, &key, e);

  if (result == P11S_OK)
    result = p11s_key_check(key, p11s_signer_admin_deadline(signer), e);
  if (result == P11S_OK)
    result = store(signer, host, a, p11s_key_public(key), ret_id, e);
  p11s_key_release(key);
  return result;
}

/* Everything but making the key: the token's word on it, then the row. */
static enum p11s_err check_and_store(struct p11s_signer *signer, const struct p11s_host *host,
                                     const struct p11s_assignment *a, struct p11s_key *key,
                                     int64_t *ret_id, struct p11s_error *e)
{
  enum p11s_err result = p11s_key_check(key, p11s_signer_admin_deadline(signer), e);
  bool changed;

  if (result == P11S_OK)
    result = refuse_twin(host, a, p11s_key_public(key), e);
  if (result != P11S_OK)
    return result;
  result = store(signer, host, a, p11s_key_public(key), ret_id, e);
  if (result != P11S_ERR_HOST)
    return result;
  changed = make_ascii(&a->ref->slot, "token");
  changed |= make_ascii(&a->ref->label, "object");
  changed |= make_ascii(&a->ref->pub_label, "object");
  return changed ? store_in_ascii(signer, host, a, ret_id, e) : result;
}

enum p11s_err p11s_assign(struct p11s_signer *signer, const struct p11s_host *host,
                          const struct p11s_assignment *a, int64_t *ret_id, struct p11s_error *e)
{
  struct p11s_key *key = NULL;
  enum p11s_err result = p11s_pin_check_typed(a->ref->pin, e);

  if (result == P11S_OK)
    result = host->zone_check(host->ctx, a->zone, e);
  if (result == P11S_OK)
    result = p11s_signer_key(signer, a->ref, &key, e);
  if (result == P11S_OK)
    result = check_and_store(signer, host, a, key, ret_id, e);
  p11s_key_release(key);
  if (result != P11S_OK)
    p11s_error_prefix(e, "zone %s", a->zone);
  return result;
}

static void undo(struct p11s_signer *signer, struct p11s_key *key, struct p11s_error *e)
{
  struct p11s_error why = {0};

  /* The next try has to meet a new key, not the memory of this one. */
  p11s_key_table_forget(p11s_signer_keys(signer), key);
  if (p11s_key_undo_generate(key, p11s_signer_admin_deadline(signer), &why) != P11S_OK && e != NULL)
    p11s_error_reword(e, "%.*s; %s", CAUSE_MAX, e->text, why.text);
}

enum p11s_err p11s_generate(struct p11s_signer *signer, const struct p11s_host *host,
                            const struct p11s_assignment *a, unsigned bits, int64_t *ret_id,
                            struct p11s_error *e)
{
  struct p11s_key *key = NULL;
  enum p11s_err result = host->zone_check(host->ctx, a->zone, e);

  if (result == P11S_OK)
    result = p11s_signer_key(signer, a->ref, &key, e);
  if (result == P11S_OK)
    result = p11s_key_generate(key, bits, p11s_signer_admin_deadline(signer), e);
  if (result == P11S_OK) {
    result = check_and_store(signer, host, a, key, ret_id, e);
    if (result != P11S_OK)
      undo(signer, key, e);
  }
  p11s_key_release(key);
  if (result != P11S_OK)
    p11s_error_prefix(e, "zone %s", a->zone);
  return result;
}

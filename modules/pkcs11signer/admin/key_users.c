/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "admin/key_users.h"

#include "base/buf.h"
#include "base/text.h"
#include "format/keyref.h"
#include "pkcs11/slot.h"
#include "pkcs11/uri.h"

#include <stdlib.h>
#include <string.h>

/* A way to name a token, and whether it leads to ours: asked once, however many rows have it. */
struct slot_spec {
  char *text;
  bool ours;
};

struct use {
  char *zone;
  unsigned id;
  size_t spec; /* index */
  char *label;
};

struct p11s_key_users {
  const char *engine; /* borrowed, while reading */
  struct slot_spec *specs;
  size_t spec_count;
  struct use *uses;
  size_t use_count;
  bool failed; /* out of memory */
};

void p11s_key_users_free(struct p11s_key_users *usage)
{
  if (usage == NULL)
    return;
  for (size_t i = 0; i < usage->spec_count; i++)
    free(usage->specs[i].text);
  for (size_t i = 0; i < usage->use_count; i++) {
    free(usage->uses[i].zone);
    free(usage->uses[i].label);
  }
  free(usage->specs);
  free(usage->uses);
  free(usage);
}

/* Room for one more, zeroed, in an array that grows by doubling; NULL when there is no memory. */
static void *grow(void **array, size_t count, size_t size)
{
  if ((count & (count - 1)) == 0) {
    void *bigger = reallocarray(*array, count == 0 ? 1 : count * 2, size);
    if (bigger == NULL)
      return NULL;
    *array = bigger;
  }
  return memset((char *)*array + count * size, 0, size);
}

/* The index of text among the specs; the number of specs when there is no memory. */
static size_t intern_spec(struct p11s_key_users *usage, const char *text)
{
  void *specs = usage->specs;
  struct slot_spec *spec;

  for (size_t i = 0; i < usage->spec_count; i++) {
    if (strcmp(usage->specs[i].text, text) == 0)
      return i;
  }
  spec = grow(&specs, usage->spec_count, sizeof *spec);
  usage->specs = specs;
  if (spec == NULL || (spec->text = strdup(text)) == NULL)
    return usage->spec_count;
  return usage->spec_count++;
}

static bool add_use(struct p11s_key_users *usage, const struct p11s_row *row,
                    const struct p11s_keyref *ref)
{
  void *uses = usage->uses;
  struct use *use = grow(&uses, usage->use_count, sizeof *use);

  usage->uses = uses;
  if (use == NULL)
    return false;
  usage->use_count++;
  use->zone = strdup(row->zone);
  use->label = strdup(ref->label);
  use->id = row->id;
  use->spec = intern_spec(usage, ref->slot);
  return use->zone != NULL && use->label != NULL && use->spec < usage->spec_count;
}

static bool read_row(const struct p11s_row *row, void *arg)
{
  struct p11s_key_users *usage = arg;
  struct p11s_keyref *ref = NULL;

  /* Rows that cannot be read are for `check` to complain about. */
  if (!p11s_keyref_is_ours(row->content, row->content_len) ||
      p11s_keyref_parse(row->content, row->content_len, &ref, NULL) != P11S_OK)
    return true;
  if (strcmp(ref->engine, usage->engine) == 0)
    usage->failed |= !add_use(usage, row, ref);
  p11s_keyref_free(ref);
  return !usage->failed;
}

/* Zones are kept first: while one question to the host runs no other may be asked. */
static bool keep_zone(const char *zone, void *arg)
{
  struct p11s_buf *zones = arg;

  p11s_buf_add_text(zones, zone);
  return !zones->failed;
}

static enum p11s_err read_rows(struct p11s_key_users *usage, const struct p11s_host *host,
                               struct p11s_error *e)
{
  struct p11s_buf zones = P11S_BUF_INIT;
  enum p11s_err err = host->each_zone(host->ctx, keep_zone, &zones, e);

  usage->failed |= zones.failed;
  for (const char *zone = NULL;
       err == P11S_OK && !usage->failed && (zone = p11s_buf_next_text(&zones, zone)) != NULL;)
    err = host->each_row(host->ctx, zone, read_row, usage, e);
  if (err == P11S_OK && usage->failed)
    err = p11s_error_set(e, P11S_ERR_NOMEM, "out of memory");
  p11s_buf_clear(&zones);
  return err;
}

enum p11s_err p11s_key_users_read(const struct p11s_host *host, const char *engine,
                                  CK_FUNCTION_LIST *module, CK_SLOT_ID slot,
                                  struct p11s_key_users **ret_usage, struct p11s_error *e)
{
  struct p11s_key_users *usage = calloc(1, sizeof *usage);
  enum p11s_err err;

  if (usage == NULL)
    return p11s_error_set(e, P11S_ERR_NOMEM, "out of memory");
  usage->engine = engine;
  err = read_rows(usage, host, e);
  usage->engine = NULL;
  if (err != P11S_OK) {
    p11s_key_users_free(usage);
    return err;
  }
  for (size_t i = 0; i < usage->spec_count; i++) {
    struct p11s_slot_info info;
    usage->specs[i].ours =
        p11s_slot_find(module, usage->specs[i].text, &info, NULL) == P11S_OK && info.id == slot;
  }
  *ret_usage = usage;
  return P11S_OK;
}

/* Whether an attribute that is searched for is the key's. */
static bool attribute_matches(const CK_ATTRIBUTE *attr, const struct p11s_object_info *key)
{
  char id[sizeof key->id];

  if (attr->type == CKA_LABEL)
    return attr->ulValueLen == strlen(key->label) &&
           memcmp(attr->pValue, key->label, attr->ulValueLen) == 0;
  if (attr->type != CKA_ID || attr->ulValueLen != strlen(key->id) / 2)
    return false;
  p11s_hex_format(id, sizeof id, attr->pValue, attr->ulValueLen);
  return strcmp(id, key->id) == 0;
}

static bool names_key(const char *text, const struct p11s_object_info *key)
{
  struct p11s_object_name name;
  bool named = true;

  if (p11s_object_name_parse(text, CKO_PRIVATE_KEY, &name, NULL) != P11S_OK)
    return false;
  for (CK_ULONG i = 0; i < name.count; i++)
    named = named && attribute_matches(&name.attrs[i], key);
  p11s_object_name_clear(&name);
  return named;
}

void p11s_key_users_each(const struct p11s_key_users *usage, const struct p11s_object_info *key,
                         void (*fn)(const char *zone, unsigned id, void *arg), void *arg)
{
  for (size_t i = 0; i < usage->use_count; i++) {
    const struct use *use = &usage->uses[i];
    if (usage->specs[use->spec].ours && names_key(use->label, key))
      fn(use->zone, use->id, arg);
  }
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "admin/key_users.h"

#include "base/array.h"
#include "base/text.h"
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

/* The index of text among the specs; the number of specs when there is no memory. */
static size_t intern_spec(struct p11s_key_users *usage, const char *text)
{
  struct slot_spec *spec;

  for (size_t i = 0; i < usage->spec_count; i++)
    if (strcmp(usage->specs[i].text, text) == 0)
      return i;
  spec = P11S_ARRAY_ADD(usage->specs, usage->spec_count);
  if (spec == NULL || (spec->text = strdup(text)) == NULL)
    return usage->spec_count;
  return usage->spec_count - 1;
}

static bool add_use(struct p11s_key_users *usage, const struct p11s_row *row,
                    const struct p11s_keyref *ref)
{
  struct use *use = P11S_ARRAY_ADD(usage->uses, usage->use_count);

  if (use == NULL)
    return false;
  use->zone = strdup(row->zone);
  use->label = strdup(ref->label);
  use->id = row->id;
  use->spec = intern_spec(usage, ref->slot);
  return use->zone != NULL && use->label != NULL && use->spec < usage->spec_count;
}

static bool read_ref(const struct p11s_row *row, const struct p11s_keyref *ref, void *arg)
{
  struct p11s_key_users *usage = arg;

  if (strcmp(ref->engine, usage->engine) == 0)
    usage->failed = !add_use(usage, row, ref);
  return !usage->failed;
}

enum p11s_err p11s_key_users_read(const struct p11s_host *host, const char *engine,
                                  CK_FUNCTION_LIST *module, CK_SLOT_ID slot,
                                  struct p11s_key_users **ret_usage, struct p11s_error *e)
{
  struct p11s_key_users *usage = calloc(1, sizeof *usage);
  enum p11s_err err;

  if (usage == NULL)
    return p11s_error_no_memory(e);
  usage->engine = engine;
  err = p11s_host_each_ref(host, NULL, read_ref, usage, e);
  if (err == P11S_OK && usage->failed)
    err = p11s_error_no_memory(e);
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

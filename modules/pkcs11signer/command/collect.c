/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The keys that the table's references name, for commands that look at what is stored of them. */
#include "base/array.h"
#include "command/internal.h"
#include "sign/key.h"
#include "base/lock.h"
#include "store/store.h"

#include <stdlib.h>
#include <string.h>

struct collector {
  const struct p11s_command_ctx *ctx;
  struct p11s_command_keys *keys;
  bool failed;
};

static bool keep_key(const struct p11s_row *row, const struct p11s_keyref *ref, void *arg)
{
  struct collector *c = arg;
  struct p11s_key *key, **place;

  (void)row;
  if (p11s_signer_key(c->ctx->signer, ref, &key, NULL) != P11S_OK)
    return true;
  place = P11S_ARRAY_ADD(c->keys->key, c->keys->count);
  c->failed = place == NULL;
  if (place != NULL)
    *place = key;
  else
    p11s_key_release(key);
  return !c->failed;
}

enum p11s_err p11s_command_collect_keys(const struct p11s_command_ctx *ctx, const char *zone,
                                        struct p11s_command_keys *keys, struct p11s_error *e)
{
  struct p11s_wait wait = {p11s_signer_admin_deadline(ctx->signer), false, 0, false};
  struct collector c = {ctx, keys, false};
  const struct p11s_pubkey *public_key;
  enum p11s_err err = p11s_host_each_ref(ctx->host, zone, keep_key, &c, e);

  if (err == P11S_OK && c.failed)
    err = p11s_error_no_memory(e);
  for (size_t i = 0; err == P11S_OK && i < keys->count; i++)
    (void)p11s_key_resolve(keys->key[i], wait, &public_key, NULL);
  return err;
}

struct p11s_key *p11s_command_find_key(const struct p11s_command_keys *keys,
                                       const unsigned char *id)
{
  for (size_t i = 0; i < keys->count; i++) {
    const struct p11s_pubkey *public_key = p11s_key_public(keys->key[i]);

    if (public_key != NULL && memcmp(p11s_pubkey_hash(public_key), id, P11S_STORE_ID_LEN) == 0)
      return keys->key[i];
  }
  return NULL;
}

void p11s_command_release_keys(struct p11s_command_keys *keys)
{
  for (size_t i = 0; i < keys->count; i++)
    p11s_key_release(keys->key[i]);
  free(keys->key);
  *keys = (struct p11s_command_keys){NULL, 0};
}

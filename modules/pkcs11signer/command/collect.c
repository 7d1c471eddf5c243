/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The keys that the table's references name, for commands that look at what is stored of them. */
#include "command/internal.h"
#include "sign/key.h"
#include "format/keyref.h"
#include "base/lock.h"
#include "store/store.h"

#include <stdlib.h>
#include <string.h>

struct collector {
  const struct p11s_command_ctx *ctx;
  struct p11s_command_keys *keys;
  struct p11s_buf zones;
  bool failed;
};

static bool keep_zone(const char *zone, void *arg)
{
  struct collector *c = arg;

  p11s_buf_add_text(&c->zones, zone);
  return !c->zones.failed;
}

static bool keep_key(const struct p11s_row *row, void *arg)
{
  struct collector *c = arg;
  struct p11s_keyref *ref = NULL;
  struct p11s_key *key = NULL, **more;

  /* Rows that cannot be read are for `check` to complain about. */
  if (p11s_keyref_is_ours(row->content, row->content_len) &&
      p11s_keyref_parse(row->content, row->content_len, &ref, NULL) == P11S_OK &&
      p11s_signer_key(c->ctx->signer, ref, &key, NULL) == P11S_OK) {
    more = reallocarray(c->keys->key, c->keys->count + 1, sizeof(struct p11s_key *));
    c->failed |= more == NULL;
    if (more != NULL) {
      c->keys->key = more;
      c->keys->key[c->keys->count++] = key;
    } else {
      p11s_key_release(key);
    }
  }
  p11s_keyref_free(ref);
  return !c->failed;
}

enum p11s_err p11s_command_collect_keys(const struct p11s_command_ctx *ctx, const char *zone,
                                        struct p11s_command_keys *keys, struct p11s_error *e)
{
  struct p11s_wait wait = {p11s_signer_admin_deadline(ctx->signer), false, 0, false};
  struct collector c = {ctx, keys, P11S_BUF_INIT, false};
  const struct p11s_pubkey *public_key;
  enum p11s_err err = P11S_OK;

  if (zone != NULL)
    (void)keep_zone(zone, &c);
  else
    err = ctx->host->each_zone(ctx->host->ctx, keep_zone, &c, e);
  for (zone = NULL; err == P11S_OK && (zone = p11s_buf_next_text(&c.zones, zone)) != NULL;)
    err = ctx->host->each_row(ctx->host->ctx, zone, keep_key, &c, e);
  if (err == P11S_OK && (c.failed || c.zones.failed))
    err = p11s_error_no_memory(e);
  p11s_buf_clear(&c.zones);
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

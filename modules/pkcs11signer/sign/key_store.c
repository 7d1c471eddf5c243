/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The public keys of resolved references, kept in the signature store (sign/key_internal.h). */
#include "base/buf.h"
#include "base/crypto.h"
#include "sign/key_internal.h"
#include "base/log.h"
#include "store/lazy.h"

#include <string.h>

/* Of what leads to the key on the token. The PIN is not among it: what stands in a file must not
   help in guessing it. */
static bool identify(const struct p11s_keyref *ref, unsigned char *id)
{
  struct p11s_buf b = P11S_BUF_INIT;
  bool ok;

  p11s_keyref_add_whereabouts(ref, &b);
  ok = !b.failed && p11s_sha256(b.data, b.len, id);
  p11s_buf_clear(&b);
  return ok;
}

void p11s_key_remember(struct p11s_key *key)
{
  struct p11s_store *store = p11s_lazy_store_get(key->home.store);
  unsigned char id[P11S_STORE_ID_LEN];
  const unsigned char *data;
  size_t len;

  if (store == NULL || key->pinned || !identify(key->ref, id))
    return;
  data = p11s_pubkey_data(p11s_key_public(key), &len);
  p11s_store_put_public(store, id, data, len);
}

static bool find_kept(struct p11s_key *key, unsigned char *data, size_t *len)
{
  struct p11s_store *store = p11s_lazy_store_get(key->home.store);
  unsigned char id[P11S_STORE_ID_LEN];

  return store != NULL && identify(key->ref, id) && p11s_store_find_public(store, id, data, len);
}

bool p11s_key_is_kept(struct p11s_key *key)
{
  unsigned char kept[P11S_STORE_MAX_PUBLIC];
  size_t kept_len = sizeof kept, len;
  const unsigned char *data = p11s_pubkey_data(p11s_key_public(key), &len);

  return find_kept(key, kept, &kept_len) && len == kept_len && memcmp(data, kept, len) == 0;
}

bool p11s_key_recall(struct p11s_key *key, const struct p11s_error *why)
{
  unsigned char data[P11S_STORE_MAX_PUBLIC];
  struct p11s_pubkey *public_key;
  size_t len = sizeof data;

  if (!find_kept(key, data, &len) ||
      p11s_pubkey_from_dnskey(key->alg, data, len, &public_key, NULL) != P11S_OK)
    return false;
  if (p11s_key_publish(key, public_key))
    p11s_log_event(P11S_LOG_WARNING,
                   "key '%s' on token '%s' (module %s): %s. The public key that it had before is "
                   "taken from the signature store, and what is stored is served; anything else "
                   "needs the token with this key",
                   key->ref->label, key->ref->slot, key->ref->engine, why->text);
  else
    p11s_pubkey_free(public_key);
  return true;
}

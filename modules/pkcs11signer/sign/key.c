/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sign/key.h"

#include "sign/key_internal.h"
#include "base/lock.h"

#include <stdlib.h>
#include <string.h>

static bool copy(char **to, const char *from)
{
  return from == NULL || (*to = strdup(from)) != NULL;
}

static struct p11s_keyref *copy_ref(const struct p11s_keyref *ref)
{
  struct p11s_keyref *to = calloc(1, sizeof *to);

  if (to == NULL)
    return NULL;
  to->algorithm = ref->algorithm;
  to->pin = p11s_secret_acquire(ref->pin);
  if (copy(&to->engine, ref->engine) && copy(&to->slot, ref->slot) &&
      copy(&to->label, ref->label) && copy(&to->pub_label, ref->pub_label) &&
      copy(&to->extra, ref->extra) &&
      (ref->public_key == NULL || p11s_keyref_pin_public(to, ref->public_key, ref->public_key_len)))
    return to;
  p11s_keyref_free(to);
  return NULL;
}

static enum p11s_err load_pinned(struct p11s_key *key, struct p11s_error *e)
{
  struct p11s_pubkey *public_key;
  enum p11s_err result;

  if (key->ref->public_key == NULL)
    return P11S_OK;
  result = p11s_pubkey_from_dnskey(key->alg, key->ref->public_key, key->ref->public_key_len,
                                   &public_key, e);
  if (result != P11S_OK) {
    p11s_error_prefix(e, "PublicKey line");
    return result;
  }
  key->pinned = true;
  atomic_init(&key->public_key, public_key);
  return P11S_OK;
}

enum p11s_err p11s_key_new(const struct p11s_key_home *home, const struct p11s_keyref *ref,
                           const unsigned char *identity, struct p11s_key **ret_key,
                           struct p11s_error *e)
{
  struct p11s_key *key = calloc(1, sizeof *key);
  enum p11s_err result;

  if (key == NULL)
    return p11s_error_no_memory(e);
  p11s_mutex_init(&key->lock, P11S_RANK_KEY);
  p11s_cond_init(&key->found);
  key->home = *home;
  key->alg = p11s_algorithm_find(ref->algorithm);
  memcpy(key->identity, identity, sizeof key->identity);
  key->ref = copy_ref(ref);
  result = key->ref != NULL ? load_pinned(key, e) : p11s_error_no_memory(e);
  if (result != P11S_OK) {
    p11s_key_free(key);
    return result;
  }
  *ret_key = key;
  return P11S_OK;
}

void p11s_key_free(struct p11s_key *key)
{
  if (key == NULL)
    return;
  p11s_keyref_free(key->ref);
  p11s_pubkey_free(atomic_load(&key->public_key));
  pthread_cond_destroy(&key->found);
  p11s_mutex_destroy(&key->lock);
  free(key);
}

const struct p11s_algorithm *p11s_key_algorithm(const struct p11s_key *key)
{
  return key->alg;
}

struct p11s_token *p11s_key_token(const struct p11s_key *key)
{
  return key->home.token;
}

struct p11s_secret *p11s_key_pin(const struct p11s_key *key)
{
  return key->ref->pin;
}

const unsigned char *p11s_key_identity(const struct p11s_key *key)
{
  return key->identity;
}

const struct p11s_keyref *p11s_key_reference(const struct p11s_key *key)
{
  return key->ref;
}

const struct p11s_pubkey *p11s_key_public(const struct p11s_key *key)
{
  return atomic_load_explicit(&key->public_key, memory_order_acquire);
}

bool p11s_key_publish(struct p11s_key *key, struct p11s_pubkey *public_key)
{
  struct p11s_pubkey *expected = NULL;

  return atomic_compare_exchange_strong(&key->public_key, &expected, public_key);
}

void p11s_key_error_prefix(const struct p11s_key *key, struct p11s_error *e)
{
  p11s_error_prefix(e, "key '%s' on token '%s' (module %s)", key->ref->label, key->ref->slot,
                    key->ref->engine);
}

bool p11s_key_signs_whole(const struct p11s_key *key)
{
  return atomic_load(&key->lengths.whole);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Keys without a signer (rig/rig.h). */
#include "pin/guard.h"
#include "rig/rig.h"
#include "sign/sign.h"
#include "sign/sign_store.h"
#include "token/tokens.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define IDLE_MS 600000

struct rig_keys *rig_keys_new(unsigned sessions)
{
  struct p11s_tokens_config on = {
      .token = {.sessions = sessions, .stuck_ms = RIG_PATIENCE_S * 1000}};
  struct p11s_key_table_config config = {.idle_ms = IDLE_MS};
  struct rig_keys *keys = calloc(1, sizeof *keys);

  assert_non_null(keys);
  on.token.guard = keys->guard = p11s_pin_guard_new(NULL);
  config.tokens = keys->tokens = p11s_tokens_new(&on);
  keys->table = p11s_key_table_new(&config);
  keys->flights = p11s_flights_new(true);
  assert_true(keys->guard != NULL && keys->tokens != NULL && keys->table != NULL &&
              keys->flights != NULL);
  return keys;
}

void rig_keys_free(struct rig_keys *keys)
{
  if (!p11s_tokens_stop(keys->tokens, rig_later()))
    fail_msg("a worker did not come back");
  p11s_flights_free(keys->flights);
  p11s_key_table_free(keys->table);
  p11s_tokens_free(keys->tokens);
  p11s_pin_guard_free(keys->guard);
  free(keys);
}

struct p11s_key *rig_intern(struct p11s_key_table *table, struct p11s_keyref *ref)
{
  struct p11s_key *key = NULL;
  struct p11s_error e;

  if (p11s_key_table_get(table, ref, &key, &e) != P11S_OK)
    fail_msg("%s", e.text);
  p11s_keyref_free(ref);
  return key;
}

struct p11s_key *rig_key_on(struct rig_keys *keys, const char *label, const char *pin)
{
  return rig_intern(keys->table, rig_ref(label, pin));
}

void rig_resolve(struct p11s_key *key)
{
  const struct p11s_pubkey *public_key;
  struct p11s_error e;

  if (p11s_key_resolve(key, rig_wait(rig_later()), &public_key, &e) != P11S_OK)
    fail_msg("%s", e.text);
}

enum p11s_err rig_sign(struct p11s_flights *flights, struct p11s_key *key,
                       const unsigned char *message, size_t len, struct p11s_signature *ret,
                       struct p11s_error *e)
{
  struct p11s_question question;

  assert_int_equal(p11s_sign_question(key, message, len, &question, NULL), P11S_OK);
  return p11s_sign(flights, key, &question, rig_wait(rig_later()), ret, e);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Keys by way of a whole signer (rig/rig.h). */
#include "rig/rig.h"
#include "sign/sign.h"
#include "sign/sign_store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct p11s_config rig_config(unsigned sessions)
{
  return (struct p11s_config){.sessions = sessions,
                              .timeout_ms = RIG_PATIENCE_S * 1000,
                              .transfer_timeout_ms = RIG_PATIENCE_S * 1000,
                              .verify = true,
                              .store_pins = true};
}

struct p11s_signer *rig_signer_of(const struct p11s_config *config)
{
  struct p11s_signer *signer = NULL;
  struct p11s_error e;

  if (p11s_signer_new(config, &signer, &e) != P11S_OK)
    fail_msg("%s", e.text);
  return signer;
}

struct p11s_signer *rig_signer(unsigned sessions)
{
  struct p11s_config config = rig_config(sessions);

  return rig_signer_of(&config);
}

void rig_signer_free(struct p11s_signer *signer)
{
  if (!p11s_signer_stop(signer, rig_later()))
    fail_msg("a worker did not come back");
  p11s_signer_free(signer);
}

enum p11s_err rig_sign(struct p11s_signer *signer, struct p11s_key *key,
                       const unsigned char *message, size_t len, struct p11s_signature *ret,
                       struct p11s_error *e)
{
  struct p11s_question question;

  assert_int_equal(p11s_sign_question(key, message, len, &question, NULL), P11S_OK);
  return p11s_sign(p11s_signer_flights(signer), key, &question, rig_wait(rig_later()), ret, e);
}

struct p11s_key *rig_key_of(struct p11s_signer *signer, struct p11s_keyref *ref)
{
  struct p11s_key *key = NULL;
  struct p11s_error e;

  if (p11s_signer_key(signer, ref, &key, &e) != P11S_OK)
    fail_msg("%s", e.text);
  p11s_keyref_free(ref);
  return key;
}

struct p11s_key *rig_key(struct p11s_signer *signer, const char *label, const char *pin)
{
  return rig_key_of(signer, rig_ref(label, pin));
}

void rig_resolve(struct p11s_key *key)
{
  const struct p11s_pubkey *public_key;
  struct p11s_error e;

  if (p11s_key_resolve(key, rig_wait(rig_later()), &public_key, &e) != P11S_OK)
    fail_msg("%s", e.text);
}

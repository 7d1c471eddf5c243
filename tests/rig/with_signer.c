/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Keys by way of a whole signer (rig/rig.h). */
#include "rig/rig.h"

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

struct p11s_key *rig_key_of(struct p11s_signer *signer, struct p11s_keyref *ref)
{
  return rig_intern(p11s_signer_keys(signer), ref);
}

struct p11s_key *rig_key(struct p11s_signer *signer, const char *label, const char *pin)
{
  return rig_key_of(signer, rig_ref(label, pin));
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "format/algorithm.h"
#include "base/err.h"
#include "ahead/host.h"
#include "format/keyref.h"
#include "signer/signer.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Putting a key on a token to a zone's use. Everything is checked first, on
 * the token, with a signature made and verified; nothing is stored on
 * failure. Waits for the token as long as pkcs11signer-transfer-timeout, never for a query.
 */

/* Which row is to be made. ref gets its public key pinned; its names become ASCII, as pkcs11: URIs,
   where the database does not keep them otherwise. */
struct p11s_assignment {
  const char *zone;
  unsigned flags; /* 257 or 256 */
  bool active;
  bool published;
  struct p11s_keyref *ref;
};

/* P11S_ERR_EXISTS names the key id when the zone has this public key with these flags already.
   A literal PIN is stored only with pkcs11signer-store-pins. Errors name the zone. */
enum p11s_err p11s_assign(struct p11s_signer *signer, const struct p11s_host *host,
                          const struct p11s_assignment *a, int64_t *ret_id, struct p11s_error *e);

/* Makes the key pair first and removes it again when assigning fails. */
enum p11s_err p11s_generate(struct p11s_signer *signer, const struct p11s_host *host,
                            const struct p11s_assignment *a, unsigned bits, int64_t *ret_id,
                            struct p11s_error *e);

/* Looks at every reference of a zone (NULL: of all zones): parses it, goes to the token, compares,
   signs, verifies; where the token gets whole messages, also those as long as the zone's. fn is
   called once per reference, error is NULL when all is well; what it gets is borrowed for the call.
   P11S_ERR_HOST when the rows cannot be read to their end. */
struct p11s_check {
  const char *zone;
  unsigned id;
  unsigned flags;
  const struct p11s_algorithm *alg; /* NULL when unknown */
  const struct p11s_error *error;
  const char *token; /* Slot: line, "" when unknown */
  const char *label;
};
enum p11s_err p11s_check_rows(struct p11s_signer *signer, const struct p11s_host *host,
                              const char *zone,
                              void (*fn)(const struct p11s_check *check, void *arg), void *arg,
                              struct p11s_error *e);

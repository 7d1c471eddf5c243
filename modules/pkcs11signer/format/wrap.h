/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "format/keyref.h"

#include <stddef.h>

/*
 * What PowerDNS sees instead of a row's content: `Algorithm: 65536 + n`, which
 * leads it to our engine, and one line with zone, key id and either the
 * interned key's identity and the reference without its PIN, or what is wrong
 * with the row. No locks.
 */
#define P11S_WRAP_ALGORITHM 65536
#define P11S_WRAP_NAME                                                                             \
  "Pkcs11signer" /* PowerDNS hands the value on decoded, under the lower-case name */

/* identity: P11S_KEY_IDENTITY_LEN bytes. */
void p11s_wrap_key(const char *zone, unsigned id, const unsigned char *identity,
                   const struct p11s_keyref *ref, struct p11s_buf *out);
void p11s_wrap_broken(const char *zone, unsigned id, const char *message, struct p11s_buf *out);

struct p11s_wrapped {
  char *zone;
  unsigned id;
  unsigned char identity[P11S_KEY_IDENTITY_LEN];
  char *reference; /* text without PIN; NULL when broken */
  char *message;   /* NULL unless broken */
};
/* Takes the decoded value. P11S_ERR_SYNTAX. */
enum p11s_err p11s_wrap_parse(const void *value, size_t len, struct p11s_wrapped *ret,
                              struct p11s_error *e);
void p11s_wrapped_clear(struct p11s_wrapped *w);

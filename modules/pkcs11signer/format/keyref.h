/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/secret.h"

#include <stdbool.h>
#include <stddef.h>

/* What names a key in this process, whichever rows refer to it (sign/key.h). */
#define P11S_KEY_IDENTITY_LEN 32

/*
 * A key reference: the `content` of a row in PowerDNS's cryptokeys table that
 * names a key on a token (docs/key-reference.md):
 *
 *   Private-key-format: v1.2
 *   Algorithm: 8
 *   Engine: softhsm2
 *   Slot: token label, serial, slot number or pkcs11: URI
 *   PIN: literal, PIN source, or empty
 *   Label: CKA_LABEL of the private key, or pkcs11: URI
 *   PubLabel: label of the public key, optional
 *   PublicKey: base64 of the DNSKEY public key field, optional
 *
 * Names are matched without regard to case, values are trimmed of blanks and
 * CR. A known name that occurs twice is a syntax error, and so is a line
 * without a colon. Blank lines are dropped. Unknown lines are kept in order and
 * printed again behind the known ones. The algorithm is 0 to 255, "8" or
 * "8 (RSASHA256)". At most 64 KiB are accepted;
 * NUL or other control characters (but tab, CR, LF) are a syntax error.
 *
 * The PIN goes straight from the text into locked memory. No locks.
 */
#define P11S_ALGORITHM_MAX 255
struct p11s_keyref {
  unsigned algorithm; /* as written; need not be one we know */
  char *engine;
  char *slot;
  char *label;
  char *pub_label;           /* NULL: not given */
  struct p11s_secret *pin;   /* NULL: empty or not given */
  unsigned char *public_key; /* NULL: not pinned */
  size_t public_key_len;
  char *extra; /* unknown lines, each ending in \n; NULL: none */
};

/* Whether content is ours to handle: an `Engine:` line, or nothing PowerDNS's own engines could
   read (no numeric Algorithm line, or neither Modulus nor PrivateKey line). Never fails. */
bool p11s_keyref_is_ours(const char *content, size_t len);

/* Parses. Error: P11S_ERR_SYNTAX with the line's number and name, P11S_ERR_NOMEM. */
enum p11s_err p11s_keyref_parse(const char *content, size_t len, struct p11s_keyref **ret_ref,
                                struct p11s_error *e);

/* Whether the reference, when it was put together by hand, would be read back as it is:
   P11S_ERR_SYNTAX names the line that is missing, holds a control character or has blanks around
   its value. */
enum p11s_err p11s_keyref_check(const struct p11s_keyref *ref, struct p11s_error *e);

/* Appends the reference in the form above, in that order; the PIN line is always there, with the
   PIN only when with_pin (then wipe the buffer after use: see p11s_buf_wipe). PubLabel and
   PublicKey only when set. Marks out failed when p11s_keyref_check() refuses the reference. */
void p11s_keyref_format(const struct p11s_keyref *ref, bool with_pin, struct p11s_buf *out);

/* Appends what leads to the key on the token, each part ended by a NUL but the last: algorithm,
   engine, slot, label, label of the public key (the same when none is set). For hashing: stored
   identities depend on these bytes. No PIN. */
void p11s_keyref_add_whereabouts(const struct p11s_keyref *ref, struct p11s_buf *out);

/* Pins a public key (copies it). false: no memory. */
bool p11s_keyref_pin_public(struct p11s_keyref *ref, const unsigned char *key, size_t len);

void p11s_keyref_free(struct p11s_keyref *ref);

/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * How a key reference (format/keyref.h) stands in a database whose backend makes an engine of it
 * when it stores it, as PowerDNS's LMDB backend does from 5.0 on, to get the key's tag. With an
 * `Engine:` line that would be the built-in engine, which goes to the token, knows no EdDSA, and
 * fails where this process has logged in already. So these two lines are written another way, and
 * PowerDNS makes our engine, which takes the tag from `PublicKey:`. All other lines are the same:
 *
 *   Algorithm: 65549                 65536 + 13
 *   Pkcs11signer-Engine: softhsm2
 *
 * Nobody but these two functions knows of that form: what they write is read back by the other one,
 * byte by byte, when the reference has an `Engine:` and an `Algorithm:` line of the plain form.
 * No locks. The text may hold a PIN: wipe the buffer (p11s_buf_wipe()).
 */
#define P11S_KEYREF_LMDB_ENGINE "Pkcs11signer-Engine"

/* Appends the reference as it is to be stored. */
void p11s_keyref_lmdb_from_plain(const char *content, size_t len, struct p11s_buf *out);
/* Appends what stands in a database as a plain reference. false, and nothing appended: it is no
   reference in that form, and to be taken as it is. */
bool p11s_keyref_lmdb_to_plain(const char *content, size_t len, struct p11s_buf *out);

/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/*
 * Faster ECDSA verification (FIPS 186-5, 6.4.2) with a P-256 key that is used often: half of
 * libcrypto's time on amd64 (docs/performance.md).
 *
 * A verification multiplies two points by numbers: the curve's generator, of which libcrypto has a
 * table of multiples, and the public key, of which it has none. Here libcrypto makes that table for
 * the public key, too. It takes 150 KB and as long as P11S_PUBKEY_TABLE_AFTER verifications save,
 * so it is made in the verification of that number, and for P11S_PUBKEY_TABLES_MOST keys of the
 * process at the same time. A table that does not save a quarter of the time (libcrypto has fast
 * ones on some CPUs only) is given up.
 *
 * Any number of threads may use one at the same time; no lock, no waiting.
 */
struct p11s_pubkey_table;

#define P11S_PUBKEY_TABLE_AFTER 1000
#define P11S_PUBKEY_TABLES_MOST 64
/* x and y, and r and s, 32 bytes each */
#define P11S_PUBKEY_TABLE_LEN 64

/* point: x and y of a point on P-256 (RFC 6605, 4). Makes no table yet. NULL: out of memory. */
struct p11s_pubkey_table *p11s_pubkey_table_new(const unsigned char *point);
void p11s_pubkey_table_free(struct p11s_pubkey_table *t);

/* Whether there is a table to verify with. Counts this verification, and makes the table when it is
   due. */
bool p11s_pubkey_table_is_made(struct p11s_pubkey_table *t);

/* Whether signature (r and s, RFC 6605, 4) is the digest's, of 32 bytes. The table is made. Any
   failure is "no". */
bool p11s_pubkey_table_verify(const struct p11s_pubkey_table *t, const unsigned char *digest,
                              const unsigned char *signature);

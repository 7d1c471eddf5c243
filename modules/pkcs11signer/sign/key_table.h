/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/err.h"
#include "format/keyref.h"
#include "sign/key.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The keys of the process: references that say the same share one key, one public key and one set
 * of sessions, whichever zones they are of.
 *
 * Any thread. table->lock guards the table and each key's references. It is taken when PowerDNS
 * reads a zone's keys from the database, not when it answers from its key cache.
 */
struct p11s_key_table;
struct p11s_lazy_store;
struct p11s_tokens;

struct p11s_key_table_config {
  struct p11s_tokens *tokens;    /* borrowed, */
  struct p11s_lazy_store *store; /* too: where public keys and signatures are kept; or NULL */
  uint64_t idle_ms;              /* how long a key stays that nobody holds */
};

/* NULL: no memory, or no random numbers. */
struct p11s_key_table *p11s_key_table_new(const struct p11s_key_table_config *config);
/* No key may be held any more. NULL is allowed. */
void p11s_key_table_free(struct p11s_key_table *table);

/* The key that ref names, interned. Makes no PKCS#11 call. Give it back with p11s_key_release().
   P11S_ERR_KEY_TYPE: not an algorithm we can do, or the pinned key is not of it. */
enum p11s_err p11s_key_table_get(struct p11s_key_table *table, const struct p11s_keyref *ref,
                                 struct p11s_key **ret_key, struct p11s_error *e);
/* The interned key of this identity, or NULL. Give it back with p11s_key_release(). */
struct p11s_key *p11s_key_table_find(struct p11s_key_table *table, const unsigned char *identity);
/* The next p11s_key_table_get() for the same reference makes a new one. */
void p11s_key_table_forget(struct p11s_key_table *table, struct p11s_key *key);
size_t p11s_key_table_count(struct p11s_key_table *table);

/* One more reference. */
struct p11s_key *p11s_key_acquire(struct p11s_key *key);
/* NULL is allowed. A key nobody holds stays for the table's idle_ms, then goes at the next sweep.
 */
void p11s_key_release(struct p11s_key *key);

/* All keys whose public half is known, each with a reference: to be released, and the array to be
   freed, by the caller. false: no memory. */
struct p11s_key_use {
  struct p11s_key *key;
  bool held;              /* by somebody else, */
  uint64_t idle_since_ms; /* or since then by nobody */
};
bool p11s_key_table_list(struct p11s_key_table *table, struct p11s_key_use **ret_uses,
                         size_t *ret_count);

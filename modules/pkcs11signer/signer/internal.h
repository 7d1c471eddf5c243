/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef P11S_SIGNER_INTERNAL_H
#define P11S_SIGNER_INTERNAL_H

#include "token/admission.h"
#include "signer/signer.h"

#include <pthread.h>
#include <stdatomic.h>

/* Shared by signer/signer.c (life), sign/key_table.c (the table of keys) and
   signer/stats.c; nobody else includes it. */
#define P11S_SIGNER_BUCKETS 4096

struct token_entry {
  struct token_entry *next;
  struct p11s_token *token;
};

struct p11s_signer {
  struct p11s_config config; /* immutable, as are the next eight */
  char *pin_source;
  char *state_dir;
  char *host_settings;
  struct p11s_mysql_config *fleet;
  unsigned char secret[32]; /* keys are named by an HMAC, as their references hold PINs */
  struct p11s_flights *flights;
  struct p11s_pinguard *guard;
  struct p11s_crowd crowd;
  struct p11s_lazy_store *store;
  _Atomic(struct p11s_ahead *) ahead; /* from when the store is open */
  atomic_bool prepare_asked;
  _Atomic(struct p11s_prepare *) prepare;

  pthread_mutex_t lock; /* guards the rest */
  bool stopped;
  bool reporting;
  struct p11s_report *report;
  struct token_entry *tokens;
  size_t token_count;
  struct p11s_key *bucket[P11S_SIGNER_BUCKETS];
  size_t key_count;
  uint64_t swept_ms;
};

/* -- sign/key_table.c */

/* At the end: all keys in the table, which nobody may hold any more. */
void p11s_signer_free_keys(struct p11s_signer *s);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/lock.h"
#include "signer/signer.h"
#include "token/admission.h"

#include <pthread.h>
#include <stdatomic.h>

/* Shared by signer/signer.c (life) and signer/stats.c; nobody else includes it, but for tests of a
   part. */
struct p11s_signer {
  struct p11s_config config; /* immutable, as are the next five; its strings and fleet are owned */
  struct p11s_lazy_store *store;
  struct p11s_tokens *tokens;
  struct p11s_key_table *keys;
  struct p11s_flights *flights;
  struct p11s_pin_guard *guard;
  struct p11s_admission crowd;
  _Atomic(struct p11s_ahead *) ahead; /* from when the store is open */
  atomic_bool report_asked;
  atomic_bool prepare_asked;
  _Atomic(struct p11s_prepare *) prepare;

  struct p11s_mutex lock; /* guards the rest */
  bool stopped;
  struct p11s_status *report; /* from when a token is in use */
};

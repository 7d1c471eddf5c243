/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "store/fleet/internal.h"

/*
 * A look-up that callers wait for, between store/fleet/lookup.c (the callers) and store/fleet/ask.c
 * (the thread that asks the database). All who look for the same at the same time share one.
 */
struct p11s_fleet_request {
  /* guarded by the lock */
  LIST_ENTRY(p11s_fleet_request) link; /* in the fleet's list, until it is done */
  unsigned refs;                       /* callers, and the thread while it asks */
  bool claim;
  bool asking;
  bool done;
  bool awaited;      /* another server was making it */
  uint64_t ask_ms;   /* when it is to be asked for */
  uint64_t heard_ms; /* of the database, the last time; before that, when it was queued */
  pthread_cond_t answered;

  /* written by the thread while it asks, read when it is done */
  enum p11s_store_found found;
  unsigned char signature[P11S_STORE_MAX_SIGNATURE];
  size_t signature_len;

  /* immutable */
  unsigned char key[P11S_RECORD_KEY_LEN];
  unsigned char id[P11S_STORE_ID_LEN]; /* of the row */
  uint32_t expires;
  size_t size; /* that a signature may have */
  size_t message_len;
  unsigned char message[];
};

/* The last one who releases it takes it out of the list and frees it. */
void p11s_fleet_request_release_locked(struct p11s_fleet_request *r);

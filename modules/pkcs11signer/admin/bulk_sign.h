/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/buf.h"
#include "ahead/host.h"
#include "base/err.h"
#include "sign/key.h"
#include "signer/signer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Signing many messages for an administrator's command, with as many sessions as there are: threads
 * that each ask for one signature at a time (p11s_sign()) and see to it that the store has it. One
 * that it has already costs no signature. Nothing is dropped because it comes faster than the store
 * can write.
 *
 * A token that is away, or does not answer, is waited for (P11S_BULK_SIGN_PATIENCE_MS). A message
 * that the token refuses for its length is left out (p11s_bulk_sign_add_refused()). After any other
 * failure the batch gives up: what was not begun is not signed.
 *
 * batch->lock guards the queue, the counts and the error; it is held for no call. One thread adds
 * and waits.
 */
struct p11s_bulk_sign;

#define P11S_BULK_SIGN_WEEKS 16
#define P11S_BULK_SIGN_PATIENCE_MS 60000

struct p11s_bulk_sign_counts {
  uint64_t made[P11S_BULK_SIGN_WEEKS];  /* by the token */
  uint64_t there[P11S_BULK_SIGN_WEEKS]; /* the store had them */
};

/* The signer has a store. P11S_ERR_NOMEM: no memory, or not one thread. */
enum p11s_err p11s_bulk_sign_new(struct p11s_signer *signer, unsigned threads,
                                 struct p11s_bulk_sign **ret_batch, struct p11s_error *e);

/* Takes a copy of the message, and a reference of the key. It is counted by its week. false: no
   room until until_ms (p11s_now_ms()), or the batch has given up: see p11s_bulk_sign_error(). */
bool p11s_bulk_sign_add(struct p11s_bulk_sign *batch, const struct p11s_demand *demand,
                        uint64_t until_ms);

/* Waits until all is signed and written to the store, or the batch has given up. false: not until
   until_ms. */
bool p11s_bulk_sign_wait(struct p11s_bulk_sign *batch, uint64_t until_ms);

/* Why it has given up; P11S_OK when it has not. */
enum p11s_err p11s_bulk_sign_error(struct p11s_bulk_sign *batch, struct p11s_error *e);

void p11s_bulk_sign_get_counts(struct p11s_bulk_sign *batch, struct p11s_bulk_sign_counts *ret);

/* Appends one text for each message of week 0 that the token refused for its length, with a NUL
   behind each; 64 KiB at most. */
void p11s_bulk_sign_add_refused(struct p11s_bulk_sign *batch, struct p11s_buf *out);

/* Drops what has not begun, waits for the rest until until_ms, and has the store written. The
   counts are final then, unless it gives false: not all came back. */
bool p11s_bulk_sign_stop(struct p11s_bulk_sign *batch, uint64_t until_ms);

/* Stops it and frees it; a thread that is not back by then is left behind with it. NULL is allowed.
 */
void p11s_bulk_sign_free(struct p11s_bulk_sign *batch, uint64_t until_ms);

/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "modules/fakep11.h"
#include "token/job.h"
#include "format/keyref.h"
#include "format/pubkey.h"
#include "signer/signer.h"

#include <pthread.h>
#include <stdbool.h>

/*
 * A test program's surroundings: SoftHSM with one token (rig/softhsm.h), the scripted module before
 * it (modules/fakep11.h), keys on it, references to them, and events to wait for instead of
 * sleeping. What is called here goes round the scripted module: it is not counted. Every function
 * fails the test when it cannot do its work.
 */
#define RIG_MODULE "fakep11"
#define RIG_TOKEN "rig"
#define RIG_PIN "user~1234" /* rig/softhsm.h's */
#define RIG_WRONG_PIN "wrong~9999"

/* Group fixtures. A program that takes longer than RIG_WATCHDOG_S is killed; the longest needs
   nine seconds of a processor, which beside a load of forty are close to three minutes. */
#define RIG_WATCHDOG_S 600
#define RIG_PATIENCE_S 60 /* for whatever comes at once on an idle machine */
int rig_setup(void **state);
int rig_teardown(void **state);
/* Before each test: forgets the script and the counts. */
int rig_reset(void **state);

/* The script of the module. */
const struct fakep11 *rig_fake(void);
/* For programs without a token. */
void rig_watchdog(void);

/* -- on the token */

/* A P-256 pair. */
void rig_make_key(const char *label);
/* An Ed25519 pair (algorithm 15). */
void rig_make_ed25519_key(const char *label);
/* A P-256 pair with CKA_ALWAYS_AUTHENTICATE. */
void rig_make_consent_key(const char *label);
void rig_remove_private(const char *label);
void rig_remove_public(const char *label);
void rig_remove_key(const char *label);
/* All objects of the label once more, the same in every way. */
void rig_copy_key(const char *label);
/* All objects of the label get that CKA_ID. */
void rig_set_id(const char *label, unsigned char id);
/* Objects on the token, or of one label when label is not NULL. */
unsigned rig_objects(const char *label);
/* The public half, as the token gives it. Free with p11s_pubkey_free(). */
struct p11s_pubkey *rig_public(const char *label);

/* Logs in as somebody else in this process does, until rig_log_out(). */
CK_SESSION_HANDLE rig_log_in(void);
void rig_log_out(CK_SESSION_HANDLE session);

/* -- for the core */

/* Algorithm 13, pin NULL: none. Free with p11s_keyref_free(). */
struct p11s_keyref *rig_ref(const char *label, const char *pin);
/* The same reference, to what another slot holds. */
struct p11s_keyref *rig_ref_in(const char *slot, struct p11s_keyref *ref);
/* The same with the token's public key pinned. */
struct p11s_keyref *rig_pinned_ref(const char *label, const char *pin);
/* Tokens, keys and signatures under way, as a signer has them, without one. */
struct rig_keys {
  struct p11s_pin_guard *guard;
  struct p11s_tokens *tokens;
  struct p11s_key_table *table;
  struct p11s_flights *flights;
};
struct rig_keys *rig_keys_new(unsigned sessions);
/* Fails the test when a worker does not come back. */
void rig_keys_free(struct rig_keys *keys);
/* The table's key of the reference, which is freed. */
struct p11s_key *rig_intern(struct p11s_key_table *table, struct p11s_keyref *ref);
/* That of rig_ref(). */
struct p11s_key *rig_key_on(struct rig_keys *keys, const char *label, const char *pin);
/* Returns when its public key is known. */
void rig_resolve(struct p11s_key *key);
/* p11s_sign(), with ample time. */
enum p11s_err rig_sign(struct p11s_flights *flights, struct p11s_key *key,
                       const unsigned char *message, size_t len, struct p11s_signature *ret,
                       struct p11s_error *e);

/* verify, literal PINs stored, ample time. */
struct p11s_config rig_config(unsigned sessions);
/* Stop and free it with rig_signer_free(). */
struct p11s_signer *rig_signer_of(const struct p11s_config *config);
/* One of rig_config(). */
struct p11s_signer *rig_signer(unsigned sessions);
/* Fails the test when a worker does not come back. */
void rig_signer_free(struct p11s_signer *signer);
/* rig_intern() and rig_key_on() for a signer's keys. */
struct p11s_key *rig_key_of(struct p11s_signer *signer, struct p11s_keyref *ref);
struct p11s_key *rig_key(struct p11s_signer *signer, const char *label, const char *pin);

/* A deadline that is not reached, in a test that works. */
uint64_t rig_later(void);
/* Somebody who waits until then, and is no query. */
struct p11s_wait rig_wait(uint64_t deadline_ms);

/* What is known of PINs since the last rig_reset(). For tokens made without a signer. */
struct p11s_pin_guard *rig_guard(void);

/* -- waiting */

/* Counts events in any thread; a test waits for the n-th instead of sleeping. */
struct rig_event {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  unsigned count;
};
#define RIG_EVENT_INIT                                                                             \
  {                                                                                                \
    PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0                                         \
  }
void rig_event_reset(struct rig_event *event);
void rig_event_note(struct rig_event *event);
unsigned rig_event_count(struct rig_event *event);
/* Waits until there were n of them since the last reset. */
void rig_event_wait(struct rig_event *event, unsigned n);

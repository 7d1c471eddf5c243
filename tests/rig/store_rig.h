/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "store/store.h"

#include <stdbool.h>

/*
 * A state directory of a test's own, and what may be in it: keys, messages and signatures made from
 * numbers. Every function fails the test when it cannot do its work.
 */
#define STORE_RIG_MESSAGE 256
#define STORE_RIG_SIGNATURE 64

/* How far these are from the real ones: time() and CLOCK_BOOTTIME. */
void store_rig_set_clock(long seconds);
void store_rig_set_uptime(long seconds);

/* Group fixtures; pkcs11signer-probe is the one that was built. */
int store_rig_setup(void **state);
int store_rig_teardown(void **state);
/* Before each test: nothing is open, nor in the directory. */
int store_rig_empty(void **state);

/* All three, and those of rig/rig.h: a token too. */
int store_rig_setup_with_token(void **state);
int store_rig_teardown_with_token(void **state);
int store_rig_reset_with_token(void **state);

const char *store_rig_directory(void);
bool store_rig_exists(const char *name);
/* DIRECTORY/name. Static. */
const char *store_rig_path(const char *name);

struct p11s_store *store_rig_open(size_t mib);
void store_rig_close(struct p11s_store *store);
void store_rig_flush(struct p11s_store *store);

/* The id of the key of that number. Static, until the next call. */
const unsigned char *store_rig_key(unsigned number);
/* Static, until the next call. */
const struct p11s_question *store_rig_question(const unsigned char *key_id,
                                               const unsigned char *message, size_t len);
/* As PowerDNS hands them over, of varying length; returns it. */
size_t store_rig_message(unsigned char *message, unsigned number, uint32_t expiration);
/* An expiration that is in the future, and the same in each call. */
uint32_t store_rig_later(void);

void store_rig_put(struct p11s_store *store, unsigned key, unsigned number, uint32_t expiration);
/* Whether it is found and what was put. */
bool store_rig_has(struct p11s_store *store, unsigned key, unsigned number, uint32_t expiration);

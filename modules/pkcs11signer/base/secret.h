/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stddef.h>

/*
 * Bytes that must not leak: a PIN.
 *
 * A secret lives in a mapping of its own that is locked in memory where
 * RLIMIT_MEMLOCK allows it (mlock), left out of core dumps (MADV_DONTDUMP)
 * and wiped before it is unmapped. It is immutable and reference-counted
 * (atomically), so threads may share it without a lock.
 */
struct p11s_secret;

/* Copies len bytes. Returns NULL when there is no memory. The reference is the caller's. */
struct p11s_secret *p11s_secret_new(const void *data, size_t len);
/* The same in ordinary memory, for a text that names a secret and is none (file:PATH): thousands of
   them must not use up RLIMIT_MEMLOCK. */
struct p11s_secret *p11s_secret_new_open(const void *data, size_t len);
/* One more reference to the same secret; NULL gives NULL. */
struct p11s_secret *p11s_secret_acquire(struct p11s_secret *s);
/* Gives a reference back; the last one wipes. NULL is allowed. */
void p11s_secret_release(struct p11s_secret *s);

/* The bytes (NUL-terminated behind len) and their number; NULL gives "" and 0. */
const unsigned char *p11s_secret_data(const struct p11s_secret *s);
size_t p11s_secret_len(const struct p11s_secret *s);

/* Overwrites memory in a way the compiler cannot remove. */
void p11s_wipe(void *data, size_t len);

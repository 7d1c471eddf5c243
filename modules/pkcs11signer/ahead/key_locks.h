/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>

/*
 * Which process of the machine signs ahead with which key, so that two that share a store do not
 * make the same signatures: a lock of one byte for each key, at a place that its id gives, on the
 * empty file STATE_DIR/ahead.lock (F_OFD_SETLK). A process that ends, however it does, lets go.
 *
 * No locks of its own; one thread at a time.
 */
struct p11s_key_locks {
  int fd; /* -1: no file to be had; then every lock is had */
};

/* Lets go of all that is held, and begins anew. Files are opened with the thread's rights. */
void p11s_key_locks_renew(struct p11s_key_locks *locks, const char *directory);
/* Takes the key, unless another process has it. Never waits. key_id: P11S_STORE_ID_LEN bytes. */
bool p11s_key_locks_take(struct p11s_key_locks *locks, const unsigned char *key_id);
/* Lets go of all. */
void p11s_key_locks_drop(struct p11s_key_locks *locks);

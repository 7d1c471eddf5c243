/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/err.h"
#include "ahead/host.h"
#include "pkcs11/object.h"

#include <p11-kit/pkcs11.h>

/*
 * Which rows of the cryptokeys table name which key on a token.
 *
 * A row counts when its Engine: is the module's name, its Slot: leads to the
 * same slot now, and its Label: (or URI) names the key. The public key is
 * not compared: that is what `check` does, and a row that names a key is of
 * interest here even if its pinned public key is another.
 *
 * Reads all zones and asks the module for its slots: administrative use only. No locks.
 */
struct p11s_key_users;

enum p11s_err p11s_key_users_read(const struct p11s_host *host, const char *engine,
                                  CK_FUNCTION_LIST *module, CK_SLOT_ID slot,
                                  struct p11s_key_users **ret_usage, struct p11s_error *e);
void p11s_key_users_free(struct p11s_key_users *usage);

/* Calls fn for each row that names the key, in the order of the database. */
void p11s_key_users_each(const struct p11s_key_users *usage, const struct p11s_object_info *key,
                         void (*fn)(const char *zone, unsigned id, void *arg), void *arg);

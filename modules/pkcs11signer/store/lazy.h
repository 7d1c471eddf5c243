/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "store/store.h"

/*
 * A store that is opened when it is asked for: a tool that signs nothing opens no file.
 *
 * Any thread. Its lock guards the state of the thread that opens it; no call is made under it.
 */
struct p11s_lazy_store;

/* At the end the store gets as much time as this to be written. */
#define P11S_STORE_STOP_MS 1000

struct p11s_lazy_store_config {
  struct p11s_store_config store; /* `patient` does not matter; pointers are borrowed */
  bool wanted;                    /* false: there is never a store */
  void (*tried)(void *arg);       /* or NULL; called once, when it is open or cannot be opened */
  void *arg;
};

/* NULL: no memory. */
struct p11s_lazy_store *p11s_lazy_store_new(const struct p11s_lazy_store_config *config);
/* Opens it, unless somebody has. NULL: it cannot be opened (the log has why), it is just being
   opened, or lazy is NULL. Borrowed; no lock once it is open. */
struct p11s_store *p11s_lazy_store_get(struct p11s_lazy_store *lazy);
/* NULL: it is not open. Borrowed. */
struct p11s_store *p11s_lazy_store_peek(const struct p11s_lazy_store *lazy);
/* The error of a command that needs a store and has none. purpose: "", or " that could …". */
enum p11s_err p11s_lazy_store_missing(const char *purpose, struct p11s_error *e);
/* For a server: opens it in a thread of its own, connects to the fleet's database, and returns when
   that is done, or at the deadline: a store that has to be copied may take minutes. */
void p11s_lazy_store_open(struct p11s_lazy_store *lazy, uint64_t deadline_ms);
/* As p11s_store_stop(), with P11S_STORE_STOP_MS at least; it is not opened any more. NULL is
   allowed. */
bool p11s_lazy_store_stop(struct p11s_lazy_store *lazy, uint64_t deadline_ms);
/* Behind p11s_lazy_store_stop(). NULL is allowed. */
void p11s_lazy_store_free(struct p11s_lazy_store *lazy);

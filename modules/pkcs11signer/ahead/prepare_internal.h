/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "ahead/host.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* Shared by ahead/prepare.c and ahead/prepare_zones.c; nobody else includes it. */

struct p11s_store;

struct p11s_prepare_zone {
  char *name;
  uint32_t last_used; /* a signature of it (store/store.h); 0: none is stored */
  size_t place;       /* in the database's order */
};
struct p11s_prepare_zones {
  struct p11s_prepare_zone *zones;
  size_t count;
};

/* In the order in which they are to be prepared (ahead/prepare.h). store NULL: nothing is stored.
   stop ends it early. ret: to be cleared; written only on success. P11S_ERR_HOST. */
enum p11s_err p11s_prepare_zones_list(struct p11s_store *store, const struct p11s_host *host,
                                      const atomic_bool *stop, struct p11s_prepare_zones *ret,
                                      struct p11s_error *e);
void p11s_prepare_zones_clear(struct p11s_prepare_zones *zones);

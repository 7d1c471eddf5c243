/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef P11S_P11MOD_INTERNAL_H
#define P11S_P11MOD_INTERNAL_H

/* Shared by p11mod.c (who uses modules) and p11mod_load.c (where they come from); nobody else. */
#include "p11mod.h"

#include <stdbool.h>
#include <stdint.h>

/* A module that was left out is tried again when it is asked for, this often at most. */
#define P11S_P11MOD_RETRY_MS 30000

enum p11s_p11mod_state {
  P11S_P11MOD_IDLE,
  P11S_P11MOD_STARTING, /* one thread is at it, without the lock */
  P11S_P11MOD_READY,
};

/* Under p11mod.c's lock, but for name, which stays as it is, and single and the options, which are
   set before there is a module. */
struct p11s_p11mod_entry {
  CK_FUNCTION_LIST *module; /* NULL: left out, for this reason */
  char *name;
  char *reason;      /* a sentence, or NULL */
  char *reserved;    /* x-init-reserved; NULL when not set */
  uint64_t tried_ms; /* when the reason was found */
  enum p11s_p11mod_state state;
  bool single;    /* loaded by its path: p11-kit knows no options for it */
  bool unmanaged; /* for a single one */
  bool ours;      /* we initialized it, so we finalize it */
  bool lost;      /* somebody finalized it */
};

struct p11s_p11mods {
  CK_FUNCTION_LIST **list; /* of p11_kit_modules_load(); NULL when all were loaded one by one */
  struct p11s_p11mod_entry *entries;
  size_t count;
  char *complaint; /* what p11-kit said about modules that do not load; may be NULL */
  struct p11s_p11mods *forgotten;
};

/* Loads what is configured and harmless. May take as long as p11s_modprobe_run(). */
enum p11s_err p11s_p11mods_load(struct p11s_p11mods **ret_mods, struct p11s_error *e);
void p11s_p11mods_free(struct p11s_p11mods *m);

/* Tries a module that was left out once more. Fills *found, an empty entry of its own, with the
   module or a reason, or leaves it empty when nothing could be found out. */
void p11s_p11mod_load_again(const char *name, struct p11s_p11mod_entry *found);

#endif

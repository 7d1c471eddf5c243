/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Shared by pkcs11/module.c (who uses modules), pkcs11/module_load.c (where they come from) and
   pkcs11/restart.c. */
#include "pkcs11/module.h"

#include <stdbool.h>
#include <stdint.h>

/* A module that was left out is tried again when it is asked for, this often at most. */
#define P11S_MODULE_RETRY_MS 30000

enum p11s_module_state {
  P11S_MODULE_IDLE,
  P11S_MODULE_STARTING, /* one thread is at it, without the lock */
  P11S_MODULE_READY,
};

/* Under pkcs11/module.c's lock, but for name, which stays as it is, and single and the options,
   which are set before there is a module. */
struct p11s_module_entry {
  CK_FUNCTION_LIST *module; /* NULL: left out, for this reason */
  CK_FUNCTION_LIST *former; /* the single one that we had before one for us alone, or NULL */
  char *name;
  char *reason;      /* a sentence, or NULL */
  char *reserved;    /* x-init-reserved; NULL when not set */
  char *warning;     /* a sentence about its options, or NULL; set before there is a module */
  uint64_t tried_ms; /* when the reason was found */
  uint64_t ready_ms; /* when the library was initialized last */
  uint64_t life;     /* how often it was */
  bool reread;       /* and that was to see what is new on the card */
  enum p11s_module_state state;
  bool single;    /* loaded by its path: p11-kit knows no options for it */
  bool unmanaged; /* for a single one */
  bool alone;     /* no other code in this process has it, not even through p11-kit */
  bool ours;      /* we initialized it, so we finalize it */
  bool lost;      /* somebody finalized it */
};

struct p11s_modules {
  CK_FUNCTION_LIST **list; /* of p11_kit_modules_load(); NULL when all were loaded one by one */
  struct p11s_module_entry *entries;
  size_t count;
  char *complaint; /* what p11-kit said about modules that do not load; may be NULL */
  struct p11s_modules *forgotten;
};

/* Loads what is configured and harmless. May take as long as p11s_trial_run(). */
enum p11s_err p11s_modules_load(struct p11s_modules **ret_mods, struct p11s_error *e);
void p11s_modules_free(struct p11s_modules *m);

/* A library that has just been initialized knows what is on its cards. */
#define P11S_MODULE_OLD_MS 2000

/* Whether the module is ready and was initialized so long ago, or interval_ms ago if it was to read
   its cards anew. */
bool p11s_module_is_old(const char *name, unsigned interval_ms);
/* The i-th module and its name, NULL when it is not in use. *ret_end: there are no more. */
CK_FUNCTION_LIST *p11s_module_in_use(size_t i, const char **ret_name, bool *ret_end);
/* pkcs11/restart.c: finalizes the library itself, whatever p11-kit counts; p11s_module_get()
   initializes it again. No other call may be under way. False when it does not let itself be
   finalized. */
bool p11s_module_finalize_library(const char *name);

/* For that one: the module's entry when it is ready, else NULL. */
struct p11s_module_entry *p11s_module_begin_anew(const char *name);
/* The next p11s_module_get() initializes the library again; alone, when not NULL, takes its place.
 */
void p11s_module_set_idle(struct p11s_module_entry *entry, CK_FUNCTION_LIST *alone);

/* Whether p11-kit's configuration of the module, or of all when NULL, has that option. */
bool p11s_module_option_is(CK_FUNCTION_LIST *module, const char *option, const char *value);

/* Tries a module that was left out once more. Fills *found, an empty entry of its own, with the
   module or a reason, or leaves it empty when nothing could be found out. */
void p11s_module_load_again(const char *name, struct p11s_module_entry *found);

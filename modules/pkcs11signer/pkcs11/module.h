/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "pkcs11/rv.h"

#include <p11-kit/p11-kit.h>
#include <p11-kit/pkcs11.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * PKCS#11 modules as p11-kit manages them. PowerDNS's built-in engine uses the
 * same modules in the same process: p11-kit counts C_Initialize for both.
 *
 * Modules are loaded at the first call in a process, one is initialized when
 * it is first asked for by name, and all stay until p11s_module_shutdown().
 * In a child of fork() everything starts anew (PKCS#11 v2.40 section 5.1 with
 * p11-kit's fork detection). Functions are safe from any thread; one
 * internal mutex guards the list and is not held while modules are loaded or
 * initialized.
 *
 * Before that, another process finds out what each does when it is loaded
 * (pkcs11/trial.h). One that would crash, hang or end this process is left out: it
 * has an entry and a reason, and is tried again when it is asked for, every
 * 30 s at most. The others are then loaded one by one.
 * The first call, and such another try, may block for P11S_TRIAL_MS and two
 * seconds more; one that finds another thread in the module's C_Initialize waits for that, however
 * long it takes. So only workers call, which others do not wait for without a deadline
 * (token/job.h), and administrative commands.
 */

/* The module p11-kit knows as name. Borrowed, valid until shutdown. P11S_ERR_NO_MODULE names those
   p11-kit knows, or why the module does not load or initialize. */
enum p11s_err p11s_module_get(const char *name, CK_FUNCTION_LIST **ret_module,
                              struct p11s_error *e);

/* Calls fn whenever libraries have been loaded, in the thread that did it. Their destructors run
   before all exit handlers that are older, so whoever has one that needs them puts it up anew. Set
   once, before any other call. */
void p11s_module_on_load(void (*fn)(void));

/* To be told that a call gave CKR_CRYPTOKI_NOT_INITIALIZED, because somebody finalized the library:
   the next p11s_module_get() initializes it again. All its sessions are gone. Does not block; may
   be called while others use the module, and for each of them. */
void p11s_module_lost(const char *name);

/* Changes whenever the library was initialized anew (never back to what it was): sessions and
   handles of an earlier life are gone, and their numbers may be those of others now. 0: none yet.
 */
uint64_t p11s_module_life(const char *name);

/* Which modules keep a p11s_module_get(name) waiting in this moment, in whichever thread: as "'a'",
   "'a', 'b'". False when that is not known. Does not block. */
bool p11s_module_waits_for(const char *name, char *ret_names, size_t size);

/* One of p11-kit's modules. Strings are the caller's buffers. */
struct p11s_module_info {
  char name[64];        /* as p11-kit names it: what goes into Engine: */
  char path[256];       /* shared object */
  char description[33]; /* CK_INFO.libraryDescription */
  char manufacturer[33];
  char version[16]; /* library version "2.6" */
};
/* Calls fn for each module that p11-kit could load and that initializes. P11S_ERR_NO_MODULE:
   p11-kit loads none at all, and why. */
enum p11s_err p11s_module_each(void (*fn)(const struct p11s_module_info *info, void *arg),
                               void *arg, struct p11s_error *e);

/* Calls fn with the name of each module, whether it initializes or not. Those that do not load are
   among them if they could be tried beforehand. */
enum p11s_err p11s_module_each_name(void (*fn)(const char *name, void *arg), void *arg,
                                    struct p11s_error *e);

/* A sentence about a danger in the options of a module that has been loaded, or NULL. Borrowed, as
   the module is. It is also logged when the module is loaded. */
const char *p11s_module_warning(const char *name);

/* Finalizes what we initialized. No other call may be under way. */
void p11s_module_shutdown(void);

/* Copies a blank-padded PKCS#11 string (label, serial), trims it and makes it fit to be shown
   (p11s_error_clean); size includes the NUL. */
void p11s_padded_copy(char *to, size_t size, const CK_UTF8CHAR *from, size_t len);

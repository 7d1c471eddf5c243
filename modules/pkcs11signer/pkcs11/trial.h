/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/*
 * What p11-kit's configured modules do when they are loaded and initialized,
 * found out in another process, since a module that crashes takes its process
 * with it. The program pkcs11signer-probe (probe/main.c) tries each in a child of
 * its own, all at the same time.
 *
 * PowerDNS itself has p11-kit load and initialize all modules that are enabled for
 * its programs before main() is reached: one that crashes then is nobody's to catch. A
 * module with the line `disable-in: pdns_server pdnsutil` is not loaded there. Modules are
 * looked for as program `pkcs11signer`, so such a one is found here.
 *
 * The program is looked for where `make install` puts it; PKCS11SIGNER_PROBE in
 * the environment names another. Blocks until the program is done, at the
 * latest two seconds after the deadline: for workers, not for query threads. One internal mutex
 * guards the names of those that it waits for.
 */
enum p11s_trial_verdict {
  P11S_TRIAL_GOOD,       /* loads, and C_Initialize returns, whatever it says */
  P11S_TRIAL_UNLOADABLE, /* refused without harm: no such file, no PKCS#11 */
  P11S_TRIAL_DANGEROUS,  /* takes the process down, or never comes back */
};

struct p11s_trial_module {
  char *name;
  char *path;     /* "" when it runs in a process of its own (p11-kit's `remote`) */
  char *reserved; /* x-init-reserved; NULL when not set */
  char *reason;   /* what is wrong: "crashed when it was loaded (signal 11)"; "" when good */
  bool enabled;   /* p11-kit's enable-in and disable-in let this program have it */
  bool unmanaged;
  bool critical; /* p11-kit loads no module at all when this one does not load */
  enum p11s_trial_verdict verdict;
};

struct p11s_trial {
  struct p11s_trial_module *modules;
  size_t count;
};

#define P11S_TRIAL_MS 10000

/* Tries all modules, or the one called only. False when nothing is known, because the program
   cannot be run or did not finish; the log has why, at debug level. */
bool p11s_trial_run(const char *only, unsigned deadline_ms, struct p11s_trial *ret_probe);

/* What the program begins its output with when modules have kept it waiting for so long: their
   names, as for a sentence, and a NUL. */
#define P11S_TRIAL_LATE '\1'
#define P11S_TRIAL_LATE_MS 500

/* The modules that p11s_trial_run(), in whichever thread, has waited for that long and still
   does, as "'a', 'b'"; false when there are none. Safe from any thread; does not block. */
bool p11s_trial_waits_for(char *ret_names, size_t size);

/* Frees what *probe points to. */
void p11s_trial_clear(struct p11s_trial *probe);

/* Borrowed; NULL when there is none of that name. */
const struct p11s_trial_module *p11s_trial_find(const struct p11s_trial *probe, const char *name);

/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/buf.h"

/*
 * Commands in messages, ready to be pasted into a shell: each word quoted, and with the options by
 * which the command reads the configuration that this process has read.
 */

/* Debian's default of config-dir. */
#define P11S_CONFIGURATION_DIR "/etc/powerdns"

/* PowerDNS's config-dir and config-name; before all threads. An option that says what PowerDNS
   takes anyway is left out: of the directory, P11S_CONFIGURATION_DIR. */
void p11s_paste_set_configuration(const char *dir, const char *name);

/* Appends program ("pkcs11signer", "pdnsutil"), these options and the words, a NULL behind the
   last. No locks. */
void p11s_paste(struct p11s_buf *out, const char *program, ...) __attribute__((sentinel));

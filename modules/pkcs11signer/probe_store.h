/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef P11S_PROBE_STORE_H
#define P11S_PROBE_STORE_H

/*
 * A mode of pkcs11signer-probe: pkcs11signer-probe --copy-store MILLISECONDS FROM TO
 *
 * Copies the records of a signature store of unknown content to a fresh file (store_file.h). May
 * crash. Says on stdout "good", "space: REASON" when TO cannot be written, or what is wrong with
 * FROM. As root it becomes FROM's owner first.
 */
int p11s_probe_copy_store(const char *from, const char *to);

#endif

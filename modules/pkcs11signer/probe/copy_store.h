/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * A mode of pkcs11signer-probe: pkcs11signer-probe --copy-store FROM TO
 *
 * Copies the records of a signature store of unknown content to a fresh file (store/recover.h). May
 * crash. Says on stdout, several times a second, "at RECORDS of RECORDS", and at last "good",
 * "space: REASON" when TO cannot be written, or what is wrong with FROM. As root it becomes FROM's
 * owner first.
 *
 * It takes as long as FROM is large and the disk slow. A damaged file may keep it busy for ever: it
 * ends when it has computed, not waited for the disk, for P11S_PROBE_STALL_S without a record. Who
 * reads what it says may end at any moment: then it ends at its next word.
 */
#define P11S_PROBE_STALL_S 15

int p11s_probe_copy_store(const char *from, const char *to);

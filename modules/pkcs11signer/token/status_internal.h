/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Shared by token/status_file.c (writing) and token/status_read.c. */

/* What files are called, with a number and a random one behind; a file that is being made has a dot
   before it. */
#define P11S_STATUS_PREFIX "status."
/* A file begins with this and the process, separated by a tab. */
#define P11S_STATUS_HEAD "pkcs11signer status 2"

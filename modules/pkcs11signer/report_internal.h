/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef P11S_REPORT_INTERNAL_H
#define P11S_REPORT_INTERNAL_H

#include <sys/types.h>

/* Shared by report.c (writing) and report_read.c. */

/* A file begins with this, the process and its start time, separated by tabs. */
#define P11S_REPORT_HEAD "pkcs11signer status 1"

/* Field 22 of /proc/PID/stat: tells a process from a later one of the same number. 0: no such. */
unsigned long long p11s_report_start_time(pid_t pid);

#endif

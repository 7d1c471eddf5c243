/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Domain names in wire format, without compression (RFC 1035, 3.1), and as text with \X and \DDD
 * (5.1). Pure functions; no locks.
 */
#define P11S_DNSNAME_MAX 255

/* How many bytes the name at the beginning of data takes, with the root's label; 0 when it does not
   end within len, or is none. */
size_t p11s_dnsname_length(const unsigned char *data, size_t len);

/* Text to wire, in lower case; the final dot may be missing. ret: P11S_DNSNAME_MAX bytes. false:
   not a domain name. */
bool p11s_dnsname_parse(const char *text, unsigned char *ret, size_t *ret_len);

/* Appends the name, which is well-formed, as PowerDNS writes it: with the final dot. */
void p11s_dnsname_format(const unsigned char *name, struct p11s_buf *out);

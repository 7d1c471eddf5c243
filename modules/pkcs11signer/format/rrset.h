/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>

/* Names an RRset as people do. Pure functions; no locks. */

/* Appends "RRset www.example.com TXT" for the RRset of a message (format/message.h), with TYPE12345
   for a type that has no name here (RFC 3597, 5). false, and nothing: it is no message of an RRset.
 */
bool p11s_rrset_format(const unsigned char *message, size_t len, struct p11s_buf *out);

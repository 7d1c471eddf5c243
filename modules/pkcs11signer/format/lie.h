/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "format/message.h"

/* Whether it is an NSEC3 record that covers the one hash in between (RFC 7129, appendix B):
   PowerDNS makes it up in narrow mode for a name that was asked for. m has a record. No locks. */
bool p11s_message_is_lie(const struct p11s_message *m);

/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "store/store.h"

/*
 * What a signature looks like in the file; numbers are big-endian.
 *
 *   key    key id (32), SHA-256 of the message (32)
 *   value  0  version, 1
 *          1  0
 *          2  length of the signature
 *          4  last use, seconds since 1970
 *          8  days of use
 *         12  length of the message
 *         16  signature, message
 *
 * Pure functions; no locks.
 */
#define P11S_RECORD_HEAD_LEN 16

size_t p11s_record_size(size_t message_len, size_t signature_len);

/* Writes p11s_record_size() bytes. The lengths are within P11S_STORE_MAX_…; key_id is not used. */
void p11s_record_format(const struct p11s_store_record *record, unsigned char *ret_value);

/* false when the value is none of ours; never reads beyond size. Points into key and value. */
bool p11s_record_parse(const unsigned char *key, size_t key_len, const unsigned char *value,
                       size_t size, struct p11s_store_record *ret);

/* Whether the message begins with the RDATA of an RRSIG (RFC 4034, 3.1) whose expiration is before
   now, in the arithmetic of RFC 1982. Also true of a record that could not be read: its message is
   NULL. */
bool p11s_record_is_expired(const struct p11s_store_record *record, uint32_t now);

/* A use is noted once a day, and the first one always. Also true when the clock was ahead at the
   last one. */
bool p11s_record_is_stale(const struct p11s_store_record *record, uint32_t now);

/* Seconds since 1970. */
uint32_t p11s_record_now(void);

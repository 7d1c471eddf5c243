/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What PowerDNS has signed, and in which week.
 *
 * A message is the RDATA of an RRSIG without its signature, then the RRset in canonical form
 * (RFC 4034, 3.1.8.1):
 *
 *    0  type covered             8  expiration       18  signer's name
 *    2  algorithm               12  inception         then for each record: owner, type, class,
 *    3  labels                  16  key tag           TTL, length of the RDATA, RDATA
 *    4  original TTL
 *
 * PowerDNS's weeks turn on Thursday at 00:00 UTC (getStartOfWeek(): a multiple of 604,800 s since
 * 1970). All week long it asks for signatures with inception a week before the week's start and
 * expiration two weeks behind it, and from 5.1.3 on later by the setting rrsig-expiry-extend, which
 * is the same for all zones. Next week it asks for the same message with both a week later, but for
 * the serial of an SOA record (format/soaedit.h).
 *
 * Times are seconds since 1970 modulo 2^32, compared as in RFC 1982. Pure functions; no locks.
 */
#define P11S_WEEK_SECONDS 604800u
#define P11S_EXTENSION_MOST 31536000u /* seconds; of rrsig-expiry-extend */

#define P11S_TYPE_SOA 6u
#define P11S_TYPE_NSEC3 50u
#define P11S_TYPE_DNSKEY 48u
#define P11S_TYPE_CDS 59u
#define P11S_TYPE_CDNSKEY 60u

/* Points into the message. Names are in wire format, lengths with the root's label. */
struct p11s_message {
  unsigned type;
  unsigned algorithm;
  unsigned labels;
  uint32_t ttl;
  uint32_t expiration;
  uint32_t inception;
  unsigned tag;
  const unsigned char *signer;
  size_t signer_len;
  const unsigned char *owner; /* of the first record; NULL when there is none, as is rdata */
  size_t owner_len;
  const unsigned char *rdata;
  size_t rdata_len;
};

/* false when it does not begin with the RDATA of an RRSIG, or what follows is cut off within its
   first record. Never reads beyond len. */
bool p11s_message_parse(const unsigned char *message, size_t len, struct p11s_message *ret);

/* Where the serial of an SOA record stands in the message, four bytes; NULL when it is none. */
const unsigned char *p11s_message_serial_at(const struct p11s_message *m);
/* Its value; false when it is none. */
bool p11s_message_serial(const struct p11s_message *m, uint32_t *ret_serial);

/* Writes another one; false, and the message as it was, when it is none of an SOA record. */
bool p11s_message_set_serial(unsigned char *message, size_t len, uint32_t serial);

/* The expiration alone, of a message of any form that is long enough. */
bool p11s_message_expiration(const unsigned char *message, size_t len, uint32_t *ret_expiration);

/* Moves expiration and inception by so many weeks, back when negative. The message can be parsed.
 */
void p11s_message_advance(unsigned char *message, int weeks);

/* Start of the week in which PowerDNS asks for the message, and by how much its expiration is
   extended; false when inception and expiration are not those that any setting has it write. NULL
   for what is not wanted. */
bool p11s_message_week(const struct p11s_message *m, uint32_t *ret_start, uint32_t *ret_extension);

/* Writes inception and expiration as PowerDNS has them in that week. The message can be parsed. */
void p11s_message_set_week(unsigned char *message, uint32_t start, uint32_t extension);

/* Start of the week that now is in. The next one begins P11S_WEEK_SECONDS later. */
uint32_t p11s_week_start(uint32_t now);

/* a - b as RFC 1982 has it: negative when a is before b. */
int32_t p11s_time_diff(uint32_t a, uint32_t b);

/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * Messages as PowerDNS hands them over to be signed (format/message.h), in its weeks.
 */
#define MESSAGE_RIG_MAX 512
/* 2026-11-26 00:00 UTC: a week begins. */
#define MESSAGE_RIG_WEEK 1795651200u

struct message_rig {
  const char *zone;  /* text, lower case */
  const char *owner; /* likewise */
  unsigned type;
  uint32_t week; /* its start */
  const void *rdata;
  size_t rdata_len;
};

/* Writes at most MESSAGE_RIG_MAX bytes; returns the length. Algorithm 13, TTL 3600. */
size_t message_rig_make(const struct message_rig *what, unsigned char *ret_message);
/* An A record; number is the address. */
size_t message_rig_a(const char *zone, const char *owner, unsigned number, uint32_t week,
                     unsigned char *ret_message);
size_t message_rig_soa(const char *zone, uint32_t serial, uint32_t week,
                       unsigned char *ret_message);
/* One key of 64 bytes, all of them number. */
size_t message_rig_dnskey(const char *zone, unsigned number, uint32_t week,
                          unsigned char *ret_message);
/* owner's hash is 20 bytes of number, the last one 0x10; the next is that and distance. */
size_t message_rig_nsec3(const char *zone, unsigned number, unsigned distance, uint32_t week,
                         unsigned char *ret_message);

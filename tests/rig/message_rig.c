/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "rig/message_rig.h"

#include "format/dnsname.h"
#include "format/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct writer {
  unsigned char *at;
  size_t len;
};

static void put(struct writer *w, const void *data, size_t len)
{
  assert_true(w->len + len <= MESSAGE_RIG_MAX);
  memcpy(w->at + w->len, data, len);
  w->len += len;
}

static void number(struct writer *w, uint32_t value, unsigned bytes)
{
  while (bytes-- > 0) {
    unsigned char byte = (unsigned char)(value >> (8 * bytes));

    put(w, &byte, 1);
  }
}

static void name(struct writer *w, const char *text)
{
  unsigned char wire[P11S_DNSNAME_MAX];
  size_t len;

  assert_true(p11s_dnsname_parse(text, wire, &len));
  put(w, wire, len);
}

static unsigned labels(const char *text)
{
  unsigned count = 1;

  for (; *text != '\0'; text++)
    count += *text == '.';
  return count;
}

size_t message_rig_make(const struct message_rig *what, unsigned char *ret_message)
{
  struct writer w = {ret_message, 0};

  number(&w, what->type, 2);
  number(&w, 13, 1);
  number(&w, labels(what->owner), 1);
  number(&w, 3600, 4);
  number(&w, what->week + 2 * P11S_WEEK_SECONDS, 4);
  number(&w, what->week - P11S_WEEK_SECONDS, 4);
  number(&w, 12345, 2);
  name(&w, what->zone);
  name(&w, what->owner);
  number(&w, what->type, 2);
  number(&w, 1, 2);
  number(&w, 3600, 4);
  number(&w, (uint32_t)what->rdata_len, 2);
  put(&w, what->rdata, what->rdata_len);
  return w.len;
}

size_t message_rig_a(const char *zone, const char *owner, unsigned address, uint32_t week,
                     unsigned char *ret_message)
{
  unsigned char rdata[4];
  struct writer w = {rdata, 0};
  const struct message_rig what = {zone, owner, 1, week, rdata, sizeof rdata};

  number(&w, address, 4);
  return message_rig_make(&what, ret_message);
}

size_t message_rig_soa(const char *zone, uint32_t serial, uint32_t week, unsigned char *ret_message)
{
  unsigned char rdata[MESSAGE_RIG_MAX];
  struct writer w = {rdata, 0};
  struct message_rig what = {zone, zone, P11S_TYPE_SOA, week, rdata, 0};

  name(&w, zone);
  name(&w, "hostmaster");
  number(&w, serial, 4);
  for (unsigned i = 0; i < 4; i++)
    number(&w, 3600, 4);
  what.rdata_len = w.len;
  return message_rig_make(&what, ret_message);
}

size_t message_rig_dnskey(const char *zone, unsigned key, uint32_t week, unsigned char *ret_message)
{
  unsigned char rdata[68] = {1, 1, 3, 13};
  const struct message_rig what = {zone, zone, P11S_TYPE_DNSKEY, week, rdata, sizeof rdata};

  memset(rdata + 4, (int)key, 64);
  return message_rig_make(&what, ret_message);
}

size_t message_rig_nsec3(const char *zone, unsigned key, unsigned distance, uint32_t week,
                         unsigned char *ret_message)
{
  static const char digits[] = "0123456789abcdefghijklmnopqrstuv";
  unsigned char hash[20], rdata[27] = {1, 0, 0, 0, 1, 0xab, 20};
  const struct message_rig what = {zone, NULL, P11S_TYPE_NSEC3, week, rdata, sizeof rdata};
  struct message_rig named = what;
  char owner[64];
  size_t at = 0;
  unsigned bits = 0, value = 0;

  memset(hash, (int)key, sizeof hash);
  hash[19] = 0x10;
  for (size_t i = 0; i < sizeof hash; i++) {
    value = value << 8 | hash[i];
    for (bits += 8; bits >= 5; bits -= 5)
      owner[at++] = digits[value >> (bits - 5) & 31];
  }
  (void)snprintf(owner + at, sizeof owner - at, ".%s", zone);
  hash[19] = (unsigned char)(0x10 + distance);
  memcpy(rdata + 7, hash, sizeof hash);
  named.owner = owner;
  return message_rig_make(&named, ret_message);
}

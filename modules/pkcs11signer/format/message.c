/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "format/message.h"

#include "base/byteorder.h"
#include "format/dnsname.h"

#define AT_TTL 4
#define AT_EXPIRATION 8
#define AT_INCEPTION 12
#define AT_TAG 16
#define AT_SIGNER 18

/* PowerDNS's, from a week's start; the extension comes on top. */
#define INCEPTION_BEFORE P11S_WEEK_SECONDS
#define EXPIRATION_BEHIND (2 * P11S_WEEK_SECONDS)

static bool parse_record(const unsigned char *at, size_t len, struct p11s_message *ret)
{
  size_t name = p11s_dnsname_length(at, len);

  if (name == 0 || len - name < 10 || p11s_get16(at + name + 8) > len - name - 10)
    return false;
  ret->owner = at;
  ret->owner_len = name;
  ret->rdata = at + name + 10;
  ret->rdata_len = p11s_get16(at + name + 8);
  return true;
}

bool p11s_message_parse(const unsigned char *message, size_t len, struct p11s_message *ret)
{
  size_t signer;

  if (len <= AT_SIGNER)
    return false;
  signer = p11s_dnsname_length(message + AT_SIGNER, len - AT_SIGNER);
  if (signer == 0)
    return false;
  *ret = (struct p11s_message){
      .type = p11s_get16(message),
      .algorithm = message[2],
      .labels = message[3],
      .ttl = p11s_get32(message + AT_TTL),
      .expiration = p11s_get32(message + AT_EXPIRATION),
      .inception = p11s_get32(message + AT_INCEPTION),
      .tag = p11s_get16(message + AT_TAG),
      .signer = message + AT_SIGNER,
      .signer_len = signer,
  };
  signer += AT_SIGNER;
  return signer == len || parse_record(message + signer, len - signer, ret);
}

const unsigned char *p11s_message_serial_at(const struct p11s_message *m)
{
  size_t name, names = 0;

  if (m->type != P11S_TYPE_SOA || m->rdata == NULL)
    return NULL;
  for (int i = 0; i < 2; i++) {
    name = p11s_dnsname_length(m->rdata + names, m->rdata_len - names);
    if (name == 0)
      return NULL;
    names += name;
  }
  return m->rdata_len - names == 20 ? m->rdata + names : NULL;
}

bool p11s_message_serial(const struct p11s_message *m, uint32_t *ret_serial)
{
  const unsigned char *at = p11s_message_serial_at(m);

  if (at != NULL)
    *ret_serial = p11s_get32(at);
  return at != NULL;
}

bool p11s_message_set_serial(unsigned char *message, size_t len, uint32_t serial)
{
  const unsigned char *at;
  struct p11s_message m;

  if (!p11s_message_parse(message, len, &m))
    return false;
  at = p11s_message_serial_at(&m);
  if (at != NULL)
    p11s_put32(message + (at - message), serial);
  return at != NULL;
}

bool p11s_message_expiration(const unsigned char *message, size_t len, uint32_t *ret_expiration)
{
  if (len <= AT_SIGNER)
    return false;
  *ret_expiration = p11s_get32(message + AT_EXPIRATION);
  return true;
}

void p11s_message_advance(unsigned char *message, int weeks)
{
  uint32_t by = (uint32_t)weeks * P11S_WEEK_SECONDS;

  p11s_put32(message + AT_EXPIRATION, p11s_get32(message + AT_EXPIRATION) + by);
  p11s_put32(message + AT_INCEPTION, p11s_get32(message + AT_INCEPTION) + by);
}

bool p11s_message_week(const struct p11s_message *m, uint32_t *ret_start, uint32_t *ret_extension)
{
  uint32_t start = m->inception + INCEPTION_BEFORE;
  uint32_t extension = m->expiration - start - EXPIRATION_BEHIND;

  if (start % P11S_WEEK_SECONDS != 0 || extension > P11S_EXTENSION_MOST)
    return false;
  if (ret_start != NULL)
    *ret_start = start;
  if (ret_extension != NULL)
    *ret_extension = extension;
  return true;
}

void p11s_message_set_week(unsigned char *message, uint32_t start, uint32_t extension)
{
  p11s_put32(message + AT_EXPIRATION, start + EXPIRATION_BEHIND + extension);
  p11s_put32(message + AT_INCEPTION, start - INCEPTION_BEFORE);
}

uint32_t p11s_week_start(uint32_t now)
{
  return now - now % P11S_WEEK_SECONDS;
}

int32_t p11s_time_diff(uint32_t a, uint32_t b)
{
  return (int32_t)(a - b);
}

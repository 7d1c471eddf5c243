/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "format/lie.h"

#define HASH_LEN 20 /* NSEC3's, of SHA-1: 32 characters of base32hex */

static int base32hex(unsigned char c)
{
  if (c >= '0' && c <= '9')
    return c - '0';
  if (c >= 'a' && c <= 'v')
    return c - 'a' + 10;
  return c >= 'A' && c <= 'V' ? c - 'A' + 10 : -1;
}

static bool decode_hash(const unsigned char *label, unsigned char *ret)
{
  unsigned bits = 0, value = 0;
  size_t at = 0;

  if (label[0] != HASH_LEN * 8 / 5)
    return false;
  for (unsigned i = 1; i <= label[0]; i++) {
    int digit = base32hex(label[i]);

    if (digit < 0)
      return false;
    value = value << 5 | (unsigned)digit;
    bits += 5;
    if (bits >= 8) {
      bits -= 8;
      ret[at++] = (unsigned char)(value >> bits);
    }
  }
  return true;
}

bool p11s_message_is_lie(const struct p11s_message *m)
{
  unsigned char owner[HASH_LEN];
  const unsigned char *next;
  unsigned carry = 2;
  size_t salt;

  if (m->type != P11S_TYPE_NSEC3 || m->rdata_len < 5)
    return false;
  salt = m->rdata[4];
  if (m->rdata_len < 6 + salt + HASH_LEN || m->rdata[5 + salt] != HASH_LEN ||
      !decode_hash(m->owner, owner))
    return false;
  next = m->rdata + 6 + salt;
  for (size_t i = HASH_LEN; i-- > 0;) {
    unsigned sum = owner[i] + carry;

    if ((unsigned char)sum != next[i])
      return false;
    carry = sum >> 8;
  }
  return true;
}

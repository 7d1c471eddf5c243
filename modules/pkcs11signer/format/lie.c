/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "format/lie.h"

#include "base/byteorder.h"

#include <ctype.h>
#include <string.h>

#define HASH_LEN 20 /* NSEC3's, of SHA-1 */
#define DIGITS 32   /* of base32hex, five bits each (RFC 4648, 7) */

bool p11s_message_is_lie(const struct p11s_message *m)
{
  static const char digits[] = "0123456789abcdefghijklmnopqrstuv";
  const unsigned char *label = m->owner, *next;
  unsigned carry = 2;
  size_t salt;

  if (m->type != P11S_TYPE_NSEC3 || m->rdata_len < 5 || label[0] != DIGITS)
    return false;
  salt = m->rdata[4];
  if (m->rdata_len < 6 + salt + HASH_LEN || m->rdata[5 + salt] != HASH_LEN)
    return false;
  next = m->rdata + 6 + salt;
  for (unsigned i = DIGITS; i-- > 0;) {
    const char *digit = memchr(digits, tolower(label[1 + i]), sizeof digits - 1);
    unsigned last = 5 * i + 4; /* bit of the digit, in a byte of next and the one before it */
    unsigned sum;

    if (digit == NULL)
      return false;
    sum = (unsigned)(digit - digits) + carry;
    if (((sum ^ (unsigned)p11s_get16(next + last / 8 - 1) >> (7 - last % 8)) & 0x1f) != 0)
      return false;
    carry = sum >> 5;
  }
  return true;
}

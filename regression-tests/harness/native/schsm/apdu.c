/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "apdu.h"

#define HEADER 4
#define EXTENDED_LE 65536

static size_t pair(const uint8_t *p)
{
  return (size_t)p[0] << 8 | p[1];
}

/* What follows the header, with lengths of one byte. */
static bool parse_short(struct apdu *a, const uint8_t *body, size_t len)
{
  if (len == 1) {
    a->le = body[0] == 0 ? SHORT_LE_MAX : body[0];
    return true;
  }
  a->lc = body[0];
  a->data = body + 1;
  if (len == 1 + a->lc)
    return true;
  if (len != 2 + a->lc)
    return false;
  a->le = body[len - 1] == 0 ? SHORT_LE_MAX : body[len - 1];
  return true;
}

/* The same where the first byte is 0 and lengths have two. */
static bool parse_extended(struct apdu *a, const uint8_t *body, size_t len)
{
  size_t le;

  if (len == 3) {
    le = pair(body + 1);
    a->le = le == 0 ? EXTENDED_LE : le;
    return true;
  }
  a->lc = pair(body + 1);
  a->data = body + 3;
  if (len == 3 + a->lc)
    return true;
  if (len != 5 + a->lc)
    return false;
  le = pair(body + len - 2);
  a->le = le == 0 ? EXTENDED_LE : le;
  return true;
}

bool apdu_parse(struct apdu *ret_apdu, const uint8_t *data, size_t len)
{
  struct apdu a = {0};
  const uint8_t *body = data + HEADER;
  size_t body_len;
  bool good = true;

  if (len < HEADER)
    return false;
  body_len = len - HEADER;
  a.cla = data[0];
  a.ins = data[1];
  a.p1 = data[2];
  a.p2 = data[3];
  if (body_len >= 3 && body[0] == 0)
    good = parse_extended(&a, body, body_len);
  else if (body_len > 0)
    good = parse_short(&a, body, body_len);
  if (good)
    *ret_apdu = a;
  return good;
}

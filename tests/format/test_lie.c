/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "format/lie.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define HASH_LEN 20
#define LABEL_LEN 32

struct record {
  unsigned char owner[1 + LABEL_LEN + 1];
  unsigned char rdata[6 + 255 + HASH_LEN];
  struct p11s_message m;
};

/* RFC 4648, 7, for whole groups of five bytes. */
static void encode(const unsigned char *hash, unsigned char *label)
{
  for (unsigned bit = 0; bit < 8 * HASH_LEN; bit += 5) {
    unsigned digit = 0;

    for (unsigned i = bit; i < bit + 5; i++)
      digit = digit << 1 | (hash[i / 8] >> (7 - i % 8) & 1u);
    label[bit / 5] = (unsigned char)"0123456789abcdefghijklmnopqrstuv"[digit];
  }
}

/* An NSEC3 record from hash to hash plus distance. */
static void fill(struct record *r, const unsigned char *hash, unsigned distance, unsigned salt_len)
{
  unsigned char *next = r->rdata + 6 + salt_len;

  memset(r, 0, sizeof *r);
  r->owner[0] = LABEL_LEN;
  encode(hash, r->owner + 1);
  r->rdata[0] = 1;
  r->rdata[4] = (unsigned char)salt_len;
  r->rdata[5 + salt_len] = HASH_LEN;
  memcpy(next, hash, HASH_LEN);
  for (int i = HASH_LEN; i-- > 0; distance >>= 8) {
    distance += next[i];
    next[i] = (unsigned char)distance;
  }
  r->m = (struct p11s_message){.type = P11S_TYPE_NSEC3,
                               .owner = r->owner,
                               .owner_len = sizeof r->owner,
                               .rdata = r->rdata,
                               .rdata_len = 6 + salt_len + HASH_LEN};
}

static void one_hash_between(void **state)
{
  unsigned char hash[HASH_LEN];
  struct record r;
  uint32_t number = 1;

  (void)state;
  for (int round = 0; round < 2000; round++) {
    for (int i = 0; i < HASH_LEN; i++) {
      number = number * 1664525u + 1013904223u;
      hash[i] = (unsigned char)(number >> 24);
    }
    memset(hash + HASH_LEN - round % 21, 0xff, (size_t)(round % 21)); /* carries over so many */
    for (unsigned distance = 0; distance < 40; distance++) {
      fill(&r, hash, distance, (unsigned)round % 256);
      assert_int_equal(p11s_message_is_lie(&r.m), distance == 2);
    }
    fill(&r, hash, 2, (unsigned)round % 256);
    for (unsigned i = 1; i <= LABEL_LEN; i++)
      r.owner[i] = (unsigned char)toupper(r.owner[i]);
    assert_true(p11s_message_is_lie(&r.m));
    r.rdata[6 + round % 256 + round % HASH_LEN] ^= (unsigned char)(1u << round % 8);
    assert_false(p11s_message_is_lie(&r.m));
  }
}

static void something_else(void **state)
{
  static const unsigned char hash[HASH_LEN] = {1, 2, 3};
  struct record r;

  (void)state;
  fill(&r, hash, 2, 4);
  r.m.type = 47;
  assert_false(p11s_message_is_lie(&r.m));
  fill(&r, hash, 2, 4);
  r.owner[0] = LABEL_LEN - 1;
  assert_false(p11s_message_is_lie(&r.m));
  fill(&r, hash, 2, 4);
  r.owner[7] = 'w';
  assert_false(p11s_message_is_lie(&r.m));
  fill(&r, hash, 2, 4);
  r.rdata[9] = HASH_LEN + 1;
  assert_false(p11s_message_is_lie(&r.m));
  fill(&r, hash, 2, 4);
  while (r.m.rdata_len-- > 0)
    assert_false(p11s_message_is_lie(&r.m));
}

int main(void)
{
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test(one_hash_between),
      cmocka_unit_test(something_else),
  };

  return cmocka_run_group_tests_name("lie", tests, NULL, NULL);
}

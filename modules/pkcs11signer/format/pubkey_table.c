/* SPDX-License-Identifier: GPL-2.0-or-later */
/* EC_GROUP_precompute_mult() is deprecated, as libcrypto's own generators need it no more. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "base/crypto.h"
#include "format/pubkey_table.h"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/obj_mac.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NUMBER_LEN (P11S_PUBKEY_TABLE_LEN / 2)
#define TRIALS 8

/* Immutable. */
struct groups {
  EC_GROUP *curve;  /* P-256 */
  EC_GROUP *key;    /* the same with the public key as generator, and a table of its multiples */
  EC_POINT *public; /* of curve */
};

struct p11s_pubkey_table {
  unsigned char point[1 + P11S_PUBKEY_TABLE_LEN]; /* SEC 1, 2.3.3 */
  atomic_uint uses;
  _Atomic(struct groups *) groups; /* NULL: no table is made */
};

static atomic_uint tables;

struct p11s_pubkey_table *p11s_pubkey_table_new(const unsigned char *point)
{
  struct p11s_pubkey_table *t = calloc(1, sizeof *t);

  if (t == NULL)
    return NULL;
  t->point[0] = POINT_CONVERSION_UNCOMPRESSED;
  memcpy(t->point + 1, point, P11S_PUBKEY_TABLE_LEN);
  return t;
}

static void free_groups(struct groups *g)
{
  if (g == NULL)
    return;
  EC_POINT_free(g->public);
  EC_GROUP_free(g->key);
  EC_GROUP_free(g->curve);
  free(g);
  atomic_fetch_sub(&tables, 1);
}

void p11s_pubkey_table_free(struct p11s_pubkey_table *t)
{
  if (t == NULL)
    return;
  free_groups(atomic_load(&t->groups));
  free(t);
}

/* -- verifying */

/* u1 times the generator and u2 times the public key, without and with the table. */
static bool multiply_slowly(const struct groups *g, EC_POINT *sum, const BIGNUM *u1,
                            const BIGNUM *u2, BN_CTX *ctx)
{
  return EC_POINT_mul(g->curve, sum, u1, g->public, u2, ctx) == 1;
}

static bool multiply(const struct groups *g, EC_POINT *sum, const BIGNUM *u1, const BIGNUM *u2,
                     BN_CTX *ctx)
{
  EC_POINT *other = EC_POINT_new(g->key);
  bool good = other != NULL && EC_POINT_mul(g->curve, sum, u1, NULL, NULL, ctx) == 1 &&
              EC_POINT_mul(g->key, other, u2, NULL, NULL, ctx) == 1 &&
              EC_POINT_add(g->curve, sum, sum, other, ctx) == 1;

  EC_POINT_free(other);
  return good;
}

typedef bool (*multiply_fn)(const struct groups *g, EC_POINT *sum, const BIGNUM *u1,
                            const BIGNUM *u2, BN_CTX *ctx);

/* One to the curve's order less one. */
static bool is_in_range(const BIGNUM *number, const BIGNUM *order)
{
  return !BN_is_zero(number) && BN_cmp(number, order) < 0;
}

static bool verify(const struct groups *g, multiply_fn multiply_with, const unsigned char *digest,
                   const unsigned char *signature, BN_CTX *ctx)
{
  const BIGNUM *order = EC_GROUP_get0_order(g->curve);
  EC_POINT *sum = EC_POINT_new(g->curve);
  BIGNUM *r = BN_CTX_get(ctx), *s = BN_CTX_get(ctx), *e = BN_CTX_get(ctx);
  BIGNUM *u1 = BN_CTX_get(ctx), *u2 = BN_CTX_get(ctx), *x = BN_CTX_get(ctx);
  bool good;

  /* once BN_CTX_get fails, so do all that follow */
  good = x != NULL && sum != NULL && BN_bin2bn(signature, NUMBER_LEN, r) != NULL &&
         BN_bin2bn(signature + NUMBER_LEN, NUMBER_LEN, s) != NULL &&
         BN_bin2bn(digest, NUMBER_LEN, e) != NULL && is_in_range(r, order) &&
         is_in_range(s, order) && BN_mod_inverse(s, s, order, ctx) != NULL &&
         BN_mod_mul(u1, e, s, order, ctx) == 1 && BN_mod_mul(u2, r, s, order, ctx) == 1 &&
         multiply_with(g, sum, u1, u2, ctx) &&
         EC_POINT_get_affine_coordinates(g->curve, sum, x, NULL, ctx) == 1 &&
         BN_nnmod(x, x, order, ctx) == 1 && BN_cmp(x, r) == 0;
  EC_POINT_free(sum);
  return good;
}

static bool verify_with(const struct groups *g, multiply_fn multiply_with,
                        const unsigned char *digest, const unsigned char *signature)
{
  BN_CTX *ctx = BN_CTX_new();
  bool good;

  if (ctx == NULL)
    return false;
  BN_CTX_start(ctx);
  good = verify(g, multiply_with, digest, signature, ctx);
  BN_CTX_end(ctx);
  BN_CTX_free(ctx);
  return good;
}

bool p11s_pubkey_table_verify(const struct p11s_pubkey_table *t, const unsigned char *digest,
                              const unsigned char *signature)
{
  return verify_with(atomic_load_explicit(&t->groups, memory_order_acquire), multiply, digest,
                     signature);
}

/* -- making the table */

static bool fill(struct groups *g, const unsigned char *point)
{
  const BIGNUM *order, *cofactor;

  g->curve = EC_GROUP_new_by_curve_name_ex(p11s_crypto(), NULL, NID_X9_62_prime256v1);
  g->key = g->curve != NULL ? EC_GROUP_dup(g->curve) : NULL;
  g->public = g->key != NULL ? EC_POINT_new(g->curve) : NULL;
  if (g->public == NULL)
    return false;
  order = EC_GROUP_get0_order(g->curve);
  cofactor = EC_GROUP_get0_cofactor(g->curve);
  return EC_POINT_oct2point(g->curve, g->public, point, 1 + P11S_PUBKEY_TABLE_LEN, NULL) == 1 &&
         EC_GROUP_set_generator(g->key, g->public, order, cofactor) == 1 &&
         EC_GROUP_precompute_mult(g->key, NULL) == 1;
}

static uint64_t cpu_ns(void)
{
  struct timespec t;

  (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* The least of some, for a signature of numbers that are as good as any. */
static uint64_t time_of(const struct groups *g, multiply_fn multiply_with)
{
  unsigned char numbers[P11S_PUBKEY_TABLE_LEN];
  uint64_t least = UINT64_MAX;

  memset(numbers, 0x55, sizeof numbers);
  for (int i = 0; i < TRIALS; i++) {
    uint64_t begun = cpu_ns(), took;

    (void)verify_with(g, multiply_with, numbers, numbers);
    took = cpu_ns() - begun;
    least = took < least ? took : least;
  }
  return least;
}

static void make(struct p11s_pubkey_table *t)
{
  struct groups *g;

  if (atomic_fetch_add(&tables, 1) >= P11S_PUBKEY_TABLES_MOST ||
      (g = calloc(1, sizeof *g)) == NULL) {
    atomic_fetch_sub(&tables, 1);
    return;
  }
  if (fill(g, t->point) && time_of(g, multiply) <= time_of(g, multiply_slowly) / 4 * 3)
    atomic_store_explicit(&t->groups, g, memory_order_release);
  else
    free_groups(g);
}

bool p11s_pubkey_table_is_made(struct p11s_pubkey_table *t)
{
  if (atomic_load_explicit(&t->groups, memory_order_acquire) != NULL)
    return true;
  if (atomic_fetch_add_explicit(&t->uses, 1, memory_order_relaxed) + 1 != P11S_PUBKEY_TABLE_AFTER)
    return false;
  make(t);
  return atomic_load_explicit(&t->groups, memory_order_acquire) != NULL;
}

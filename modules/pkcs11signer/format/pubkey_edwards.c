/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "format/pubkey_internal.h"

#include <openssl/bn.h>

/* x^2 = (y^2 - 1) / (d y^2 - a) mod p: a curve of RFC 8032 section 5. */
struct curve {
  size_t len;    /* of an encoded point */
  const char *p; /* hex */
  const char *d;
  long a;
};

static const struct curve ed25519 = {
    32,
    "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffed",
    "52036cee2b6ffe738cc740797779e89800700a4d4141d8ab75eb4dca135978a3",
    -1,
};

static const struct curve ed448 = {
    57,
    "fffffffffffffffffffffffffffffffffffffffffffffffffffffffe"
    "ffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    /* p - 39081 */
    "fffffffffffffffffffffffffffffffffffffffffffffffffffffffe"
    "ffffffffffffffffffffffffffffffffffffffffffffffffffff6756",
    1,
};

/* Numbers of one computation, all from one BN_CTX. */
struct numbers {
  BIGNUM *p;
  BIGNUM *d;
  BIGNUM *y;
  BIGNUM *top;
  BIGNUM *bottom;
};

static bool load(const struct curve *c, const unsigned char *point, struct numbers *n)
{
  unsigned char copy[57];
  size_t i;

  for (i = 0; i < c->len; i++)
    copy[i] = point[i];
  /* the last bit is x's sign */
  copy[c->len - 1] &= 0x7f;
  return BN_hex2bn(&n->p, c->p) > 0 && BN_hex2bn(&n->d, c->d) > 0 &&
         BN_lebin2bn(copy, (int)c->len, n->y) != NULL && BN_cmp(n->y, n->p) < 0;
}

/* top = y^2 - 1, bottom = d y^2 - a */
static bool fraction(const struct curve *c, struct numbers *n, BN_CTX *ctx)
{
  bool good = BN_mod_sqr(n->y, n->y, n->p, ctx) == 1 && BN_copy(n->top, n->y) != NULL &&
              BN_sub_word(n->top, 1) == 1 && BN_mod_mul(n->bottom, n->d, n->y, n->p, ctx) == 1;

  if (c->a < 0)
    return good && BN_add_word(n->bottom, 1) == 1;
  return good && BN_sub_word(n->bottom, 1) == 1;
}

/* A fraction is a square when the product of its parts is. Zero has no negative. */
static bool is_square(struct numbers *n, bool negative, BN_CTX *ctx)
{
  if (BN_nnmod(n->top, n->top, n->p, ctx) != 1 ||
      BN_mod_mul(n->top, n->top, n->bottom, n->p, ctx) != 1)
    return false;
  if (BN_is_zero(n->top))
    return !negative;
  return BN_kronecker(n->top, n->p, ctx) == 1;
}

bool p11s_edwards_on_curve(const struct p11s_algorithm *alg, const unsigned char *point)
{
  const struct curve *c = alg->public_len == ed25519.len ? &ed25519 : &ed448;
  BN_CTX *ctx = BN_CTX_new();
  struct numbers n;
  bool good;

  if (ctx == NULL)
    return false;
  BN_CTX_start(ctx);
  n.p = BN_CTX_get(ctx);
  n.d = BN_CTX_get(ctx);
  n.y = BN_CTX_get(ctx);
  n.top = BN_CTX_get(ctx);
  n.bottom = BN_CTX_get(ctx);
  /* once BN_CTX_get fails, so do all that follow */
  good = n.bottom != NULL && load(c, point, &n) && fraction(c, &n, ctx) &&
         is_square(&n, (point[c->len - 1] & 0x80) != 0, ctx);
  BN_CTX_end(ctx);
  BN_CTX_free(ctx);
  return good;
}

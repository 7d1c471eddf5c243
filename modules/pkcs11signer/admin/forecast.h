/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/buf.h"
#include "token/speed.h"

#include <stdint.h>

/*
 * Whether a token keeps up with the signatures that a week takes, and what would help. Pure
 * functions; no locks.
 *
 * A week's signatures can be made ahead: at half of what the token can, so that queries find it
 * free, and within five days, so that it is done two days before the week turns
 * (pkcs11signer-sign-ahead).
 */
struct p11s_forecast_input {
  uint64_t week;     /* signatures that a week takes */
  uint64_t of_keys;  /* of these, of DNSKEY, CDS and CDNSKEY */
  unsigned sessions; /* pkcs11signer-sessions */
  unsigned room;     /* sessions that the token has; 0: not known */
  unsigned ahead;    /* pkcs11signer-sign-ahead */
  struct p11s_speed rate;
};

enum p11s_keeps_up {
  P11S_KEEPS_UP_UNKNOWN, /* nothing has been measured */
  P11S_KEEPS_UP_YES,     /* next week is made ahead in time */
  P11S_KEEPS_UP_LATE,    /* within a week, but not so: the week turns before it is done */
  P11S_KEEPS_UP_NO,      /* a week has more signatures than the token makes in one */
};

struct p11s_forecast {
  double rate;            /* signatures a second, the best that was measured; 0: none was */
  double sessions;        /* that were busy then */
  uint64_t refill_s;      /* for all of the week's, with nothing else to do */
  uint64_t ahead_s;       /* the same made ahead, at half speed */
  uint64_t keys_refill_s; /* for those of DNSKEY, CDS and CDNSKEY alone */
  enum p11s_keeps_up keeps_up;
};

void p11s_forecast_make(const struct p11s_forecast_input *in, struct p11s_forecast *ret);
/* "yes", "late", "no", "unknown". Static. */
const char *p11s_forecast_keeps_up_name(enum p11s_keeps_up keeps_up);

/* Sentences about what is to be expected and what would help, each with a NUL behind it. */
void p11s_forecast_advise(const struct p11s_forecast_input *in, const struct p11s_forecast *f,
                          struct p11s_buf *out);

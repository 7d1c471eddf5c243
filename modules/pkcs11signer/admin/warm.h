/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "ahead/host.h"
#include "signer/signer.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Signing all of a zone, for this week and the weeks ahead: what PowerDNS will ask for is put
 * together first (ahead/host.h, each_demand), then what the store does not have is signed
 * (admin/bulk_sign.h), week by week, this week's first.
 *
 * For an administrator's command, in one thread; waits for database and token.
 */
#define P11S_WARM_WEEKS 9 /* this one, and at most eight ahead */

struct p11s_warm;

/* Reads the zone. weeks: how many ahead, less than P11S_WARM_WEEKS. P11S_ERR_HOST: no such zone,
   there is no store, or a temporary file cannot be had. */
enum p11s_err p11s_warm_new(struct p11s_signer *signer, const struct p11s_host *host,
                            const char *zone, unsigned weeks, struct p11s_warm **ret_warm,
                            struct p11s_error *e);
void p11s_warm_free(struct p11s_warm *warm);

struct p11s_warm_plan {
  uint64_t messages; /* of all weeks */
  uint64_t missing;  /* of these, those without a signature in the store, */
  uint64_t bytes;    /* and the room they will take there */
  uint64_t kept;     /* what the others take */
};
/* What there is to do. */
enum p11s_err p11s_warm_plan(struct p11s_warm *warm, struct p11s_warm_plan *ret,
                             struct p11s_error *e);

struct p11s_warm_result {
  uint64_t made[P11S_WARM_WEEKS];
  uint64_t there[P11S_WARM_WEEKS];
};
/* Signs. progress is called now and then with the number that has been made, and ends it by
   returning false: P11S_ERR_STOPPED. *ret is filled whatever happens: what was made is kept. */
enum p11s_err p11s_warm_run(struct p11s_warm *warm, bool (*progress)(uint64_t made, void *arg),
                            void *arg, struct p11s_warm_result *ret, struct p11s_error *e);

/* Clauses about what is not signed, one after the other, each with a NUL behind it. Borrowed. */
const struct p11s_buf *p11s_warm_left_out(const struct p11s_warm *warm);

/* Start of this week as of p11s_warm_new(), seconds since 1970. */
uint32_t p11s_warm_start(const struct p11s_warm *warm);

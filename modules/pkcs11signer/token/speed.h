/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * How fast a token signs, measured while it does: for each signature, how long a session was busy
 * with it, and how many sessions were busy at that time. k sessions that take t each make k/t
 * signatures a second, so a token that does not get faster with more sessions shows. Kept by 1, 2,
 * 3 to 4, 5 to 8, … 33 to 64 sessions; what is older counts for less.
 *
 * Plain data; the owner's lock guards it.
 */
#define P11S_SPEED_LEVELS 7
#define P11S_SPEED_ENOUGH 3 /* signatures that say something */

struct p11s_speed {
  struct {
    uint64_t count;    /* signatures */
    uint64_t sessions; /* the sum of the sessions busy at each */
    uint64_t us;       /* the sum of their times */
  } level[P11S_SPEED_LEVELS];
};

void p11s_speed_add(struct p11s_speed *rate, unsigned sessions, uint64_t us);
/* Adds what another process has measured. */
void p11s_speed_merge(struct p11s_speed *rate, const struct p11s_speed *other);

/* Signatures a second at that level; 0: fewer than P11S_SPEED_ENOUGH were made. */
double p11s_speed_at(const struct p11s_speed *rate, unsigned level);
/* The level with the highest rate; P11S_SPEED_LEVELS: none has one. */
unsigned p11s_speed_best(const struct p11s_speed *rate);
/* How long a signature takes; 0: none was made. */
uint64_t p11s_speed_mean_us(const struct p11s_speed *rate);
/* Mean number of sessions at that level. */
double p11s_speed_sessions(const struct p11s_speed *rate, unsigned level);

/* As text without blanks, "-" for nothing, and back. false: it is none. */
void p11s_speed_format(const struct p11s_speed *rate, struct p11s_buf *out);
bool p11s_speed_parse(const char *text, struct p11s_speed *ret);

/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * Whether the fleet's database is worth waiting for, and when it is tried again.
 *
 *   untried  There was no answer yet. Callers may wait for the first connection.
 *   up       Answers come in time.
 *   down     Callers met their deadlines three times in a row (late callers of the same moment
 * count once), or the connection failed. Nobody asks until a trial is answered in time.
 *
 * The first trial comes at once when the connection failed, and half a second later when answers
 * were late. Each further trial comes after twice as long, up to P11S_HEALTH_LONGEST_MS.
 *
 * Pure: the caller has the clock (milliseconds) and the lock.
 */
#define P11S_HEALTH_LATE 3
#define P11S_HEALTH_SHORTEST_MS 500
#define P11S_HEALTH_LONGEST_MS 10000

enum p11s_health_state { P11S_HEALTH_UNTRIED, P11S_HEALTH_UP, P11S_HEALTH_DOWN };

struct p11s_health {
  enum p11s_health_state state;
  unsigned late;     /* in a row */
  uint64_t late_ms;  /* when the last of these was */
  unsigned pause_ms; /* before the trial after the next */
  uint64_t trial_ms; /* when the next one is due, while it is down */
  uint64_t since_ms; /* when it went down */
};

/* The next three return true when the state has changed. */

/* An answer, or a connection, took that long. */
bool p11s_health_answered(struct p11s_health *b, uint64_t now_ms, uint64_t took_ms,
                          unsigned timeout_ms);
/* A caller has left without one. When it goes down before it was ever up, that is no change to
   speak of: what becomes of the first connection is. */
bool p11s_health_late(struct p11s_health *b, uint64_t now_ms, unsigned timeout_ms);
/* The connection is lost, or could not be made. */
bool p11s_health_failed(struct p11s_health *b, uint64_t now_ms);

/* Twice as long a pause, within these bounds. */
unsigned p11s_health_lengthen(unsigned pause_ms, unsigned shortest_ms, unsigned longest_ms);

/* Whether callers may ask. */
bool p11s_health_allows(const struct p11s_health *b);

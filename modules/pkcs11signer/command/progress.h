/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * How far a long command of pdnsutil has come: one line on stderr, drawn again as it goes on, when
 * that is a terminal; else nothing. Meanwhile Ctrl-C, SIGTERM and SIGHUP do not end the process:
 * the command asks whether they came, puts away what it has done, and says so.
 *
 * One at a time, in the command's own thread; no locks.
 */
struct p11s_progress {
  const char *what; /* borrowed */
  uint64_t total;
  uint64_t begun_ms;
  uint64_t drawn_ms;
  unsigned columns; /* of the terminal; 0: none */
  bool drawn;
  struct sigaction before[3];
};

void p11s_progress_begin(struct p11s_progress *p, const char *what, uint64_t total);
/* A few times a second at most, however often it is called. */
void p11s_progress_show(struct p11s_progress *p, uint64_t done);
/* Clears the line, so that others may write; the next p11s_progress_show() draws it again. */
void p11s_progress_hide(struct p11s_progress *p);
/* Clears the line; signals are again what they were. */
void p11s_progress_end(struct p11s_progress *p);
/* Whether the command is to end, since p11s_progress_begin(). */
bool p11s_progress_interrupted(void);

/* The line: what, a bar, how many, how many a second, how long it will take yet. p->columns at most
   when there is room for the words. */
void p11s_progress_format(const struct p11s_progress *p, uint64_t done, uint64_t elapsed_ms,
                          char *text, size_t size);
